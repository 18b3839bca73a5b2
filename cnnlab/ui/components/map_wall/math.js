import { tintCode } from "../shared/colour.js";
import { clamp, formatLevel, formatNumber } from "../shared/numbers.js";

// One row is one layer: maps, each coded with its own limit, or a vector of plain numbers.

/** The code that stands for NaN and ∞. */
const NOT_FINITE = -128;
const TOP = 127;
const STATS = 5;

// Of maps on the page, in CSS pixels.
const MAP_GAP = 4;
const LARGEST = 64;
const SMALLEST = 32;

/**
 * @typedef {object} WallRow
 * @property {number} index
 * @property {string} name
 * @property {string} kind
 * @property {number[]} shape Without the batch.
 * @property {number} count Maps, or numbers of a vector, that are shown.
 * @property {number[]} channels Which maps; empty for a vector, which is shown from its first number on.
 * @property {number} numChannels How many there are.
 * @property {number} height Cells of a map; 0 for a vector.
 * @property {number} width
 * @property {Float32Array} limits Largest magnitude of each map, as shown.
 * @property {{minimum: number, maximum: number, mean: number, zeros: number}[]} stats Of the maps before reduction.
 * @property {Int8Array} codes Map after map.
 * @property {Float32Array | null} values Of a vector.
 */

/**
 * @param {any} header
 * @param {Uint8Array} body All numbers of all rows, then all codes.
 * @returns {WallRow[]}
 */
export function wallRows(header, body) {
  const isVector = (row) => row.height === 0;
  const numbersIn = (row) => row.count * (isVector(row) ? 1 : STATS);
  const total = header.rows.reduce((sum, row) => sum + numbersIn(row), 0);
  // A copy, because the numbers may start at an address that a Float32Array cannot begin at.
  const numbers = new Float32Array(body.slice(0, 4 * total).buffer);
  const codes = new Int8Array(body.buffer, body.byteOffset + 4 * total, body.length - 4 * total);
  let number = 0;
  let code = 0;
  return header.rows.map((row) => {
    const own = numbers.subarray(number, (number += numbersIn(row)));
    if (isVector(row)) return { ...row, limits: null, stats: [], codes: null, values: own };
    const limits = Float32Array.from(row.channels, (_, at) => own[STATS * at]);
    const stats = row.channels.map((_, at) => {
      const [, minimum, maximum, mean, zeros] = own.subarray(STATS * at, STATS * (at + 1));
      return { minimum, maximum, mean, zeros };
    });
    return { ...row, limits, stats, codes: codes.subarray(code, (code += row.count * row.height * row.width)), values: null };
  });
}

/**
 * @param {WallRow} row
 * @param {number} at Position in the row.
 * @returns {number} The channel's number in the layer.
 */
export function channelAt(row, at) {
  return row.values ? at : row.channels[at];
}

/**
 * @param {WallRow} row
 * @param {number} channel
 * @returns {number} Its position in the row, −1 if it is not shown.
 */
export function positionOf(row, channel) {
  if (row.values) return channel < row.count ? channel : -1;
  return row.channels.indexOf(channel);
}

/**
 * @param {WallRow} row
 * @returns {number} Largest finite magnitude in the row.
 */
export function boundOfRow(row) {
  let bound = 0;
  for (const value of row.values ?? row.limits) {
    const size = Math.abs(value);
    if (Number.isFinite(size) && size > bound) bound = size;
  }
  return bound;
}

/**
 * @param {WallRow} row
 * @param {number} at
 * @param {"map" | "layer" | "net"} scale
 * @param {number} layerBound
 * @param {number} netBound
 * @returns {number} The magnitude that gets the strongest colour. A vector is one picture, as a map is.
 */
export function boundFor(row, at, scale, layerBound, netBound) {
  if (scale === "net") return netBound;
  return scale === "layer" || row.values ? layerBound : row.limits[at];
}

