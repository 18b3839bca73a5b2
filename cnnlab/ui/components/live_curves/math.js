import { clamp, formatNumber, groupThousands, MINUS_SIGN } from "../shared/numbers.js";

// ---- the course of a run, kept as `cnnlab/train/history.py` keeps it

const STEPS = {
  limit: 2000,
  lasts: ["step", "seconds", "lr", "memory_mb"],
  means: ["loss", "accuracy", "images_per_s"],
};
const LAYERS = { limit: 400, lasts: ["step"], means: ["gradient_norm", "gradients", "updates", "dead"] };

/**
 * @param {any} data `History.to_data`, or null for a run that has not told anything yet.
 * @returns {any} The same, to be changed by `advance` without changing `data`.
 */
export function courseOf(data) {
  return {
    started: data?.started ?? null,
    steps: curveOf(STEPS, data?.steps),
    layers: curveOf(LAYERS, data?.layers),
    epochs: [...(data?.epochs ?? [])],
    findings: [...(data?.findings ?? [])],
    changes: [...(data?.changes ?? [])],
    ended: data?.ended ?? null,
    isPaused: data?.is_paused ?? false,
    began: data?.began ?? 0,
  };
}

function curveOf(kind, data) {
  const curve = { kind, perPoint: data?.per_point ?? 1, inOpen: data?.in_open ?? 0 };
  for (const name of [...kind.lasts, ...kind.means]) curve[name] = [...(data?.[name] ?? [])];
  return curve;
}

/**
 * Take in the next event, in place; what is done again after a resume is forgotten first.
 *
 * @param {any} course
 * @param {any} event As `for_browser` writes it.
 */
export function advance(course, event) {
  const { kind } = event;
  if (kind === "Started") begin(course, event);
  else if (kind === "Stepped") append(course.steps, { ...event, seconds: event.time - course.began });
  else if (kind === "LayersMeasured") append(course.layers, event);
  else if (kind === "EpochEnded") course.epochs.push(event);
  else if (kind === "Finding") course.findings.push(event);
  else if (kind === "Changed") {
    course.changes.push(event);
    if (event.what === "paused" || event.what === "resumed") course.isPaused = event.what === "paused";
  } else if (kind === "Ended") {
    course.ended = event;
    course.isPaused = false;
  }
}

function begin(course, event) {
  const kept = (list) => list.filter((one) => one.step <= event.first_step);
  cut(course.steps, event.first_step);
  cut(course.layers, event.first_step);
  course.epochs = kept(course.epochs);
  course.findings = kept(course.findings);
  course.changes = kept(course.changes);
  course.began = event.time - (course.steps.seconds.at(-1) ?? 0);
  course.started = event;
  course.ended = null;
  course.isPaused = false;
}

function append(curve, values) {
  const { kind } = curve;
  if (curve.step.length > 1 && curve.inOpen < curve.perPoint) {
    mergeAt(curve, curve.step.length - 2);
    curve.inOpen += 1;
  } else {
    curve.inOpen = 1;
  }
  for (const name of [...kind.lasts, ...kind.means]) curve[name].push(values[name]);
  if (curve.step.length > kind.limit) halve(curve);
}

function cut(curve, step) {
  const after = curve.step.findIndex((one) => one > step);
  if (after >= 0) for (const name of [...curve.kind.lasts, ...curve.kind.means]) curve[name].length = after;
  curve.inOpen = curve.perPoint;
}

function weightsAt(curve, at) {
  const before = at ? curve.step[at - 1] : 0;
  return [Math.max(1, curve.step[at] - before), Math.max(1, curve.step[at + 1] - curve.step[at])];
}

function mergeAt(curve, at) {
  const [first, second] = weightsAt(curve, at);
  for (const name of curve.kind.means) {
    const column = curve[name];
    column.splice(at, 2, meanOf(column[at], column[at + 1], first, second));
  }
  for (const name of curve.kind.lasts) curve[name].splice(at, 1);
}

