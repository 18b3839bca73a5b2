import { MINUS_SIGN, formatNumber } from "../shared/numbers.js";
import { clockText, firstFrom, placesOf, powerText, shareOn, thinned } from "./math.js";

// What is drawn on the canvas of one panel. A line is {xs, ys, colour, width, alpha, dots, hollow}: places along the
// run, values, and how it looks.

/** Room around the curves, in CSS pixels. */
export const EDGE = { top: 20, right: 10, bottom: 20, left: 46 };

const GLYPH = 4;

/**
 * @param {{width: number, height: number}} size
 * @returns {{left: number, top: number, width: number, height: number}} Where the curves are.
 */
export function fieldOf({ width, height }) {
  return {
    left: EDGE.left,
    top: EDGE.top,
    width: Math.max(10, width - EDGE.left - EDGE.right),
    height: Math.max(10, height - EDGE.top - EDGE.bottom),
  };
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {any} panel What `view.js` puts together for each frame.
 * @param {any} theme
 */
export function paintPanel(context, panel, theme) {
  const { field, range } = panel;
  const x = (place) => field.left + ((place - range[0]) / (range[1] - range[0])) * field.width;
  const y = (value) => field.top + (1 - shareOn(panel.axis, value)) * field.height;
  const isEmpty = !panel.lines.some((line) => line.xs.length);
  paintAxes(context, isEmpty ? { ...panel, axis: { ...panel.axis, ticks: [] } } : panel, theme, x, y);
  if (isEmpty) {
    write(context, panel.absent, field.left + field.width / 2, field.top + field.height / 2, "center", faint(theme, 0.7));
    return;
  }
  const within = (slack, paint) => {
    context.save();
    context.beginPath();
    context.rect(field.left - slack, field.top - slack, field.width + 2 * slack, field.height + 2 * slack);
    context.clip();
    paint();
    context.restore();
  };
  within(1, () => {
    if (panel.band) paintBand(context, panel, theme, y);
    for (const mark of panel.marks) paintMark(context, panel, mark, theme, x);
    for (const line of panel.lines) if (line.width) paintLine(context, panel, line, x, y);
  });
  // Dots at the edge are seen whole.
  within(6, () => {
    for (const line of panel.lines) if (line.dots) paintDots(context, panel, line, theme, x, y);
  });
  paintGlyphs(context, panel, theme, x);
  if (panel.band) nameBand(context, panel, theme, y);
  if (panel.drag) {
    const [from, to] = panel.drag.map((place) => Math.min(Math.max(x(place), field.left), field.left + field.width));
    context.fillStyle = tinted(theme.primary, 0.16);
    context.fillRect(Math.min(from, to), field.top, Math.abs(to - from), field.height);
  }
  if (panel.cursor !== null) paintCursor(context, panel, theme, x, y);
}

function paintAxes(context, { field, range, axis, mode, small, unit }, theme, x, y) {
  context.font = `11px ${theme.font}`;
  const bottom = field.top + field.height;
  const ink = faint(theme, 0.75);
  const grid = faint(theme, 0.12);
  const scale = unit ? 100 : 1;
  // As many decimals as the finest tick needs, so that all have as many.
  const decimals = Math.max(0, ...axis.ticks.map((tick) => decimalsOf(scale * tick)));
  for (const tick of axis.ticks) {
    const at = Math.round(y(tick)) + 0.5;
    context.fillStyle = tick === 0 && axis.low < 0 ? faint(theme, 0.45) : grid;
    context.fillRect(field.left, at - 0.5, field.width, 1);
    write(context, tickText(tick, axis, unit, decimals), field.left - 6, at, "right", ink);
  }
  context.fillStyle = faint(theme, 0.3);
  context.fillRect(field.left, bottom, field.width, 1);
  const places = placesOf(range[0], range[1], Math.max(2, field.width / (small ? 44 : 74)), mode);
  let taken = -Infinity;
  for (const place of places) {
    const at = Math.round(x(place)) + 0.5;
    context.fillStyle = faint(theme, 0.3);
    context.fillRect(at - 0.5, bottom, 1, 4);
    const text = mode === "time" ? clockText(place) : formatNumber(place);
    const half = context.measureText(text).width / 2;
    const right = field.left + field.width + EDGE.right;
    const middle = Math.min(at, right - half);
    if (middle - half < taken) continue;
    taken = middle + half + 8;
    write(context, text, middle, bottom + 12, "center", ink);
  }
}

function decimalsOf(value) {
  return (String(Number(value.toPrecision(6))).split(".")[1] ?? "").length;
}

function tickText(tick, axis, unit, decimals) {
  if (axis.isLog) return powerText(tick);
  if (Math.abs(tick) >= 1e4 || (tick !== 0 && decimals > 4)) return formatNumber(tick);
  const value = unit ? 100 * tick : tick;
  const sign = value < 0 ? MINUS_SIGN : unit === "points" && value > 0 ? "+" : "";
  return `${sign}${Math.abs(value).toFixed(decimals)}${unit === "share" ? " %" : ""}`;
}

function paintBand(context, { field, band }, theme, y) {
  const top = Math.max(field.top, y(band.high));
  const bottom = Math.min(field.top + field.height, y(band.low));
  if (bottom <= top) return;
  context.fillStyle = tinted(band.colour, 0.18);
  context.fillRect(field.left, top, field.width, bottom - top);
}

/** After the lines, which may run all over it. */
function nameBand(context, { field, band }, theme, y) {
  const bottom = Math.min(field.top + field.height, y(band.low));
  context.strokeStyle = theme.background;
  context.lineWidth = 4;
  context.textAlign = "right";
  context.strokeText(band.text, field.left + field.width - 4, bottom - 8);
  write(context, band.text, field.left + field.width - 4, bottom - 8, "right", faint(theme, 0.8));
}

function paintMark(context, { field, range, small }, mark, theme, x) {
  if ((small && mark.kind !== "picked") || mark.place < range[0] || mark.place > range[1]) return;
  const at = Math.round(x(mark.place)) + 0.5;
  context.strokeStyle = tinted(mark.colour ?? theme.text, mark.kind === "picked" ? 0.9 : 0.45);
  context.lineWidth = mark.kind === "picked" ? 1.5 : 1;
  context.setLineDash(mark.kind === "picked" ? [] : [3, 3]);
  context.beginPath();
  context.moveTo(at, field.top);
  context.lineTo(at, field.top + field.height);
  context.stroke();
  context.setLineDash([]);
}

/** Small signs in the strip above the curves: a star, a bar of pause, a triangle that warns, a square that ends. */
function paintGlyphs(context, { field, marks, range, small }, theme, x) {
  if (small) return;
  const taken = [];
  for (const mark of marks) {
    if (mark.kind === "picked" || mark.place < range[0] || mark.place > range[1]) continue;
    let at = x(mark.place);
    // Where two fall together, the later one stands beside the other, on the side where there is room.
    const side = at > field.left + field.width / 2 ? -1 : 1;
    while (taken.some((other) => Math.abs(other - at) < 12)) at += side;
    taken.push(at);
    const top = field.top - 9;
    context.fillStyle = mark.colour ?? theme.text;
    context.beginPath();
    if (mark.kind === "best") star(context, at, top);
    else if (mark.kind === "pause") {
      context.rect(at - 3.5, top - GLYPH, 2.5, 2 * GLYPH);
      context.rect(at + 1, top - GLYPH, 2.5, 2 * GLYPH);
    } else if (mark.kind === "finding") {
      context.moveTo(at, top - GLYPH - 1);
      context.lineTo(at + GLYPH + 1, top + GLYPH);
      context.lineTo(at - GLYPH - 1, top + GLYPH);
    } else if (mark.kind === "lr") {
      context.moveTo(at - GLYPH, top);
      context.lineTo(at, top - GLYPH);
      context.lineTo(at + GLYPH, top);
      context.lineTo(at, top + GLYPH);
    } else context.rect(at - GLYPH + 0.5, top - GLYPH + 0.5, 2 * GLYPH - 1, 2 * GLYPH - 1);
    context.fill();
  }
}

function star(context, x, y) {
  for (let point = 0; point < 10; point += 1) {
    const angle = (Math.PI * point) / 5 - Math.PI / 2;
    const radius = point % 2 ? 2.3 : 5.4;
    context.lineTo(x + radius * Math.cos(angle), y + radius * Math.sin(angle));
  }
  context.closePath();
}

function paintLine(context, { field, range }, { xs, ys, colour, width, alpha = 1 }, x, y) {
  context.globalAlpha = alpha;
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.lineJoin = "round";
  context.beginPath();
  let isDown = false;
  for (const at of thinned(xs, ys, range[0], range[1], field.width)) {
    const height = ys[at] === null ? NaN : y(ys[at]);
    if (!Number.isFinite(height)) isDown = false;
    else if (isDown) context.lineTo(x(xs[at]), height);
    else {
      context.moveTo(x(xs[at]), height);
      isDown = true;
    }
  }
  context.stroke();
  context.globalAlpha = 1;
}

function paintDots(context, { field, range }, { xs, ys, colour, width, dots, hollow }, theme, x, y) {
  const first = firstFrom(xs, range[0]);
  const count = xs.length - first;
  // Dots that touch say nothing that the line does not.
  if (width && count * 2.4 * dots > field.width) return;
  context.fillStyle = hollow ? theme.background : colour;
  context.strokeStyle = colour;
  context.lineWidth = 1.5;
  for (let at = first; at < xs.length && xs[at] <= range[1]; at += 1) {
    const height = ys[at] === null ? NaN : y(ys[at]);
    if (!Number.isFinite(height)) continue;
    context.beginPath();
    context.arc(x(xs[at]), height, dots, 0, 2 * Math.PI);
    context.fill();
    if (hollow) context.stroke();
  }
}

function paintCursor(context, { field, range, lines, cursor, pointOf }, theme, x, y) {
  if (cursor < range[0] || cursor > range[1]) return;
  context.fillStyle = faint(theme, 0.6);
  context.fillRect(Math.round(x(cursor)), field.top, 1, field.height);
  for (const line of lines) {
    if (!line.pointed) continue;
    const at = pointOf(line, cursor);
    const height = at < 0 || line.ys[at] === null ? NaN : y(line.ys[at]);
    if (!(height >= field.top - 1 && height <= field.top + field.height + 1)) continue;
    context.beginPath();
    context.arc(x(line.xs[at]), height, 4, 0, 2 * Math.PI);
    context.fillStyle = line.colour;
    context.strokeStyle = theme.background;
    context.lineWidth = 1.5;
    context.fill();
    context.stroke();
  }
}

function write(context, text, x, y, align, colour) {
  context.textAlign = align;
  context.textBaseline = "middle";
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

/** The theme's text colour, thinner. */
function faint(theme, share) {
  return tinted(theme.text, share);
}

/**
 * @param {string} colour "#rrggbb".
 * @param {number} share How much of it covers what is behind.
 * @returns {string}
 */
function tinted(colour, share) {
  return `${colour}${Math.round(255 * share).toString(16).padStart(2, "0")}`;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} colour Any that CSS knows.
 * @returns {string} The same as "#rrggbb".
 */
export function plainColour(context, colour) {
  context.fillStyle = "#888888";
  context.fillStyle = colour;
  return String(context.fillStyle).slice(0, 7);
}