/**
 * @param {WallRow} row
 * @param {number} at Position of the map in the row.
 * @param {number} cell Position in the map, row by row.
 * @returns {number} Within half a step of the true number; NaN for what is not finite.
 */
export function valueAt(row, at, cell) {
  const code = row.codes[at * row.height * row.width + cell];
  return code === NOT_FINITE ? NaN : (code / TOP) * row.limits[at];
}

/**
 * @param {WallRow} row
 * @param {number} at
 * @param {number} cell
 * @returns {string} "≈ 0.42", with the decimals that 8 bits allow.
 */
export function valueText(row, at, cell) {
  const value = valueAt(row, at, cell);
  if (Number.isNaN(value)) return "NaN or ∞";
  return value === 0 ? "≈ 0" : `≈ ${formatLevel(value, row.limits[at] / TOP)}`;
}

/**
 * @param {number} limit What the largest code stands for.
 * @param {number} bound What the strongest colour stands for.
 * @param {Uint8Array} rgb Diverging colours, 256 × 3.
 * @param {number[]} alien Colour of what is not finite.
 * @returns {Uint32Array} A pixel for each code, at `code & 255`.
 */
export function pixelTable(limit, bound, rgb, alien) {
  const table = new Uint32Array(256);
  const bytes = new Uint8Array(table.buffer);
  for (let code = -TOP; code <= TOP; code += 1) {
    const tint = 3 * tintCode((code / TOP) * limit, bound);
    bytes.set([rgb[tint], rgb[tint + 1], rgb[tint + 2], 255], 4 * (code & 255));
  }
  bytes.set([...alien, 255], 4 * (NOT_FINITE & 255));
  return table;
}

/**
 * The maps of a row as one picture, `columns` beside each other, without gaps.
 *
 * @param {WallRow} row
 * @param {number} from Position of the first map.
 * @param {number} count
 * @param {number} columns
 * @param {number[]} bounds What the strongest colour stands for, map by map.
 * @param {Uint8Array} rgb
 * @param {number[]} alien
 * @returns {{rgba: Uint8ClampedArray, width: number, height: number}}
 */
export function sheetOf(row, from, count, columns, bounds, rgb, alien) {
  const { height: rows, width: cols } = row;
  const width = Math.min(count, columns) * cols;
  const height = Math.ceil(count / columns) * rows;
  const rgba = new Uint8ClampedArray(4 * width * height);
  const words = new Uint32Array(rgba.buffer);
  for (let map = 0; map < count; map += 1) {
    const table = pixelTable(row.limits[from + map], bounds[map], rgb, alien);
    let source = (from + map) * rows * cols;
    const corner = Math.floor(map / columns) * rows * width + (map % columns) * cols;
    for (let down = 0; down < rows; down += 1) {
      const start = corner + down * width;
      for (let across = 0; across < cols; across += 1) {
        words[start + across] = table[row.codes[source] & 255];
        source += 1;
      }
    }
  }
  return { rgba, width, height };
}

/**
 * The side of a map on the screen: as many of the layers as possible are enlarged by a whole number, so that their
 * squares are alike. Of equally good sides the largest.
 *
 * @param {number} most Device pixels there is room for.
 * @param {number[]} sides Longer side of the maps of each layer, in cells.
 * @returns {number} Device pixels, above three quarters of `most`.
 */
export function tileSide(most, sides) {
  let best = most;
  let bestFit = -1;
  for (let side = most; side > 0.75 * most && side > 0; side -= 1) {
    const fit = sides.filter((cells) => side % cells === 0).length;
    if (fit > bestFit) {
      best = side;
      bestFit = fit;
    }
  }
  return best;
}

/**
 * @typedef {object} Grid
 * @property {number} count
 * @property {number} columns
 * @property {number} lines
 * @property {number} pitch From one tile to the next, in device pixels.
 * @property {number} side Of a tile.
 */

/**
 * @param {number} count
 * @param {number} columns
 * @param {number} side
 * @param {number} gap
 * @returns {Grid}
 */