function halve(curve) {
  const last = curve.step.length - 1;
  const pairs = Math.floor(last / 2);
  const weights = Array.from({ length: pairs }, (_, pair) => weightsAt(curve, 2 * pair));
  for (const name of curve.kind.means) {
    const column = curve[name];
    const merged = weights.map(([first, second], pair) => meanOf(column[2 * pair], column[2 * pair + 1], first, second));
    curve[name] = [...merged, ...column.slice(2 * pairs)];
  }
  for (const name of curve.kind.lasts) {
    const column = curve[name];
    curve[name] = [...weights.map((_, pair) => column[2 * pair + 1]), ...column.slice(2 * pairs)];
  }
  if (last % 2 === 0) curve.inOpen += curve.perPoint;
  curve.perPoint *= 2;
}

function meanOf(first, second, firstWeight, secondWeight) {
  if (first === null || second === null || first === undefined) return null;
  if (Array.isArray(first)) return first.map((one, at) => meanOf(one, second[at], firstWeight, secondWeight));
  if (typeof first === "object") {
    const names = Object.keys(second);
    return Object.fromEntries(names.map((name) => [name, meanOf(first[name], second[name], firstWeight, secondWeight)]));
  }
  return (first * firstWeight + second * secondWeight) / (firstWeight + secondWeight);
}

// ---- where things are along the run

/**
 * @param {number[]} sorted Ascending.
 * @param {number} value
 * @returns {number} Index of the nearest; −1 of none.
 */
export function nearestAt(sorted, value) {
  if (!sorted.length) return -1;
  const at = firstFrom(sorted, value);
  if (at === 0) return 0;
  if (at === sorted.length) return at - 1;
  return value - sorted[at - 1] <= sorted[at] - value ? at - 1 : at;
}

/**
 * @param {number[]} places Of a line's points, ascending.
 * @param {number} place
 * @param {number} slack How far beyond its ends a line is still told of.
 * @param {number} [reach] How far from its place a single point is told of.
 * @returns {number} Index of the point that is told at a place; −1 where there is none.
 */
export function toldAt(places, place, slack, reach = Infinity) {
  const at = nearestAt(places, place);
  if (at < 0 || Math.abs(places[at] - place) > reach) return -1;
  return place < places[0] - slack || place > places[places.length - 1] + slack ? -1 : at;
}

/**
 * @param {number[]} sorted
 * @param {number} value
 * @returns {number} Index of the first that is not smaller; the length where all are.
 */
export function firstFrom(sorted, value) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * A value on the broken line through points, from (0, 0) and beyond its end straight on.
 *
 * @param {number[]} from Ascending.
 * @param {number[]} to
 * @param {number} value
 * @returns {number}
 */
export function along(from, to, value) {
  if (!from.length) return 0;
  const at = Math.min(firstFrom(from, value), from.length - 1);
  const left = at ? from[at - 1] : 0;
  const base = at ? to[at - 1] : 0;
  const width = from[at] - left;
  return width > 0 ? base + ((value - left) / width) * (to[at] - base) : to[at];
}

/**
 * @param {any} course
 * @param {"step" | "epoch" | "time"} mode
 * @param {number} step
 * @returns {number} Where the step is: in steps, epochs or seconds.
 */
export function placeOf(course, mode, step) {
  if (mode === "epoch") return step / (course.started?.steps_per_epoch ?? 1);
  return mode === "time" ? along(course.steps.step, course.steps.seconds, step) : step;
}

/**
 * @param {any} course
 * @param {"step" | "epoch" | "time"} mode
 * @param {number} place
 * @returns {number} The step that is there.
 */
export function stepAt(course, mode, place) {
  if (mode === "epoch") return place * (course.started?.steps_per_epoch ?? 1);
  return mode === "time" ? along(course.steps.seconds, course.steps.step, place) : place;
}

/**
 * How far an axis reaches while a run goes on: it stays for long, and then grows at once to at most twice its length,
 * so that curves do not creep.
 *
 * @param {number} done
 * @param {number} total 0 where nobody knows.
 * @returns {number}
 */
export function reachOf(done, total) {
  if (!(done > 0)) return total > 0 ? total / 16 : 1;
  if (!(total > 0)) {
    const unit = 10 ** Math.floor(Math.log10(done));
    return unit * [1, 1.5, 2, 3, 4, 6, 8, 10].find((one) => one * unit >= done);
  }
  let reach = total;
  while (reach / 2 >= done && reach > total / 16) reach /= 2;
  return Math.max(reach, done);
}

