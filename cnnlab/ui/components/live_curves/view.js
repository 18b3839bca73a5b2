import { unpack } from "../shared/bytes.js";
import { luminance, paletteOf } from "../shared/colour.js";
import { clamp, formatNumber } from "../shared/numbers.js";
import { element, icon, keepKey, liveView, oncePerFrame, sharpContext, themeOf } from "../shared/stage.js";
import {
  advance,
  axisOf,
  courseOf,
  curvesOf,
  durationText,
  epochNear,
  layerCurvesOf,
  marksOf,
  nearestAt,
  placeOf,
  reachOf,
  shareText,
  spanOf,
  statusOf,
  steadyText,
  stepAt,
  streamAddress,
  toldAt,
  zoomed,
} from "./math.js";
import { fieldOf, paintPanel, plainColour } from "./painting.js";

const instances = new WeakMap();

// What one has chosen, by key: it outlives the view, so that coming back to a page shows what was left.
const choicesByKey = new Map();

const SMALL_HEIGHT = 132;
const WIDTHS = [560, 1000];
const DRAG_SLACK = 4;
const NEAR_MARK = 7;
const DOUBLE_CLICK_MS = 230;
const SPEAK_MS = 2000;
const HIDDEN_MS = 10_000;
const RETRIES_MS = [1000, 2000, 5000, 10_000, 30_000];
const RESET = "M3 8a5 5 0 1 0 1.6-3.7M3 2.5v3h3";
const MODES = { epoch: "Epoch", step: "Step", time: "Time" };
const SIGNS = { best: "★", lr: "◆", pause: "❚❚", finding: "▲", early: "■", end: "■" };
const SIGN_WORDS = { best: "best epoch", lr: "learning rate set", pause: "paused", finding: "finding", early: "stopped early", end: "ended" };
const ENDINGS = { finished: "finished", stopped: "stopped", early: "stopped early", diverged: "diverged", failed: "failed" };

const PANELS = [
  { key: "loss", title: "Loss", about: "Cross-entropy in nats, as it is minimised" },
  { key: "accuracy", title: "Accuracy", unit: "share", about: "Share of pictures whose largest logit is right" },
  { key: "gap", title: "Gap", suffix: " in points", unit: "points", small: true, about: "Training minus validation accuracy of each epoch: what is learnt by heart" },
  { key: "lr", title: "Learning rate", small: true, about: "Of each step" },
  { key: "gradient", title: "Gradient norm", small: true, isLog: true, about: "Length of the whole gradient (thick), and of each layer's weight" },
  { key: "updates", title: "Update / weight", small: true, isLog: true, about: "How much one step changes each layer's weight: healthy near 10⁻³" },
  { key: "dead", title: "Dead units", unit: "share", small: true, about: "Channels or units behind each ReLU that were zero for a whole batch" },
];

