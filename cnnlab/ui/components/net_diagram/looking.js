import { clamp } from "../shared/numbers.js";
import { SIGN, halfHeight } from "./math.js";

// From the world to the page and back: what is under the pointer, what fits, where words and panels go.

/** @typedef {import("./math.js").Unit} Unit */
/** @typedef {{left: number, right: number, top: number, bottom: number}} Box */
/** @typedef {{scale: number, x: number, y: number}} Eye Page = scale · world + (x, y). */

/** Free at both sides of the drawing. */
export const SIDE = 14;
/** Radius of the circle that opens and closes a group. */
export const BADGE = 7.5;

/** @type {(eye: Eye, x: number, y: number) => [number, number]} */
export const toPage = (eye, x, y) => [eye.scale * x + eye.x, eye.scale * y + eye.y];

/** @type {(eye: Eye, unit: Unit) => Box} */
export function boxOf(eye, unit) {
  const [left, top] = toPage(eye, unit.x, unit.y - halfHeight(unit));
  const [right, bottom] = toPage(eye, unit.x + unit.width, unit.y + halfHeight(unit));
  return { left, top, right, bottom };
}

/** @type {(eye: Eye) => number} */
export const badgeScale = (eye) => clamp(eye.scale / 0.75, 0.6, 1);

/** @type {(eye: Eye, unit: Unit) => [number, number]} Where the circle of a closed group is: over all that is drawn of it. */
export function badgeOf(eye, unit) {
  const { left, right, top } = boxOf(eye, unit);
  const over = Math.max(Number(unit.skips), Math.min(unit.times - 1, 3) * 0.7);
  return [(left + right) / 2, top - BADGE - 4 - 6 * eye.scale * over];
}

/** @type {(eye: Eye, frame: import("./math.js").Frame) => [number, number]} */
export function frameBadgeOf(eye, frame) {
  const [x, y] = toPage(eye, frame.left, frame.top);
  return [x + BADGE + 5, y + BADGE * badgeScale(eye) + 4];
}

/** @type {(box: {width: number}, extent: Box) => number} */
export const stripScale = (box, extent) => (box.width - 2 * SIDE) / (extent.right - extent.left);

/** @type {(unit: Unit, nodes: import("./math.js").NetNode[], measure: string) => number} */
export const shareOf = (unit, nodes, measure) => unit.members.reduce((sum, member) => sum + (nodes[member].shares[measure] ?? 0), 0);

/**
 * @param {Unit[]} units
 * @param {number} x In the world.
 * @param {number} y
 * @returns {{unit: number, part: number} | null} What is seen there; of a closed group part 0.
 */
export function partAt(units, x, y) {
  for (let id = units.length - 1; id >= 0; id -= 1) {
    const unit = units[id];
    const { solid } = unit;
    if (x < unit.x || x > unit.x + unit.width || Math.abs(y - unit.y) > halfHeight(unit)) continue;
    if (unit.type === "group") {
      if (inSolid(x, y, unit.x, solid.thick, unit)) return { unit: id, part: 0 };
      continue;
    }
    for (let place = unit.parts.length - 1; place >= 0; place -= 1) {
      const one = unit.parts[place];
      const hit =
        unit.type === "sign" && place === 0
          ? Math.hypot(x - one.x - SIGN / 2, y - unit.y) <= SIGN / 2
          : inSolid(x, y, one.x, one.thick, unit);
      if (hit) return { unit: id, part: place };
    }
  }
  return null;
}

/** A cuboid on the page is its front face moved along what recedes. */
function inSolid(x, y, left, thick, unit) {
  const { high, dx, dy } = unit.solid;
  const floor = unit.y + dy / 2 + high / 2;
  const from = Math.max((x - left - thick) / dx, (floor - high - y) / dy, 0);
  const to = Math.min((x - left) / dx, (floor - y) / dy, 1);
  return from <= to;
}

/**
 * @param {{width: number, height: number}} box
 * @param {Box} extent
 * @param {{top: number, bottom: number, side: number}} margin Kept free for text, in pixels of the page.
 * @param {number} least Scale below which nobody can read the drawing: then it is as high as it can be, and panned.
 * @param {number} most
 * @returns {Eye}
 */
export function fit(box, extent, margin, least, most) {
  const width = Math.max(extent.right - extent.left, 1);
  const height = Math.max(extent.bottom - extent.top, 1);
  const across = (box.width - 2 * margin.side) / width;
  const down = (box.height - margin.top - margin.bottom) / height;
  const both = Math.min(across, down, most);
  const scale = both >= least ? both : Math.max(least, Math.min(down, 1));
  const spare = box.height - margin.top - margin.bottom - scale * height;
  return {
    scale,
    x: margin.side + Math.max((box.width - 2 * margin.side - scale * width) / 2, 0) - scale * extent.left,
    // What is too high shows its main line, which is at the bottom.
    y: margin.top + (spare > 0 ? spare / 2 : spare) - scale * extent.top,
  };
}

/**
 * Which of the words fit: the important ones first, each where it wants to be or a little lower, never over another
 * or over a block.
 *
 * @param {{left: number, right: number, top: number, bottom: number, rank: number, fixed: boolean}[]} wanted Fixed
 *   ones are not lowered.
 * @param {Box[]} taken Blocks.
 * @param {number} lower How far down the first try after that is; two more follow.
 * @param {number} floor Nothing goes below.
 * @returns {number[]} By how much each is lowered; −1 for what is left out.
 */
export function placeWords(wanted, taken, lower, floor) {
  const placed = [];
  const down = new Array(wanted.length).fill(-1);
  const order = wanted.map((_, index) => index).sort((one, other) => wanted[other].rank - wanted[one].rank || one - other);
  const apart = (one, other, gap) =>
    one.right + gap <= other.left || other.right + gap <= one.left || one.bottom <= other.top || other.bottom <= one.top;
  for (const index of order) {
    for (const shift of wanted[index].fixed ? [0] : [0, lower, 1.5 * lower, 2 * lower]) {
      const box = { ...wanted[index], top: wanted[index].top + shift, bottom: wanted[index].bottom + shift };
      if (shift > 0 && box.bottom > floor) break;
      if (!placed.every((other) => apart(box, other, 5)) || !taken.every((other) => apart(box, other, 0))) continue;
      placed.push(box);
      down[index] = shift;
      break;
    }
  }
  return down;
}

/**
 * @param {{width: number, height: number}} box
 * @param {{width: number, height: number}} panel
 * @param {Box} target What the panel tells of.
 * @returns {{left: number, top: number}} Beside it where there is room, else under or over it; inside the box across.
 */
export function placePanel(box, panel, target) {
  const gap = 10;
  const within = (value, most) => Math.max(0, Math.min(value, most));
  const beside = within((target.top + target.bottom - panel.height) / 2, box.height - panel.height);
  if (target.right + gap + panel.width <= box.width) return { left: target.right + gap, top: beside };
  if (target.left - gap - panel.width >= 0) return { left: target.left - gap - panel.width, top: beside };
  const left = within((target.left + target.right - panel.width) / 2, box.width - panel.width);
  const below = target.bottom + gap;
  if (below + panel.height <= box.height || target.top - gap - panel.height < 0) return { left, top: below };
  return { left, top: target.top - gap - panel.height };
}