/**
 * @param {any} course
 * @param {number} step
 * @returns {number} The finished epoch whose end is nearest, 0 for the start.
 */
export function epochNear(course, step) {
  const at = nearestAt([0, ...course.epochs.map((one) => one.step)], step);
  return at > 0 ? course.epochs[at - 1].epoch : 0;
}

/**
 * @param {any} course
 * @returns {any} The epoch with the best validation accuracy, the first of equals; null before the first.
 */
export function bestOf(course) {
  let best = null;
  for (const one of course.epochs) if (!best || one.validation_accuracy > best.validation_accuracy) best = one;
  return best;
}

/**
 * What happened, as marks along the run.
 *
 * @param {any} course
 * @returns {{step: number, kind: "best" | "lr" | "pause" | "finding" | "early" | "end", text: string}[]}
 */
export function marksOf(course) {
  const marks = [];
  for (const { what, step, value } of course.changes) {
    if (what === "lr") marks.push({ step, kind: "lr", text: `Learning rate set to ${formatNumber(value)}` });
    if (what === "paused") marks.push({ step, kind: "pause", text: "Paused" });
  }
  for (const { step, text } of course.findings) marks.push({ step, kind: "finding", text });
  const best = bestOf(course);
  if (best) {
    const text = `Best epoch so far: ${best.epoch}, validation accuracy ${shareText(best.validation_accuracy)}`;
    marks.push({ step: best.step, kind: "best", text: course.ended ? text.replace(" so far", "") : text });
  }
  const { ended } = course;
  if (ended && ended.reason !== "finished") {
    marks.push({ step: ended.step, kind: ended.reason === "early" ? "early" : "end", text: ended.text });
  }
  return marks;
}

// ---- from numbers to lines

/**
 * @param {any} course
 * @param {"step" | "epoch" | "time"} mode
 * @param {number} weight Of the smoothing.
 * @returns {any} The curves of a run: places (`steps`, and `ends` of epochs) and the values there.
 */
export function curvesOf(course, mode, weight) {
  const { steps, epochs } = course;
  const places = (list) => list.map((step) => placeOf(course, mode, step));
  const perEpoch = (name) => epochs.map((one) => one[name]);
  return {
    steps: places(steps.step),
    loss: steps.loss,
    smoothLoss: smoothed(steps.loss, weight),
    accuracy: steps.accuracy,
    smoothAccuracy: smoothed(steps.accuracy, weight),
    lr: steps.lr,
    ends: places(perEpoch("step")),
    trainLoss: perEpoch("train_loss"),
    trainAccuracy: perEpoch("train_accuracy"),
    validationLoss: perEpoch("validation_loss"),
    validationAccuracy: perEpoch("validation_accuracy"),
    gap: epochs.map((one) => one.train_accuracy - one.validation_accuracy),
  };
}

/**
 * @param {any} course
 * @param {"step" | "epoch" | "time"} mode
 * @returns {any} The curves of a run's layers: places (`measured`), and the values of each layer there.
 */
export function layerCurvesOf(course, mode) {
  const { layers } = course;
  const perLayer = (rows) => (rows.at(-1) ?? []).map((_, layer) => rows.map((row) => row[layer]));
  return {
    measured: layers.step.map((step) => placeOf(course, mode, step)),
    gradientNorm: layers.gradient_norm,
    gradients: perLayer(layers.gradients),
    updates: perLayer(layers.updates),
    dead: Object.keys(layers.dead.at(-1) ?? {}).map((name) => ({ name, ys: layers.dead.map((row) => row[name] ?? null) })),
  };
}

/**
 * Exponential moving average without the pull towards zero at its start, as TensorBoard's (Kingma and Ba 2015,
 * section 3): out = m / (1 − weightⁿ). What is not finite is passed over.
 *
 * @param {(number | null)[]} values
 * @param {number} weight 0 leaves them, below 1.
 * @returns {(number | null)[]}
 */