export function gridOf(count, columns, side, gap) {
  return { count, columns, lines: Math.ceil(count / columns), pitch: side + gap, side };
}

/**
 * Where the tiles of all rows go. All rows have the same number of columns, so that a channel stays in its column
 * from a convolution through its activation.
 *
 * @param {WallRow[]} rows
 * @param {number} width CSS pixels there are for maps.
 * @param {number} dense Device pixels in a CSS pixel.
 * @param {boolean} wraps As many columns as fit, rather than as few lines.
 * @returns {Grid[]}
 */
export function wallGrids(rows, width, dense, wraps) {
  const gap = Math.max(1, Math.round(MAP_GAP * dense));
  const room = Math.max(1, Math.floor(width * dense));
  const maps = rows.filter((row) => !row.values);
  const most = Math.max(1, ...maps.map((row) => row.count));
  const sides = maps.map((row) => Math.max(row.height, row.width));
  const fitting = (columns) => Math.floor((room + gap) / columns) - gap;
  let columns = most;
  if (wraps) columns = clamp(Math.floor((room + gap) / (LARGEST * dense + gap)), 1, most);
  else for (let lines = 2; columns > 1 && fitting(columns) < SMALLEST * dense; lines += 1) columns = Math.ceil(most / lines);
  const side = Math.max(1, tileSide(Math.min(fitting(columns), Math.round(LARGEST * dense)), sides));
  if (wraps) columns = clamp(Math.floor((room + gap) / (side + gap)), 1, most);
  return rows.map((row) => {
    const { count } = row;
    if (!row.values) return gridOf(count, columns, side, gap);
    const cell = Math.max(2, Math.round((count <= 64 ? 20 : count <= 512 ? 11 : 7) * dense));
    const seam = Math.max(1, Math.round(dense));
    return gridOf(count, clamp(Math.floor((room + seam) / (cell + seam)), 1, count), cell, seam);
  });
}

/**
 * @param {Grid} grid
 * @param {number} at
 * @returns {{x: number, y: number}} Upper left corner of a tile, in device pixels.
 */
export function cornerOf(grid, at) {
  return { x: (at % grid.columns) * grid.pitch, y: Math.floor(at / grid.columns) * grid.pitch };
}

/**
 * @param {Grid} grid
 * @returns {{width: number, height: number}} In device pixels.
 */
export function sizeOf(grid) {
  const gap = grid.pitch - grid.side;
  return { width: Math.min(grid.count, grid.columns) * grid.pitch - gap, height: grid.lines * grid.pitch - gap };
}

/**
 * @param {Grid} grid
 * @param {number} x Device pixels.
 * @param {number} y
 * @returns {number} The tile there, −1 if there is none. The gap behind a tile belongs to it: no flicker on the way.
 */
export function tileAt(grid, x, y) {
  const col = Math.floor(x / grid.pitch);
  const line = Math.floor(y / grid.pitch);
  const at = line * grid.columns + col;
  return x >= 0 && y >= 0 && col < grid.columns && at < grid.count ? at : -1;
}

/**
 * How large a map is drawn on a tile: its longer side fills it.
 *
 * @param {number} side
 * @param {number} rows
 * @param {number} cols
 * @returns {{width: number, height: number}}
 */
export function drawnSize(side, rows, cols) {
  const scale = side / Math.max(rows, cols);
  return { width: Math.max(1, Math.round(cols * scale)), height: Math.max(1, Math.round(rows * scale)) };
}

/**
 * @param {WallRow} row
 * @param {Grid} grid
 * @param {number} at
 * @param {number} x Device pixels in the grid.
 * @param {number} y
 * @returns {{row: number, col: number}} The cell of map `at` under a place, or the nearest one beside the map.
 */
export function cellUnder(row, grid, at, x, y) {
  const corner = cornerOf(grid, at);
  const size = drawnSize(grid.side, row.height, row.width);
  return {
    row: clamp(Math.floor(((y - corner.y) / size.height) * row.height), 0, row.height - 1),
    col: clamp(Math.floor(((x - corner.x) / size.width) * row.width), 0, row.width - 1),
  };
}