function createCurves(root) {
  const cells = new Map();
  const status = element("div", { class: "cl-status", "data-testid": "curves-status" });
  const chip = element("span", { class: "cl-chip", "data-testid": "curves-chip" });
  status.append(element("div", { class: "cl-cell cl-cell-chip" }, [element("span", { class: "cl-quiet", text: "run" }), chip]));

  const modes = element("div", { class: "cl-modes", role: "group", "aria-label": "Horizontal axis" });
  for (const [mode, word] of Object.entries(MODES)) {
    const button = element("button", { type: "button", class: "cl-button cl-mode", text: word, "data-mode": mode, "data-testid": `curves-by-${mode}` });
    button.onclick = () => choose({ mode });
    modes.append(button);
  }
  const smoothing = element("input", { type: "range", min: "0", max: "0.99", step: "0.01", "aria-label": "Smoothing", "data-testid": "curves-smoothing" });
  const smoothingText = element("span", { class: "cl-smoothing-text" });
  const log = element("input", { type: "checkbox", "data-testid": "curves-log" });
  const reset = element("button", { type: "button", class: "cl-button", title: "Show the whole run (Escape)", "aria-label": "Show the whole run", "data-testid": "curves-reset" });
  reset.append(icon(RESET));
  const tools = element("div", { class: "cl-tools" }, [
    modes,
    element("label", { class: "cl-tool", title: "Weight of what came before in the thin line; the faint one is as measured" }, ["Smoothing", smoothing, smoothingText]),
    element("label", { class: "cl-tool" }, [log, "Log loss"]),
    reset,
  ]);
  const legend = element("div", { class: "cl-keys", "data-testid": "curves-legend" });
  const large = element("div", { class: "cl-large" });
  const signs = element("div", { class: "cl-signs" });
  const ramped = element("span", { class: "cl-swatch cl-swatch-ramp" });
  const layersKey = element("span", { class: "cl-still cl-layers" }, ["layers, first", ramped, "to last"]);
  const between = element("div", { class: "cl-between" }, [signs, layersKey]);
  const small = element("div", { class: "cl-small" });
  const card = element("div", { class: "cl-card", "aria-hidden": "true", "data-testid": "curves-card" });
  const stage = element(
    "div",
    { class: "cl-stage", tabindex: "0", role: "application", "aria-roledescription": "training curves", "data-testid": "curves-stage" },
    [large, between, small, card],
  );
  const heard = element("div", { class: "cl-heard", "aria-live": "polite", "data-testid": "curves-heard" });
  root.append(status, element("div", { class: "cl-head" }, [legend, tools]), stage, heard);
  card.hidden = true;

  const panels = PANELS.map((spec) => {
    const value = element("span", { class: "cl-now", "data-testid": `curves-now-${spec.key}` });
    const by = element("span", { class: "cl-quiet", text: spec.suffix ?? "" });
    const canvas = element("canvas", { "aria-hidden": "true", "data-testid": `curves-${spec.key}` });
    const title = element("span", { class: "cl-title", title: spec.about }, [element("b", { text: spec.title }), by]);
    const box = element("div", { class: "cl-chart" }, [element("div", { class: "cl-chart-head" }, [title, value]), canvas]);
    (spec.small ? small : large).append(box);
    return { ...spec, box, canvas, value, by, size: { width: 0, height: 0 }, field: null, axis: null, lines: [], painted: "" };
  });

  let header = null;
  let digest = "";
  let course = courseOf(null);
  let overlays = [];
  let choices = { mode: "epoch", smoothing: 0.6, isLog: false, hidden: new Set(), zoom: null };
  let theme = themeOf(root);
  let ramp = [];
  let cursor = null; // {step, panel, y}: y is null where it was moved by keys
  let drag = null;
  let pressed = null;
  let picked = null;
  let pickLater = 0;
  let eta = null;
  let setState = () => {};
  let range = [0, 1];
  let whole = [0, 1];
  let gone = false;
  let speakLater = 0;
  let spokenAt = -Infinity;
  let legendOf = "";
  // Counts what changes all panels, so that one is painted only when something in it did.
  let looks = 0;
  const drawing = oncePerFrame(draw);

  // ---- the stream

  let source = null;
  let listensTo = "";
  let hasStreamed = false;
  let isOver = false;
  let failures = 0;
  let retryLater = 0;
  let hideLater = 0;

  function connect() {
    disconnect();
    if (gone || !header?.isLive || isOver || document.hidden) return;
    const scripts = [...document.querySelectorAll("script[src]")].map((script) => script.src);
    const own = new EventSource(streamAddress(header.url, scripts, location.origin));
    source = own;
    const heed = (name, take) =>
      own.addEventListener(name, (event) => {
        if (own !== source) return;
        take(JSON.parse(event.data));
        told();
      });
    heed("history", (data) => {
      course = courseOf(data);
      eta = data.eta_s;
      hasStreamed = true;
      failures = 0;
    });
    heed("events", (data) => {
      for (const event of data.events) advance(course, event);
      eta = data.eta_s;
    });
    heed("end", () => {
      isOver = true;
      disconnect();
    });
    own.onerror = () => {
      if (own !== source) return;
      // A connection that broke is made anew by the browser; one that was refused is not.
      if (own.readyState === EventSource.CLOSED) {
        hasStreamed = false;
        disconnect();
        retryLater = setTimeout(connect, RETRIES_MS[Math.min(failures, RETRIES_MS.length - 1)]);
        failures += 1;
      }
      drawing.ask();
    };
  }

  function disconnect() {
    clearTimeout(retryLater);
    source?.close();
    source = null;
  }

  // A browser keeps six connections to a server; pages that nobody looks at give theirs back.
  function seenOrNot() {
    clearTimeout(hideLater);
    if (document.hidden) hideLater = setTimeout(disconnect, HIDDEN_MS);
    else if (!source) connect();
    drawing.ask();
  }
  document.addEventListener("visibilitychange", seenOrNot);

  function told() {
    root.dataset.step = String(course.steps.step.at(-1) ?? 0);
    root.dataset.epochs = String(course.epochs.length);
    if (document.hidden) return;
    drawing.ask();
    if (!speakLater) speakLater = setTimeout(describe, Math.max(0, spokenAt + SPEAK_MS - performance.now()));
  }

  // ---- what is chosen

  function choose(changed) {
    Object.assign(choices, changed);
    looks += 1;
    showChoices();
    drawing.ask();
  }

  function showChoices() {
    for (const button of modes.children) button.setAttribute("aria-pressed", String(button.dataset.mode === choices.mode));
    smoothing.value = String(choices.smoothing);
    smoothingText.textContent = choices.smoothing.toFixed(2);
    log.checked = choices.isLog;
    reset.style.visibility = choices.zoom ? "visible" : "hidden";
    for (const panel of panels) if (!panel.small) panel.by.textContent = ` by ${choices.mode}`;
  }

  smoothing.oninput = () => choose({ smoothing: Number(smoothing.value) });
  log.onchange = () => choose({ isLog: log.checked });
  reset.onclick = () => choose({ zoom: null });
  for (const control of [tools, legend]) control.addEventListener("keydown", keepKey);

  function toggle(name) {
    if (!choices.hidden.delete(name)) choices.hidden.add(name);
    looks += 1;
    drawing.ask();
  }

  function showLegend() {
    const kinds = [...new Set(marksOf(course).map((mark) => mark.kind))];
    const layers = course.started?.layers.length ?? 0;
    const wanted = JSON.stringify([header.overlays.map(({ label, colour }) => [label, colour]), [...choices.hidden], kinds, !!header.published, layers, theme]);
    if (wanted === legendOf) return;
    legendOf = wanted;
    const key = (name, label, swatch) => {
      const made = element("button", { type: "button", class: "cl-key", "aria-pressed": String(!choices.hidden.has(name)), title: "Show or hide", "data-testid": `curves-key-${name}` }, [swatch, element("span", { text: label })]);
      made.onclick = () => toggle(name);
      return made;
    };
    const swatch = (kind, colour) => {
      const made = element("span", { class: `cl-swatch cl-swatch-${kind}` });
      made.style.color = colour;
      return made;
    };
    ramped.style.background = `linear-gradient(to right, ${ramp.join(",")})`;
    layersKey.style.visibility = layers > 1 ? "visible" : "hidden";
    signs.replaceChildren(...kinds.map((kind) => element("span", { class: "cl-still" }, [element("span", { class: "cl-sign", text: SIGNS[kind] }), SIGN_WORDS[kind]])));
    const children = [
      key("train", "Training", swatch("thin", header.colours.train)),
      key("validation", "Validation", swatch("thick", header.colours.validation)),
      ...(header.published ? [key("published", "Published", swatch("hollow", theme.text))] : []),
      ...header.overlays.map(({ label, colour }, at) => key(`overlay-${at}`, label, swatch("thick", colour))),
    ];
    // The focus stays on the key that was pressed.
    const focused = legend.getRootNode().activeElement?.dataset?.testid;
    legend.replaceChildren(...children);
    if (focused) [...legend.children].find((child) => child.dataset.testid === focused)?.focus();
  }

  // ---- from courses to lines

  function lineColour(layer, count) {
    return ramp[count > 1 ? Math.round((layer / (count - 1)) * (ramp.length - 1)) : 0];
  }

  function runLines(key, curves, look, label) {
    const isLoss = key === "loss";
    const lines = [];
    const { hidden } = choices;
    const isOwn = look.overlay === undefined;
    if (!hidden.has("train")) {
      const raw = isLoss ? curves.loss : curves.accuracy;
      const smooth = isLoss ? curves.smoothLoss : curves.smoothAccuracy;
      if (choices.smoothing > 0) lines.push({ xs: curves.steps, ys: raw, colour: look.train, width: 1, alpha: isOwn ? 0.25 : 0.12, spread: 0.02 });
      lines.push({ xs: curves.steps, ys: smooth, colour: look.train, width: 1.4, pointed: true, name: label || "training", of: label && "training", spread: choices.smoothing > 0 ? 0.002 : 0.02 });
      if (isOwn) lines.push({ xs: curves.ends, ys: isLoss ? curves.trainLoss : curves.trainAccuracy, colour: look.train, width: 0, dots: 2.4, name: "training mean", perEpoch: true });
    }
    if (!hidden.has("validation")) {
      lines.push({ xs: curves.ends, ys: isLoss ? curves.validationLoss : curves.validationAccuracy, colour: look.validation, width: 2.5, dots: 3.4, pointed: true, name: label || "validation", of: label && "validation", perEpoch: true });
    }
    return lines;
  }

  function publishedLines(key) {
    const { published } = header;
    if (!published || choices.hidden.has("published")) return [];
    const perEpoch = course.started?.steps_per_epoch ?? 0;
    const places = (count) => Array.from({ length: count }, (_, epoch) => placeOf(course, choices.mode, (epoch + 1) * perEpoch));
    const hollow = { width: 0, dots: 4.2, hollow: true, perEpoch: true };
    if (!perEpoch) return [];
    if (key === "loss") return [{ ...hollow, xs: places(published.losses.length), ys: published.losses, colour: header.colours.train, name: "published training" }];
    const last = placeOf(course, choices.mode, (course.started?.epochs ?? 0) * perEpoch);
    return [
      { ...hollow, xs: places(published.trainAccuracies.length), ys: published.trainAccuracies, colour: header.colours.train, name: "published training" },
      ...(published.testAccuracy === null ? [] : [{ ...hollow, xs: [last], ys: [published.testAccuracy], colour: theme.text, name: "published test" }]),
    ];
  }

  function linesOf(key, own, others) {
    if (key === "loss" || key === "accuracy") {
      return [
        ...others.flatMap(({ curves, colour, label, at }) =>
          choices.hidden.has(`overlay-${at}`) ? [] : runLines(key, curves, { train: colour, validation: colour, overlay: at }, label),
        ),
        ...runLines(key, own, header.colours, ""),
        ...publishedLines(key),
      ];
    }
    if (key === "gap") {
      const gaps = others.filter(({ at }) => !choices.hidden.has(`overlay-${at}`));
      return [
        ...gaps.map(({ curves, colour, label }) => ({ xs: curves.ends, ys: curves.gap, colour, width: 1.6, dots: 2.2, pointed: true, name: label, of: "gap", perEpoch: true })),
        { xs: own.ends, ys: own.gap, colour: theme.text, width: 1.6, dots: 2.4, pointed: true, name: "gap", perEpoch: true },
      ];
    }
    if (key === "lr") return [{ xs: own.steps, ys: own.lr, colour: theme.text, width: 1.4, pointed: true, name: "learning rate" }];
    const { layers = [] } = course.started ?? {};
    const curves = layerCurvesOf(course, choices.mode);
    const perLayer = (series, names) =>
      series.map((ys, at) => ({ xs: curves.measured, ys, colour: lineColour(at, series.length), width: 1.2, name: names[at] ?? `layer ${at + 1}`, isLayer: true }));
    if (key === "updates") return perLayer(curves.updates, layers);
    if (key === "dead") return perLayer(curves.dead.map((one) => one.ys), curves.dead.map((one) => one.name));
    const total = { xs: curves.measured, ys: curves.gradientNorm, colour: theme.text, width: 2, pointed: true, name: "whole gradient" };
    return [...perLayer(curves.gradients, layers), total];
  }

  const AXES = {
    loss: { floor: 0 },
    accuracy: { floor: 0, ceiling: 1 },
    gap: {},
    lr: { floor: 0 },
    dead: { floor: 0, ceiling: 1 },
  };

  function axisFor(panel) {
    const isLog = panel.isLog || (panel.key === "loss" && choices.isLog);
    let span = spanOf(panel.lines, range[0], range[1], isLog);
    if (span && panel.key === "lr") span = [0, span[1]];
    if (span && panel.key === "gap") span = [Math.min(span[0], 0), Math.max(span[1], 0.02)];
    // In the middle of the axis, so that the healthy band is always seen.
    if (panel.key === "updates") span = span ? [Math.min(span[0], 3e-4), Math.max(span[1], 3e-3)] : [1e-4, 1e-2];
    // A share of a thousandth is not shown as a mountain.
    if (span && panel.key === "dead") span = [0, Math.max(span[1], 0.05)];
    if (!span && panel.unit) span = panel.key === "gap" ? [-0.02, 0.02] : [0, 1];
    return axisOf(span, panel.small ? 3.5 : 5, { ...AXES[panel.key], isLog });
  }

  // ---- drawing

  function ranges(others) {
    const { mode } = choices;
    const { started } = course;
    const last = Math.max(course.steps.step.at(-1) ?? 0, course.epochs.at(-1)?.step ?? 0);
    const done = placeOf(course, mode, last);
    const total = started && mode !== "time" ? placeOf(course, mode, started.epochs * started.steps_per_epoch) : 0;
    const goesOn = header.isLive && !course.ended;
    const reaches = others.filter(({ at }) => !choices.hidden.has(`overlay-${at}`)).map(({ curves }) => Math.max(curves.steps.at(-1) ?? 0, curves.ends.at(-1) ?? 0));
    whole = [0, Math.max(goesOn ? reachOf(done, total) : done || 1, ...reaches)];
    const { zoom } = choices;
    range = zoom ? [placeOf(course, mode, zoom[0]), zoom[1] === null ? whole[1] : placeOf(course, mode, zoom[1])] : whole;
    if (!(range[1] > range[0])) range = whole;
  }

  function draw() {
    if (gone || !header || !panels[0].size.width) return;
    const { mode } = choices;
    const own = curvesOf(course, mode, choices.smoothing);
    const others = overlays.map((one, at) => ({ ...one, at, curves: overlayCurves(one) }));
    ranges(others);
    const marks = marksOf(course).map((mark) => ({ ...mark, place: placeOf(course, mode, mark.step), colour: markColour(mark.kind) }));
    if (picked !== null) {
      const end = course.epochs.find((one) => one.epoch === picked);
      if (end || picked === 0) marks.push({ kind: "picked", place: end ? placeOf(course, mode, end.step) : 0, colour: theme.primary });
    }
    const place = cursor && placeOf(course, mode, cursor.step);
    const common = JSON.stringify([looks, range, place, drag, picked, marks.length, course.epochs.length, course.started?.time]);
    for (const panel of panels) {
      const isNear = cursor && panel === cursor.panel;
      const wanted = `${common} ${latestOf(panel)} ${isNear ? cursor.y : ""}`;
      if (panel.painted === wanted) continue;
      panel.painted = wanted;
      panel.lines = linesOf(panel.key, own, others);
      panel.axis = axisFor(panel);
      panel.field = fieldOf(panel.size);
      const scene = {
        ...panel,
        range,
        mode,
        marks,
        band: panel.key === "updates" ? { low: 10 ** -3.5, high: 10 ** -2.5, colour: header.colours.healthy, text: "healthy" } : null,
        drag,
        cursor: place,
        pointOf,
        absent: panel.small ? "nothing measured yet" : course.started ? "waiting for the first steps" : "waiting for the run to start",
      };
      if (isNear) pointAtLayer(scene, place);
      paintPanel(sharpContext(panel.canvas, panel.size.width, panel.size.height), scene, theme);
      tellNow(panel);
    }
    showStatus();
    showLegend();
    showCard(marks, place);
    root.dataset.drawn = String(Number(root.dataset.drawn ?? 0) + 1);
  }

  /** The step up to which a panel's curves are known. */
  function latestOf({ key }) {
    if (key === "gap") return "";
    const { steps, layers } = course;
    return key === "loss" || key === "accuracy" || key === "lr" ? steps.step.at(-1) : layers.step.at(-1);
  }

  function overlayCurves(overlay) {
    const wanted = `${choices.mode} ${choices.smoothing}`;
    if (overlay.drawnAs !== wanted) Object.assign(overlay, { drawnAs: wanted, curves: curvesOf(overlay.course, choices.mode, choices.smoothing) });
    return overlay.curves;
  }

  const markColour = (kind) => (kind === "finding" || kind === "end" ? header.colours.warning : theme.text);

  /** Of many lines of layers, the one nearest to the pointer is told. */
  function pointAtLayer(scene, place) {
    const { field, axis } = scene;
    let nearest = null;
    let least = Infinity;
    for (const line of scene.lines) {
      if (!line.isLayer) continue;
      const value = line.ys[nearestAt(line.xs, place)];
      if (value === null || value === undefined) continue;
      const share = axis.isLog ? Math.log(value / axis.low) / Math.log(axis.high / axis.low) : (value - axis.low) / (axis.high - axis.low);
      const distance = cursor.y === null ? -value : Math.abs(field.top + (1 - share) * field.height - cursor.y);
      if (distance < least) [nearest, least] = [line, distance];
    }
    scene.lines = scene.lines.map((line) => (line === nearest ? { ...line, pointed: true, width: 2.4 } : line));
    scene.lines.sort((a, b) => Number(!!a.pointed) - Number(!!b.pointed));
    cursor.panel.nearest = nearest;
  }

  function say(panel, value) {
    if (!panel.unit || value === null) return steadyText(value);
    return panel.unit === "share" ? shareText(value) : `${value > 0 ? "+" : ""}${shareText(value).replace(" %", "")}`;
  }

  /** The latest values of a panel, in its heading. */
  function tellNow(panel) {
    const told = panel.lines.filter((line) => line.pointed && !line.of && line.xs.length);
    const wanted = told.map((line) => [line.colour, say(panel, line.ys.at(-1))]);
    if (!told.length && panel.lines.length && panel.small) {
      const latest = panel.lines.map((line) => line.ys.at(-1)).filter((value) => value !== null && value !== undefined);
      if (latest.length) wanted.push([theme.text, panel.key === "dead" ? `up to ${shareText(Math.max(...latest), 1)}` : `median ${formatNumber(latest.sort((a, b) => a - b)[latest.length >> 1], 2)}`]);
    }
    const text = JSON.stringify(wanted);
    if (panel.toldNow === text) return;
    panel.toldNow = text;
    while (panel.value.children.length > wanted.length) panel.value.lastChild.remove();
    while (panel.value.children.length < wanted.length) panel.value.append(element("span"));
    wanted.forEach(([colour, words], at) => {
      panel.value.children[at].textContent = words;
      panel.value.children[at].style.setProperty("--line", colour);
      panel.value.children[at].classList.toggle("cl-lined", !panel.small);
    });
  }

  function showStatus() {
    for (const { name, label, value, unit } of statusOf(course, eta)) {
      let cell = cells.get(name);
      if (!cell) {
        cell = { label: element("span", { class: "cl-quiet" }), value: element("span", { class: "cl-cell-value" }), unit: element("span", { class: "cl-quiet" }) };
        cells.set(name, cell);
        status.append(element("div", { class: `cl-cell cl-cell-${name}`, "data-testid": `curves-status-${name}` }, [cell.label, element("span", {}, [cell.value, " ", cell.unit])]));
      }
      if (cell.label.textContent !== label) cell.label.textContent = label;
      if (cell.value.textContent !== value) cell.value.textContent = value;
      if (cell.unit.textContent !== unit) cell.unit.textContent = unit;
    }
    const [kind, words] = stateNow();
    if (chip.textContent !== words) chip.textContent = words;
    chip.dataset.kind = kind;
  }

  function stateNow() {
    if (course.ended) return [course.ended.reason === "failed" || course.ended.reason === "diverged" ? "bad" : "over", ENDINGS[course.ended.reason]];
    if (!header.isLive || isOver) return ["over", "not running"];
    if (source && source.readyState === EventSource.OPEN) {
      if (course.isPaused) return ["paused", "paused"];
      return course.started ? ["live", "live"] : ["paused", "waiting"];
    }
    return ["paused", failures ? "not connected" : hasStreamed ? "reconnecting" : "connecting"];
  }

  // ---- the card beside the cursor

  /** Which point of a line the cursor tells. */
  function pointOf(line, place) {
    const slack = 0.02 * (range[1] - range[0]);
    // What is known once per epoch is told near its end, not in the middle of the next.
    const reach = placeOf(course, choices.mode, course.started?.steps_per_epoch ?? 1) / 2;
    return line.perEpoch ? toldAt(line.xs, place, reach, reach) : toldAt(line.xs, place, slack);
  }

  function cardRows(panel, place) {
    const { mode } = choices;
    const rows = [];
    for (const line of panel.lines) {
      if (!line.name || (line.isLayer && line !== panel.nearest)) continue;
      const at = pointOf(line, place);
      if (at < 0) continue;
      const name = line.perEpoch && !line.of ? `${line.name}, epoch ${Math.round(placeOf(course, "epoch", stepAt(course, mode, line.xs[at])))}` : line.name;
      rows.push({ colour: line.colour, thick: line.width > 2, hollow: !!line.hollow, name, of: line.of ?? "", value: say(panel, line.ys[at]) });
    }
    return rows;
  }

  function showCard(marks, place) {
    const panel = cursor?.panel;
    const show = cursor && course.steps.step.length && place >= range[0] && place <= range[1] && !drag;
    card.hidden = !show;
    if (!show) return;
    const scale = panel.field.width / (range[1] - range[0]);
    const near = marks.filter((mark) => mark.text && Math.abs(mark.place - place) * scale <= NEAR_MARK);
    const epoch = placeOf(course, "epoch", cursor.step);
    const head = `step ${formatNumber(Math.round(cursor.step))} · epoch ${epoch.toFixed(2)} · ${durationText(placeOf(course, "time", cursor.step))}`;
    card.replaceChildren(
      element("div", { class: "cl-card-head", text: head }),
      ...cardRows(panel, place).map((row) => {
        const swatch = element("span", { class: `cl-swatch cl-swatch-${row.hollow ? "hollow" : row.thick ? "thick" : "thin"}` });
        swatch.style.color = row.colour;
        return element("div", { class: "cl-card-row" }, [swatch, element("span", { class: "cl-card-name", text: row.name }), element("span", { class: "cl-quiet", text: row.of }), element("span", { class: "cl-card-value", text: row.value })]);
      }),
      ...near.map((mark) => element("div", { class: "cl-card-mark" }, [element("span", { class: "cl-sign", text: SIGNS[mark.kind] }), element("span", { text: mark.text })])),
    );
    const [inner, outer] = [panel.canvas.getBoundingClientRect(), stage.getBoundingClientRect()];
    const x = inner.left - outer.left + panel.field.left + (place - range[0]) * scale;
    const width = card.offsetWidth;
    const left = x + 14 + width <= stage.clientWidth ? x + 14 : x - 14 - width;
    card.style.left = `${clamp(left, 0, Math.max(0, stage.clientWidth - width))}px`;
    card.style.top = `${inner.top - outer.top + panel.field.top + 4}px`;
  }

  // ---- words for those who listen

  function describe() {
    speakLater = 0;
    spokenAt = performance.now();
    const said = statusOf(course, eta)
      .filter(({ value }) => value !== "–")
      .map(({ label, value, unit }) => `${label} ${value} ${unit}`.trim());
    stage.setAttribute("aria-label", `Training curves, ${stateNow()[1]}: ${said.join(", ")}.`);
    const epoch = course.epochs.at(-1);
    const news = course.ended ? course.ended.text : epoch ? `Epoch ${epoch.epoch}: validation accuracy ${shareText(epoch.validation_accuracy)}.` : "";
    if (news !== heard.dataset.news) {
      heard.dataset.news = news;
      heard.textContent = news;
    }
  }

  function tellCursor() {
    clearTimeout(tellCursor.later);
    tellCursor.later = setTimeout(() => {
      if (!cursor) return;
      const place = placeOf(course, choices.mode, cursor.step);
      const rows = cardRows(cursor.panel, place).map(({ name, of, value }) => `${name} ${of} ${value}`);
      heard.textContent = `Step ${Math.round(cursor.step)}, ${cursor.panel.title}: ${rows.join(", ")}.`;
    }, 250);
  }

  // ---- pointer and keys

  const panelOf = (event) => panels.find((panel) => panel.canvas === event.target);

  function placeUnder(panel, event) {
    const bounds = panel.canvas.getBoundingClientRect();
    return range[0] + ((event.clientX - bounds.left - panel.field.left) / panel.field.width) * (range[1] - range[0]);
  }

  function pointTo(panel, event) {
    if (!panel.field || !course.steps.step.length) return;
    const place = placeUnder(panel, event);
    const places = course.steps.step.map((step) => placeOf(course, choices.mode, step));
    const at = nearestAt(places, clamp(place, range[0], range[1]));
    cursor = { step: course.steps.step[at], panel, y: event.clientY - panel.canvas.getBoundingClientRect().top };
    drawing.ask();
  }

  function setRange(next) {
    if (!next) choose({ zoom: null });
    else {
      const [from, to] = next.map((place) => stepAt(course, choices.mode, place));
      // What reaches to the end follows the end.
      choose({ zoom: [from, next[1] >= whole[1] * 0.9999 ? null : to] });
    }
  }

  const leastLength = () => placeOf(course, choices.mode, 1) * 4 || whole[1] / 1000;
  const zoomAt = (place, factor) => setRange(zoomed(range, whole, place, factor, leastLength()));

  stage.onpointerdown = (event) => {
    const panel = panelOf(event);
    if (!panel?.field || event.button !== 0) return;
    pressed = { panel, x: event.clientX, place: placeUnder(panel, event) };
    panel.canvas.setPointerCapture(event.pointerId);
  };
  stage.onpointermove = (event) => {
    const panel = panelOf(event);
    if (pressed) {
      if (!drag && Math.abs(event.clientX - pressed.x) < DRAG_SLACK) return;
      drag = [pressed.place, placeUnder(pressed.panel, event)];
      drawing.ask();
    } else if (panel) pointTo(panel, event);
    else hide();
  };
  stage.onpointerup = (event) => {
    if (!pressed) return;
    const { panel } = pressed;
    pressed = null;
    if (drag) {
      const [from, to] = [Math.min(...drag), Math.max(...drag)].map((place) => clamp(place, whole[0], whole[1]));
      drag = null;
      if (to - from > leastLength() / 2) setRange([from, to]);
      pointTo(panel, event);
      return;
    }
    pointTo(panel, event);
    const step = stepAt(course, choices.mode, clamp(placeUnder(panel, event), range[0], range[1]));
    clearTimeout(pickLater);
    // A second click may follow, which asks for the whole run.
    if (choices.zoom) pickLater = setTimeout(() => pick(step), DOUBLE_CLICK_MS);
    else pick(step);
  };
  stage.onpointercancel = () => {
    pressed = null;
    drag = null;
    drawing.ask();
  };
  stage.ondblclick = (event) => {
    clearTimeout(pickLater);
    if (panelOf(event) && choices.zoom) choose({ zoom: null });
  };
  stage.onpointerleave = hide;
  stage.onblur = hide;

  function hide() {
    if (!cursor || pressed) return;
    cursor = null;
    drawing.ask();
  }

  function wheel(event) {
    const panel = panelOf(event);
    if (!panel?.field) return;
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      zoomAt(placeUnder(panel, event), Math.exp(clamp(event.deltaY, -50, 50) * 0.008));
      return;
    }
    // Without a key the wheel scrolls the page; sideways it moves along the run.
    const sideways = event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX;
    if (!choices.zoom || Math.abs(sideways) <= Math.abs(event.shiftKey ? 0 : event.deltaY)) return;
    event.preventDefault();
    const length = range[1] - range[0];
    const left = clamp(range[0] + (sideways / panel.field.width) * length, whole[0], whole[1] - length);
    setRange([left, left + length]);
  }
  stage.addEventListener("wheel", wheel, { passive: false });

  function pick(step) {
    if (!course.started) return;
    const epoch = epochNear(course, step);
    if (epoch === picked) return;
    picked = epoch;
    setState("picked_epoch", epoch);
    drawing.ask();
  }

  stage.onkeydown = (event) => {
    const { step: steps } = course.steps;
    if (event.target !== stage || event.altKey || !panels[0].field) return;
    keepKey(event);
    if (event.ctrlKey || event.metaKey || !steps.length) return;
    const visible = steps.filter((step) => {
      const place = placeOf(course, choices.mode, step);
      return place >= range[0] && place <= range[1];
    });
    const at = cursor ? nearestAt(visible, cursor.step) : visible.length;
    const stride = event.shiftKey ? Math.max(1, Math.round(visible.length / 10)) : Math.max(1, Math.round(visible.length / 100));
    const to = { ArrowLeft: at - stride, ArrowRight: at + stride, Home: 0, End: visible.length - 1 }[event.key];
    const middle = cursor ? placeOf(course, choices.mode, cursor.step) : (range[0] + range[1]) / 2;
    if (to !== undefined && visible.length) {
      cursor = { step: visible[clamp(to, 0, visible.length - 1)], panel: cursor?.panel ?? panels[0], y: null };
    } else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      const panel = panels.indexOf(cursor?.panel ?? panels[0]) + (event.key === "ArrowDown" ? 1 : -1);
      cursor = { step: cursor?.step ?? steps.at(-1), panel: panels[clamp(panel, 0, panels.length - 1)], y: null };
    } else if (event.key === "+" || event.key === "=") zoomAt(middle, 0.7);
    else if (event.key === "-") zoomAt(middle, 1 / 0.7);
    else if (event.key === "Escape" || event.key === "0") {
      cursor = null;
      choose({ zoom: null });
    } else if ((event.key === "Enter" || event.key === " ") && cursor) pick(cursor.step);
    else return;
    event.preventDefault();
    drawing.ask();
    tellCursor();
  };

  // ---- size and life

  function measure() {
    if (!header || !root.clientWidth) return;
    root.dataset.width = ["narrow", "middling", "wide"][WIDTHS.filter((width) => root.clientWidth >= width).length];
    for (const panel of panels) {
      panel.size = { width: panel.box.clientWidth, height: panel.small ? SMALL_HEIGHT : header.height };
      panel.canvas.style.height = `${panel.size.height}px`;
    }
    looks += 1;
    drawing.ask();
  }
  const observer = new ResizeObserver(measure);
  observer.observe(root);

  function readTheme() {
    theme = themeOf(root);
    const scratch = panels[0].canvas.getContext("2d");
    for (const name of ["text", "background", "primary"]) theme[name] = plainColour(scratch, theme[name]);
    const parts = [1, 3, 5].map((at) => parseInt(theme.background.slice(at, at + 2), 16));
    const isDark = luminance(parts[0], parts[1], parts[2]) < 0.18;
    // Of the even map, the part that stands out from the page.
    const { css } = paletteOf(header.lut);
    ramp = Array.from({ length: 24 }, (_, at) => css[Math.round((isDark ? 80 : 0) + (at / 23) * (isDark ? 165 : 190))]);
  }

  return {
    update(component) {
      setState = component.setStateValue;
      const message = unpack(component.data).header;
      const isNew = message.digest !== digest;
      const before = header;
      header = message;
      digest = message.digest;
      if (!before) {
        if (choicesByKey.has(header.key)) choices = choicesByKey.get(header.key);
        else choicesByKey.set(header.key, choices);
      }
      // A part of one run says nothing about another.
      if (choices.url !== header.url) Object.assign(choices, { url: header.url, zoom: null });
      readTheme();
      if (isNew) {
        const isOther = before && before.url !== header.url;
        const begins = header.isLive && !before?.isLive;
        if (isOther) {
          cursor = picked = eta = null;
          course = courseOf(null);
        }
        if (isOther || begins) {
          isOver = false;
          hasStreamed = false;
          failures = 0;
        }
        if (!header.isLive || !hasStreamed) {
          course = courseOf(header.history);
          eta = header.isLive ? (header.history?.eta_s ?? null) : null;
        }
        overlays = header.overlays.map(({ label, colour, history }) => ({ label, colour, course: courseOf(history) }));
        if (!header.isLive) disconnect();
        else if (isOther || begins || !before) connect();
      }
      looks += 1;
      showChoices();
      measure();
      told();
    },
    destroy() {
      gone = true;
      disconnect();
      document.removeEventListener("visibilitychange", seenOrNot);
      observer.disconnect();
      drawing.stop();
      clearTimeout(hideLater);
      clearTimeout(pickLater);
      clearTimeout(speakLater);
      clearTimeout(tellCursor.later);
    },
  };
}

/**
 * @param {any} component What Streamlit calls a view with.
 * @returns {() => void}
 */
export default function liveCurves(component) {
  return liveView(instances, component, createCurves);
}