export function smoothed(values, weight) {
  let mean = 0;
  let share = 1;
  return values.map((value) => {
    if (value === null || !Number.isFinite(value)) return null;
    mean = weight * mean + (1 - weight) * value;
    share *= weight;
    return mean / (1 - share);
  });
}

/**
 * The points that a line needs to look like the line through all: of each pixel column the first, lowest, highest and
 * last. One point beyond either end stays, so that the line runs out of the picture.
 *
 * @param {number[]} xs Ascending.
 * @param {(number | null)[]} ys
 * @param {number} from
 * @param {number} to
 * @param {number} columns
 * @returns {number[]} Indices, ascending.
 */
export function thinned(xs, ys, from, to, columns) {
  const first = Math.max(0, firstFrom(xs, from) - 1);
  const last = Math.min(xs.length - 1, firstFrom(xs, to));
  if (last - first < 2 * columns) return Array.from({ length: Math.max(0, last - first + 1) }, (_, at) => first + at);
  const kept = [];
  const columnOf = (at) => Math.floor(((xs[at] - from) / (to - from)) * columns);
  for (let start = first; start <= last; ) {
    const column = columnOf(start);
    let low = start;
    let high = start;
    let end = start;
    for (let at = start; at <= last && columnOf(at) === column; at += 1) {
      if (ys[at] !== null && (ys[low] === null || ys[at] < ys[low])) low = at;
      if (ys[at] !== null && (ys[high] === null || ys[at] > ys[high])) high = at;
      end = at;
    }
    for (const at of [start, low, high, end].sort((a, b) => a - b)) if (at !== kept.at(-1)) kept.push(at);
    start = end + 1;
  }
  return kept;
}

/**
 * Lowest and highest of what is drawn between two places.
 *
 * @param {{xs: number[], ys: (number | null)[], spread?: number}[]} lines `spread` leaves out this share of the
 *   numbers at either end: of noise, outliers would press everything else flat.
 * @param {number} from
 * @param {number} to
 * @param {boolean} isLog Only what is above zero counts.
 * @returns {[number, number] | null} null of nothing.
 */
export function spanOf(lines, from, to, isLog) {
  let low = Infinity;
  let high = -Infinity;
  for (const { xs, ys, spread = 0 } of lines) {
    const seen = [];
    for (let at = firstFrom(xs, from); at < xs.length && xs[at] <= to; at += 1) {
      const value = ys[at];
      if (value !== null && Number.isFinite(value) && (!isLog || value > 0)) seen.push(value);
    }
    if (!seen.length) continue;
    if (spread) seen.sort((a, b) => a - b);
    const aside = spread ? Math.floor(spread * seen.length) : 0;
    const [least, most] = spread
      ? [seen[aside], seen[seen.length - 1 - aside]]
      : [seen.reduce((a, b) => Math.min(a, b)), seen.reduce((a, b) => Math.max(a, b))];
    low = Math.min(low, least);
    high = Math.max(high, most);
  }
  return low <= high ? [low, high] : null;
}

/**
 * An axis that holds a span and ends at round numbers.
 *
 * @param {[number, number] | null} span
 * @param {number} most Ticks there is room for, about.
 * @param {{isLog?: boolean, floor?: number, ceiling?: number}} [choices] The axis goes no further than `floor` and
 *   `ceiling`, and from a floor on where the span comes near it.
 * @returns {{low: number, high: number, ticks: number[], isLog: boolean}}
 */
export function axisOf(span, most, { isLog = false, floor = -Infinity, ceiling = Infinity } = {}) {
  if (isLog) return logAxis(span ?? [0.1, 1], most);
  let [low, high] = span ?? [0, 1];
  if (low - floor < 0.35 * (high - floor)) low = floor;
  if (high - low < 1e-12 + 1e-6 * Math.abs(high)) {
    const half = Math.abs(high) * 0.05 || 0.5;
    low = Math.max(floor, low - half);
    high = Math.min(ceiling, high + half);
  }
  const gap = roundGap((high - low) / most);
  low = Math.max(floor, Math.floor(low / gap + 1e-9) * gap);
  high = Math.min(ceiling, Math.ceil(high / gap - 1e-9) * gap);
  return { low, high, ticks: ticksOf(low, high, gap), isLog };
}