/**
 * Where an arrow key leads.
 *
 * @param {Grid[]} grids Of the rows that are shown.
 * @param {{row: number, at: number}} from Positions among the rows and in the row.
 * @param {string} key "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home" or "End".
 * @param {boolean} far Up and down skip the other lines of the row.
 * @returns {{row: number, at: number}}
 */
export function moved(grids, from, key, far) {
  const grid = grids[from.row];
  const last = grid.count - 1;
  if (key === "ArrowLeft") return { row: from.row, at: Math.max(0, from.at - 1) };
  if (key === "ArrowRight") return { row: from.row, at: Math.min(last, from.at + 1) };
  if (key === "Home") return { row: from.row, at: 0 };
  if (key === "End") return { row: from.row, at: last };
  const step = key === "ArrowUp" ? -1 : 1;
  const line = Math.floor(from.at / grid.columns);
  if (!far && line + step >= 0 && line + step < grid.lines) {
    return { row: from.row, at: Math.min(last, from.at + step * grid.columns) };
  }
  const row = from.row + step;
  if (row < 0 || row >= grids.length) return from;
  const next = grids[row];
  const start = step < 0 && !far ? (next.lines - 1) * next.columns : 0;
  // The same share of the width: cells of a vector are narrower than maps.
  const x = (from.at % grid.columns) * grid.pitch + grid.side / 2;
  return { row, at: Math.min(next.count - 1, start + Math.min(next.columns - 1, Math.floor(x / next.pitch))) };
}

/** What rows can be filtered by, with the words people see. */
export const ROW_FILTERS = {
  all: "All layers",
  convolution: "Convolutions",
  activation: "After activation",
  pooling: "Pooling",
};

/**
 * @param {string} kind Of a layer: "Conv2d", "ReLU", "MaxPool2d" …
 * @returns {string} Key of `ROW_FILTERS`; "" for what has no filter of its own.
 */
export function filterOf(kind) {
  if (/conv/i.test(kind)) return "convolution";
  if (/pool/i.test(kind)) return "pooling";
  return /relu|elu|silu|swish|tanh|sigmoid|mish|softplus|activation/i.test(kind) ? "activation" : "";
}

/**
 * @param {WallRow} row
 * @returns {number} How many cells of the layer, across and down, one square of a thumbnail is the mean of.
 */
export function reductionOf(row) {
  // The longer side decided it; the other may have been cut short at its end.
  return row.values ? 1 : Math.ceil(Math.max(...row.shape.slice(-2)) / Math.max(row.height, row.width));
}

/**
 * @param {number} share 0 to 1.
 * @returns {string} "38 %"; never "0 %" or "100 %" for what is only nearly so.
 */
export function shareText(share) {
  if (!Number.isFinite(share)) return "NaN";
  const percent = 100 * share;
  if (share > 0 && percent < 0.1) return "< 0.1 %";
  if (share < 1 && percent > 99.9) return "> 99.9 %";
  return `${formatNumber(percent)} %`;
}

/**
 * Across the corner from what is looked at: its row and its column, where one looks next, stay free.
 *
 * @param {{width: number, height: number}} port The window.
 * @param {{left: number, top: number, width: number, height: number}} thing What is looked at, in the window.
 * @param {{width: number, height: number}} panel
 * @returns {{left: number, top: number}} Below and to the right if there is room; inside the window if it fits at all.
 */
export function placeCard(port, thing, panel) {
  const gap = 10;
  const edge = 6;
  const beyond = (start, length, size, end) => {
    const after = start + length + gap;
    const before = start - gap - size;
    if (after + size + edge <= end) return after;
    return before >= edge ? before : clamp(start, edge, Math.max(edge, end - size - edge));
  };
  return {
    left: beyond(thing.left, thing.width, panel.width, port.width),
    top: beyond(thing.top, thing.height, panel.height, port.height),
  };
}
