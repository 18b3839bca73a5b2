import { clamp } from "../shared/numbers.js";

/** Pixels of the pad on a side. */
export const PAD_SIDE = 28;

// At half its height a stroke is 2.6 px wide, and 2.2 px once a digit as high as 24 px is brought to MNIST's 20: there
// half of the strokes are 1.4 to 2.4 px wide. It fades over 1.6 px, as MNIST's pixels of ink are grey to three fifths,
// and is white in the middle wherever it lies.
const RADIUS = 1.3;
const FADE = 1.6;
const PALEST = 0.6;
const FULLEST = 1.5;

/** @typedef {{x: number, y: number}} Point In pixels of the pad from its upper left corner; pixel 0 ends at 1. */

/**
 * How large the brush is. A mouse and a finger have no pressure to speak of; a pen has.
 *
 * @param {string} kind "mouse", "touch" or "pen".
 * @param {number} pressure 0 to 1; 0.5 is what a device without a sensor says.
 * @returns {number} Radius in pixels of the pad.
 */
export function brushRadius(kind, pressure) {
  return kind === "pen" ? RADIUS * clamp(0.5 + pressure, PALEST, FULLEST) : RADIUS;
}

/**
 * Paints a straight stroke with round ends. A pixel becomes as bright as its nearest point of the stroke makes it, and
 * never darker: strokes that cross or that are painted piece by piece look as if painted at once.
 *
 * @param {Uint8Array} pixels Row after row; changed.
 * @param {number} side
 * @param {Point} from
 * @param {Point} to
 * @param {number} radius At half height.
 * @returns {Uint8Array} The same pixels.
 */
export function paintStroke(pixels, side, from, to, radius) {
  const reach = radius + FADE / 2;
  const first = (low) => clamp(Math.floor(low - reach), 0, side);
  const last = (high) => clamp(Math.ceil(high + reach), 0, side);
  for (let row = first(Math.min(from.y, to.y)); row < last(Math.max(from.y, to.y)); row += 1) {
    for (let col = first(Math.min(from.x, to.x)); col < last(Math.max(from.x, to.x)); col += 1) {
      const away = distance({ x: col + 0.5, y: row + 0.5 }, from, to);
      const level = Math.round(255 * clamp((reach - away) / FADE, 0, 1));
      const index = row * side + col;
      if (level > pixels[index]) pixels[index] = level;
    }
  }
  return pixels;
}

/** @type {(point: Point, from: Point, to: Point) => number} Of a point from the nearest point of a line. */
function distance(point, from, to) {
  const along = { x: to.x - from.x, y: to.y - from.y };
  const length = along.x ** 2 + along.y ** 2;
  const share = length ? clamp(((point.x - from.x) * along.x + (point.y - from.y) * along.y) / length, 0, 1) : 0;
  return Math.hypot(point.x - from.x - share * along.x, point.y - from.y - share * along.y);
}

/**
 * @param {{x: number, y: number}} client Where the pointer is on the page.
 * @param {{left: number, top: number, width: number, height: number}} box Where the pad is.
 * @param {number} side
 * @returns {Point} May lie outside the pad.
 */
export function onPad(client, box, side) {
  return { x: ((client.x - box.left) / box.width) * side, y: ((client.y - box.top) / box.height) * side };
}

/**
 * @param {{row: number, col: number}} cell
 * @param {string} key Of an arrow.
 * @param {number} far
 * @param {number} side
 * @returns {{row: number, col: number} | null} Null for any other key.
 */
export function stepTo(cell, key, far, side) {
  const ways = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const way = ways[key];
  if (!way) return null;
  return { row: clamp(cell.row + far * way[0], 0, side - 1), col: clamp(cell.col + far * way[1], 0, side - 1) };
}

/** Between two messages about a growing stroke, in ms: eight a second. */
export const SHORTEST_PAUSE = 125;
const LONGEST_PAUSE = 2000;

/**
 * How long to wait between two messages. Python's answer comes when it reaches the pad; what follows on the page needs
 * its time, too.
 *
 * @param {number} trip From the last message to the answer, in ms.
 * @returns {number} In ms.
 */
export function pauseAfter(trip) {
  return clamp(2 * trip, SHORTEST_PAUSE, LONGEST_PAUSE);
}

/**
 * @param {Uint8Array} pixels
 * @returns {string} Two hexadecimal digits a pixel.
 */
export function toHex(pixels) {
  return Array.from(pixels, (level) => level.toString(16).padStart(2, "0")).join("");
}

/**
 * @param {string} hex
 * @param {number} count Pixels.
 * @returns {Uint8Array} Black where the text is of another length.
 */
export function fromHex(hex, count) {
  const pixels = new Uint8Array(count);
  if (hex.length === 2 * count) for (let i = 0; i < count; i += 1) pixels[i] = parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return pixels;
}
