import { formatLevel, formatNumber } from "../shared/numbers.js";

// Maps over one picture: the same arithmetic as cnnlab/figures/heat.py.

/**
 * @typedef {object} Scale
 * @property {number} minimum Number of the first colour.
 * @property {number} maximum Number of the last one.
 * @property {boolean} isSigned Whether zero is in the middle.
 */

/**
 * @typedef {object} Tile
 * @property {string} id
 * @property {string} title
 * @property {string} note
 * @property {string} warning
 * @property {number} height Cells of the map; 0 where there is none yet.
 * @property {number} width
 * @property {Scale} own
 * @property {Scale} shared
 * @property {number} done Share of the work that is in the map.
 * @property {Float32Array} map Row by row.
 */

/**
 * @param {any} header
 * @param {Uint8Array} body The picture, three numbers a pixel, then all maps.
 * @returns {{picture: Uint8Array, tiles: Tile[]}}
 */
export function heatTiles(header, body) {
  const start = 3 * header.height * header.width;
  // A copy, because the numbers may start at an address that a Float32Array cannot begin at.
  const numbers = new Float32Array(body.slice(start).buffer);
  let at = 0;
  const tiles = header.tiles.map((tile) => ({
    ...tile,
    own: scaleOf(tile.own, tile.isSigned),
    shared: scaleOf(tile.shared, tile.isSigned),
    map: numbers.subarray(at, (at += tile.height * tile.width)),
  }));
  return { picture: body.subarray(0, start), tiles };
}

/** @type {(ends: [number, number], isSigned: boolean) => Scale} */
function scaleOf([minimum, maximum], isSigned) {
  return { minimum, maximum, isSigned };
}

/**
 * A map with as many cells as the picture has pixels: bilinear between the centres of its cells, or each cell a block.
 *
 * @param {Float32Array} map
 * @param {[number, number]} cells Its height and width.
 * @param {[number, number]} size Those of the picture.
 * @param {boolean} smooth
 * @returns {Float32Array}
 */
export function enlarge(map, [height, width], [rows, cols], smooth) {
  const down = smooth ? between(height, rows) : blocks(height, rows);
  const across = smooth ? between(width, cols) : blocks(width, cols);
  const values = new Float32Array(rows * cols);
  for (let row = 0; row < rows; row += 1) {
    const upper = down.first[row] * width;
    const lower = down.second[row] * width;
    const rest = down.part[row];
    for (let col = 0; col < cols; col += 1) {
      const left = across.first[col];
      const right = across.second[col];
      const part = across.part[col];
      const above = map[upper + left] * (1 - part) + map[upper + right] * part;
      const below = map[lower + left] * (1 - part) + map[lower + right] * part;
      values[row * cols + col] = above * (1 - rest) + below * rest;
    }
  }
  return values;
}

/** For each pixel the two cells whose centres it lies between, and how near it is to the second. */
function between(cells, length) {
  const first = new Uint32Array(length);
  const second = new Uint32Array(length);
  const part = new Float64Array(length);
  for (let index = 0; index < length; index += 1) {
    const place = Math.max(0, ((index + 0.5) * cells) / length - 0.5);
    first[index] = Math.min(Math.floor(place), cells - 1);
    second[index] = Math.min(first[index] + 1, cells - 1);
    part[index] = place - first[index];
  }
  return { first, second, part };
}

function blocks(cells, length) {
  const first = Uint32Array.from({ length }, (_, index) => Math.floor((index * cells) / length));
  return { first, second: first, part: new Float64Array(length) };
}

/**
 * @param {Uint8Array} picture Three numbers a pixel.
 * @param {Float32Array} values One number a pixel.
 * @param {Scale} scale
 * @param {Uint8Array} lut 256 × 3 numbers.
 * @param {boolean} fades Whether the picture shows through where the map says little.
 * @param {number} opacity 0 to 1.
 * @returns {Uint8ClampedArray} Four numbers a pixel, opaque. Without a scale, the picture.
 */
export function lay(picture, values, scale, lut, fades, opacity) {
  const count = picture.length / 3;
  const rgba = new Uint8ClampedArray(4 * count);
  const span = scale.maximum - scale.minimum;
  for (let index = 0; index < count; index += 1) {
    const share = span > 0 ? Math.min(1, Math.max(0, (values[index] - scale.minimum) / span)) : 0;
    const strength = !fades ? 1 : scale.isSigned ? Math.abs(2 * share - 1) : share;
    const alpha = span > 0 ? opacity * Math.sqrt(strength) : 0;
    const colour = 3 * Math.round(255 * share);
    for (let channel = 0; channel < 3; channel += 1) {
      const below = picture[3 * index + channel];
      rgba[4 * index + channel] = below + (lut[colour + channel] - below) * alpha;
    }
    rgba[4 * index + 3] = 255;
  }
  return rgba;
}

/**
 * @param {Tile} tile
 * @param {[number, number]} size Height and width of the picture.
 * @param {{row: number, col: number}} at Pixel of the picture.
 * @returns {{row: number, col: number, value: number}} The cell under it.
 */
export function cellUnderPixel(tile, [rows, cols], at) {
  const row = Math.floor((at.row * tile.height) / rows);
  const col = Math.floor((at.col * tile.width) / cols);
  return { row, col, value: tile.map[row * tile.width + col] };
}

/**
 * @param {Tile} tile
 * @param {[number, number]} size
 * @param {{row: number, col: number}} at
 * @returns {string} What a screen reader and the line under a map say of a place.
 */
export function cellText(tile, size, at) {
  const cell = cellUnderPixel(tile, size, at);
  const step = (tile.own.maximum - tile.own.minimum) / 1000;
  return `${formatLevel(cell.value, step)} in cell ${cell.row}, ${cell.col}`;
}

/**
 * @param {Tile} tile
 * @param {boolean} shared
 * @returns {{low: string, high: string, zero: boolean}} Words at the ends of a legend.
 */
export function legendWords(tile, shared) {
  const { minimum, maximum, isSigned } = shared ? tile.shared : tile.own;
  return { low: formatNumber(minimum), high: formatNumber(maximum), zero: isSigned };
}

/**
 * @param {number} room Width there is, in CSS pixels.
 * @param {number} wanted Columns.
 * @param {number} least Width of a column.
 * @param {number} group How many tiles belong side by side; 0 where none do.
 * @returns {number} As many columns as there is room for, at most those wanted, at least one; whole groups, if one fits.
 */
export function columnsIn(room, wanted, least, group) {
  const fitting = Math.max(1, Math.min(wanted, Math.floor(room / least)));
  return group > 1 && fitting >= group ? fitting - (fitting % group) : fitting;
}