function logAxis([least, most], room) {
  // Within one power of ten the axis ends at 1, 2 or 5 times one, else at powers.
  const steps = most / least <= 10 ? [1, 2, 5] : [1];
  const marks = [];
  for (let power = Math.floor(Math.log10(least)) - 1; power <= Math.log10(most) + 2; power += 1) {
    for (const step of steps) marks.push(Number(`${step}e${power}`));
  }
  const first = marks.findLastIndex((mark) => mark <= least * (1 + 1e-9));
  const last = Math.max(first + 1, marks.findIndex((mark) => mark >= most * (1 - 1e-9)));
  const every = Math.ceil((last - first) / room);
  const ticks = marks.slice(first, last + 1).filter((_, at) => at % every === 0);
  return { low: marks[first], high: marks[last], ticks, isLog: true };
}

/**
 * @param {number} gap
 * @returns {number} 1, 2 or 5 times a power of ten, not smaller.
 */
export function roundGap(gap) {
  const unit = 10 ** Math.floor(Math.log10(gap) + 1e-9);
  return unit * [1, 2, 5, 10].find((one) => one * unit >= gap * (1 - 1e-9));
}

function ticksOf(low, high, gap) {
  const ticks = [];
  // Counted, not added up: 0.1 + 0.2 is not 0.3.
  for (let count = Math.ceil(low / gap - 1e-9); count * gap <= high + 1e-9 * gap; count += 1) {
    ticks.push(Number((count * gap).toPrecision(12)));
  }
  return ticks;
}

const TIMES = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

/**
 * @param {number} from
 * @param {number} to
 * @param {number} most
 * @param {"step" | "epoch" | "time"} mode Steps are whole, and times are round in minutes and hours.
 * @returns {number[]}
 */
export function placesOf(from, to, most, mode) {
  const least = (to - from) / most;
  if (!(least > 0)) return [];
  let gap = roundGap(least);
  if (mode === "step") gap = Math.max(1, gap);
  if (mode === "time" && least > 1) gap = TIMES.find((one) => one >= least) ?? 86400 * Math.ceil(least / 86400);
  return ticksOf(from, to, gap);
}

/**
 * @param {{low: number, high: number, isLog: boolean}} axis
 * @param {number} value
 * @returns {number} 0 at the low end, 1 at the high end; −∞ for what a logarithm cannot take.
 */
export function shareOn({ low, high, isLog }, value) {
  if (!isLog) return (value - low) / (high - low);
  return value > 0 ? Math.log(value / low) / Math.log(high / low) : -Infinity;
}

/**
 * @param {[number, number]} range
 * @param {[number, number]} whole
 * @param {number} at Stays where it is.
 * @param {number} factor Of the length; below 1 comes nearer.
 * @param {number} least Length that is kept.
 * @returns {[number, number] | null} null for the whole.
 */
export function zoomed([from, to], [start, end], at, factor, least) {
  const length = Math.max(least, (to - from) * factor);
  if (length >= (end - start) * 0.999) return null;
  const share = (at - from) / (to - from);
  const left = clamp(at - share * length, start, end - length);
  return [left, left + length];
}

// ---- words

/**
 * @param {number} seconds
 * @returns {string} "0.4 s", "42 s", "3 min 05 s", "2 h 10 min": as long as it stays readable at a glance.
 */
