import { clamp, formatLevel, formatNumber, formatTight, withoutZero } from "../shared/numbers.js";

export const LOUPE_PIXELS = 13;

/**
 * @param {Uint8Array} planes One plane of codes, or a red, a green and a blue one.
 * @param {number} count Pixels in a plane.
 * @param {Uint8Array | null} lut 256 × 3 numbers, for codes.
 * @returns {Uint8ClampedArray} Four numbers a pixel, opaque.
 */
export function toRgba(planes, count, lut) {
  const rgba = new Uint8ClampedArray(4 * count);
  const words = new Uint32Array(rgba.buffer);
  if (planes.length === count && lut) {
    const table = new Uint32Array(256);
    const bytes = new Uint8Array(table.buffer);
    for (let code = 0; code < 256; code += 1) bytes.set([lut[3 * code], lut[3 * code + 1], lut[3 * code + 2], 255], 4 * code);
    for (let index = 0; index < count; index += 1) words[index] = table[planes[index]];
    return rgba;
  }
  for (let index = 0; index < count; index += 1) {
    rgba[4 * index] = planes[index];
    rgba[4 * index + 1] = planes[count + index];
    rgba[4 * index + 2] = planes[2 * count + index];
    rgba[4 * index + 3] = 255;
  }
  return rgba;
}

/**
 * @param {number} code 0 to 255.
 * @param {{minimum: number, maximum: number, cutBelow?: boolean, cutAbove?: boolean} | null} legend
 * @returns {{value: number, text: string}} The text carries "≈", since 256 levels are not the number itself.
 */
export function valueOfCode(code, legend) {
  if (!legend) return { value: code, text: String(code) };
  const span = legend.maximum - legend.minimum;
  const value = legend.minimum + (code / 255) * span;
  if (!(span > 0)) return { value: legend.minimum, text: formatNumber(legend.minimum) };
  // Of 256 levels none is zero on a symmetric scale; the two beside it stand for it.
  if (legend.minimum < 0 && Math.abs(value) <= (0.5001 * span) / 255) return { value: 0, text: "≈ 0" };
  // The ends may stand for all that lies beyond them.
  const sign = code === 0 && legend.cutBelow ? "≤" : code === 255 && legend.cutAbove ? "≥" : "≈";
  return { value, text: `${sign} ${formatLevel(value, span / 255)}` };
}

/**
 * Numbers for the cells of an enlarged picture, all with the same decimals, so that they can be compared.
 *
 * @param {Iterable<number>} codes Those that occur.
 * @param {{minimum: number, maximum: number} | null} legend
 * @param {number} room Characters a cell has room for.
 * @returns {string[]} Text for each code that occurs; "" where none of them fits.
 */
export function cellTexts(codes, legend, room) {
  const texts = [];
  let longest = 0;
  for (const code of new Set(codes)) {
    texts[code] = valueOfCode(code, legend).text.replace("≈ ", "");
    longest = Math.max(longest, texts[code].length);
  }
  if (longest <= room) return texts;
  // Too long with the zero before the point: leave it out everywhere, or round further cell by cell.
  return texts.map((text, code) => {
    const bare = withoutZero(text);
    return bare.length <= room ? bare : withoutZero(formatTight(valueOfCode(code, legend).value, room));
  });
}

/**
 * @param {Partial<Record<string, number>>} mapping What Python sends; missing numbers mean 1:1.
 */
export function mappingOf(mapping) {
  return {
    scaleRow: mapping.scale_row ?? 1,
    scaleCol: mapping.scale_col ?? 1,
    offsetRow: mapping.offset_row ?? 0,
    offsetCol: mapping.offset_col ?? 0,
    windowRows: mapping.window_rows ?? 0,
    windowCols: mapping.window_cols ?? 0,
  };
}

/**
 * @param {ReturnType<typeof mappingOf>} mapping
 * @param {{row: number, col: number}} own
 * @returns {{row: number, col: number}} The same place in the coordinates of the group.
 */
export function toCommon(mapping, own) {
  return {
    row: mapping.offsetRow + mapping.scaleRow * own.row,
    col: mapping.offsetCol + mapping.scaleCol * own.col,
  };
}

/**
 * @param {ReturnType<typeof mappingOf>} mapping
 * @param {{row: number, col: number}} common
 * @returns {{row: number, col: number}} The same place in a picture's own coordinates, not rounded.
 */
export function fromCommon(mapping, common) {
  return {
    row: (common.row - mapping.offsetRow) / mapping.scaleRow,
    col: (common.col - mapping.offsetCol) / mapping.scaleCol,
  };
}

/**
 * @param {{row: number, col: number}} place Not rounded.
 * @param {number} height
 * @param {number} width
 * @returns {{row: number, col: number} | null} The pixel there, or null outside the picture.
 */
export function pixelAt(place, height, width) {
  const row = Math.floor(place.row + 0.5);
  const col = Math.floor(place.col + 0.5);
  return row >= 0 && col >= 0 && row < height && col < width ? { row, col } : null;
}

/**
 * The window that a picture with one looks through, at a place of the group.
 *
 * @param {ReturnType<typeof mappingOf>} mapping Of the picture that has the window.
 * @param {{row: number, col: number}} own Pixel of that picture.
 * @returns {{row: number, col: number, rows: number, cols: number}} Centre and size in common coordinates.
 */
export function windowOf(mapping, own) {
  return { ...toCommon(mapping, own), rows: mapping.windowRows, cols: mapping.windowCols };
}

/**
 * @param {ReturnType<typeof mappingOf>} mapping Of the picture in which to frame the window.
 * @param {{row: number, col: number, rows: number, cols: number}} frame In common coordinates.
 * @returns {{top: number, left: number, rows: number, cols: number}} Edges in own pixels: 0 is the outer edge of
 *   pixel 0.
 */
export function frameIn(mapping, frame) {
  const centre = fromCommon(mapping, frame);
  const rows = frame.rows / mapping.scaleRow;
  const cols = frame.cols / mapping.scaleCol;
  return { top: centre.row + 0.5 - rows / 2, left: centre.col + 0.5 - cols / 2, rows, cols };
}

/**
 * @param {number} width Of the picture on the page.
 * @param {number} height
 * @returns {number} Side of a magnified pixel: the magnifier takes well under half of the picture.
 */
export function loupeCell(width, height) {
  return clamp(Math.floor((0.4 * Math.min(width, height)) / LOUPE_PIXELS), 7, 12);
}

/**
 * The corner farthest from the place looked at; pushed out of the picture where it would still cover that place.
 *
 * @param {{width: number, height: number}} box The picture on the page.
 * @param {{width: number, height: number}} panel
 * @param {{x: number, y: number}} point What is looked at, in the box.
 * @param {number} clear Distance to keep from it.
 * @returns {{left: number, top: number}}
 */
export function placeLoupe(box, panel, point, clear) {
  const edge = 6;
  const right = point.x < box.width / 2;
  const below = point.y < box.height / 2;
  const left = right ? box.width - panel.width - edge : edge;
  let top = below ? box.height - panel.height - edge : edge;
  const coversAcross = point.x > left - clear && point.x < left + panel.width + clear;
  if (coversAcross) top = below ? Math.max(top, point.y + clear) : Math.min(top, point.y - clear - panel.height);
  return { left, top };
}