export function durationText(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

/**
 * @param {number} seconds
 * @returns {string} For an axis: "1:30" is a minute and a half, "2 h" two hours.
 */
export function clockText(seconds) {
  if (seconds < 60) return `${formatNumber(seconds)} s`;
  const two = (number) => String(Math.round(number)).padStart(2, "0");
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${two(seconds % 60)}`;
  return `${Math.floor(seconds / 3600)}:${two((seconds % 3600) / 60)} h`;
}

/**
 * @param {number | null} share
 * @param {number} [digits] After the point.
 * @returns {string} "91.20 %"; "–" of nothing.
 */
export function shareText(share, digits = 2) {
  if (share === null || share === undefined || !Number.isFinite(share)) return "–";
  const text = (100 * Math.abs(share)).toFixed(digits);
  return `${share < 0 && Number(text) !== 0 ? MINUS_SIGN : ""}${text} %`;
}

/**
 * @param {number | null} value
 * @returns {string} Four significant digits, trailing zeros kept, so that the width stays as the value changes.
 */
export function steadyText(value) {
  if (value === null || value === undefined) return "not finite";
  const size = Math.abs(value);
  if (size === 0) return "0";
  const sign = value < 0 ? MINUS_SIGN : "";
  if (size < 1e-3 || size >= 1e5) return sign + size.toExponential(2).replace("e+", "e").replace("e-", `e${MINUS_SIGN}`);
  const decimals = clamp(3 - Math.floor(Math.log10(size)), 0, 5);
  return sign + groupThousands(size.toFixed(decimals));
}

/**
 * @param {number} value
 * @returns {string} A tick of a logarithmic axis: "10⁻³", "2·10⁻⁵"; plain from 0.01 to 9,999.
 */
export function powerText(value) {
  const power = Math.floor(Math.log10(value) + 1e-9);
  if (power >= -2 && power <= 3) return formatNumber(value);
  const raised = String(Math.abs(power)).replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]);
  const times = Math.round(value / 10 ** power);
  return `${times === 1 ? "" : `${times}·`}10${power < 0 ? "⁻" : ""}${raised}`;
}

/**
 * What the line above the curves says.
 *
 * @param {any} course
 * @param {number | null} etaS Seconds that are left.
 * @returns {{name: string, label: string, value: string, unit: string}[]}
 */
export function statusOf(course, etaS) {
  const { started, steps, epochs, ended } = course;
  const latest = (name) => steps[name].at(-1);
  const known = steps.step.length > 0;
  const total = started ? started.epochs * started.steps_per_epoch : 0;
  const epoch = epochs.at(-1);
  // The epoch that is under way; at its end, and after the run's, the finished one.
  const step = Math.max(latest("step") ?? 0, epoch?.step ?? 0, started?.first_step ?? 0);
  const current = started ? clamp(Math.ceil(step / started.steps_per_epoch), 1, started.epochs) : 0;
  const or = (text) => (known ? text : "–");
  const left = ended ? durationText(latest("seconds") ?? 0) : etaS === null || etaS === undefined ? "–" : durationText(etaS);
  return [
    { name: "epoch", label: "epoch", value: started ? groupThousands(String(ended ? ended.epoch : current)) : "–", unit: started ? `/ ${groupThousands(String(started.epochs))}` : "" },
    { name: "step", label: "step", value: started ? groupThousands(String(step)) : "–", unit: started ? `/ ${groupThousands(String(total))}` : "" },
    { name: "left", label: ended ? "took" : "time left", value: left, unit: "" },
    { name: "speed", label: "speed", value: or(groupThousands(String(Math.round(latest("images_per_s") ?? 0)))), unit: "images/s" },
    { name: "loss", label: "loss", value: or(steadyText(latest("loss"))), unit: "" },
    { name: "train", label: "train accuracy", value: or(shareText(latest("accuracy"), 1)), unit: "" },
    { name: "validation", label: "validation acc.", value: epoch ? shareText(epoch.validation_accuracy) : "–", unit: "" },
    { name: "lr", label: "learning rate", value: or(formatNumber(latest("lr"))), unit: "" },
    { name: "memory", label: "memory", value: or(groupThousands(String(Math.round(latest("memory_mb") ?? 0)))), unit: "MB" },
  ];
}

/**
 * Where the stream is: below the path that the page's own scripts come from, whatever the page's own path is.
 *
 * @param {string} path "/api/runs/…/events".
 * @param {string[]} scripts Addresses of the scripts of the page.
 * @param {string} origin
 * @returns {string}
 */
export function streamAddress(path, scripts, origin) {
  const own = scripts.find((address) => address.startsWith(`${origin}/`) && address.includes("/static/"));
  const base = own ? own.slice(0, own.indexOf("/static/")) : origin;
  return `${base}/${path.replace(/^\/+/, "")}`;
}
