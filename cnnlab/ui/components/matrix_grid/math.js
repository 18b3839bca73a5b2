import { MINUS_SIGN } from "../shared/numbers.js";

/** @typedef {number[][]} Matrix */

const PLAIN = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

/**
 * @param {string} text "0.5", "−2", ".5", "1e-3", "1/9", "0,5"; nothing at all is 0, as in a spreadsheet.
 * @returns {{value: number} | {problem: string}}
 */
export function parseCell(text) {
  const cleaned = text.replaceAll(MINUS_SIGN, "-").replaceAll("–", "-").replace(/\s+/g, "");
  if (cleaned === "") return { value: 0 };
  const shown = text.trim().length > 24 ? `${text.trim().slice(0, 24)}…` : text.trim();
  const parts = cleaned.split("/").map((part) => (/^[^,.]*,[^,.]*$/.test(part) ? part.replace(",", ".") : part));
  if (parts.length > 2 || !parts.every((part) => PLAIN.test(part))) {
    return { problem: `“${shown}” is not a number. Type one like 0.5, ${MINUS_SIGN}2 or 1/9.` };
  }
  const numbers = parts.map(Number);
  if (numbers.length === 2 && numbers[1] === 0) return { problem: `“${shown}” divides by zero.` };
  const value = numbers.length === 2 ? numbers[0] / numbers[1] : numbers[0];
  if (!Number.isFinite(Math.fround(value))) return { problem: `“${shown}” is too large; float32 ends at 3.4e38.` };
  return { value: value === 0 ? 0 : value };
}

/**
 * Reads a block copied from a spreadsheet, a NumPy print-out or a text.
 *
 * Rows end with a line break (or with "]" or ";;"); within a row the first of tab, semicolon, comma, space that
 * occurs in the block separates. With tabs and semicolons, a comma is a decimal comma.
 *
 * @param {string} text
 * @returns {{block: Matrix} | {problem: string} | null} Null if this is a single number: ordinary typing.
 */
export function parseBlock(text) {
  const bare = text.replace(/\r\n?/g, "\n").replace(/\]\s*,?\s*\[/g, "\n").replace(/[[\]]/g, " ").replace(/^\n+|[ \n]+$/g, "");
  const lines = bare.split("\n").filter((line, index, all) => line.trim() !== "" || all.length === 1);
  const separator = ["\t", ";", ","].find((mark) => bare.includes(mark));
  const rows = lines.map((line) => {
    if (separator === "\t") return line.replace(/^ +| +$/g, "").split("\t");
    const trimmed = line.trim().replace(/[;,]$/, "");
    if (separator === ";") return trimmed.split(";");
    return separator ? trimmed.split(/\s*,\s*|\s+/) : trimmed.split(/\s+/);
  });
  if (rows.length === 1 && rows[0].length <= 1) return null;
  const columns = rows[0].length;
  /** @type {Matrix} */
  const block = [];
  for (const [index, row] of rows.entries()) {
    if (row.length !== columns) {
      return { problem: `Row ${index + 1} of what you pasted has ${row.length} numbers, row 1 has ${columns}.` };
    }
    const numbers = [];
    for (const cell of row) {
      const parsed = parseCell(cell);
      if ("problem" in parsed) return { problem: `Nothing pasted: ${parsed.problem}` };
      numbers.push(parsed.value);
    }
    block.push(numbers);
  }
  return { block };
}

/**
 * Puts a block into a matrix from a cell on. A block that is larger than the matrix becomes the matrix; one that
 * would hang over makes it grow.
 *
 * @param {Matrix} matrix
 * @param {Matrix} block
 * @param {number} row
 * @param {number} col
 * @param {{minSize: number, maxSize: number, sizeStep: number}} limits
 * @returns {{matrix: Matrix} | {problem: string}}
 */
export function paste(matrix, block, row, col, limits) {
  const [rows, cols] = sizeOf(matrix);
  const [blockRows, blockCols] = sizeOf(block);
  const replaces = blockRows > rows || blockCols > cols;
  const wantedRows = replaces ? blockRows : Math.max(rows, row + blockRows);
  const wantedCols = replaces ? blockCols : Math.max(cols, col + blockCols);
  if (Math.max(wantedRows, wantedCols) > limits.maxSize) {
    const what = replaces ? `The block is ${blockRows} × ${blockCols}` : `From here the grid would have to be ${wantedRows} × ${wantedCols}`;
    return { problem: `${what}; the grid takes up to ${limits.maxSize} × ${limits.maxSize}. Nothing pasted.` };
  }
  const start = replaces ? zeros(nextSize(wantedRows, limits), nextSize(wantedCols, limits)) : matrix;
  const grown = zeros(nextSize(Math.max(wantedRows, start.length), limits), nextSize(Math.max(wantedCols, start[0].length), limits));
  const top = replaces ? 0 : row;
  const left = replaces ? 0 : col;
  start.forEach((line, r) => line.forEach((value, c) => (grown[r][c] = value)));
  block.forEach((line, r) => line.forEach((value, c) => (grown[top + r][left + c] = value)));
  return { matrix: grown };
}

/** The smallest size allowed that holds so many. */
function nextSize(wanted, { minSize, maxSize, sizeStep }) {
  const size = minSize + Math.ceil(Math.max(0, wanted - minSize) / sizeStep) * sizeStep;
  return Math.min(size, Math.max(maxSize, wanted));
}

/**
 * @param {Matrix} matrix
 * @returns {[number, number]}
 */
export function sizeOf(matrix) {
  return [matrix.length, matrix[0].length];
}

/**
 * @param {number} rows
 * @param {number} cols
 * @returns {Matrix}
 */
export function zeros(rows, cols) {
  return Array.from({ length: rows }, () => new Array(cols).fill(0));
}

/**
 * Grows with zeros or shrinks around the centre. Where one line cannot be shared by two sides, even sizes have it
 * at the end, so that growing and shrinking undo one another.
 *
 * @param {Matrix} matrix
 * @param {number} rows
 * @param {number} cols
 * @returns {Matrix}
 */
export function resize(matrix, rows, cols) {
  const [oldRows, oldCols] = sizeOf(matrix);
  const top = Math.floor((rows - 1) / 2) - Math.floor((oldRows - 1) / 2);
  const left = Math.floor((cols - 1) / 2) - Math.floor((oldCols - 1) / 2);
  const result = zeros(rows, cols);
  for (let r = 0; r < rows; r += 1) {
    for (let c = 0; c < cols; c += 1) result[r][c] = matrix[r - top]?.[c - left] ?? 0;
  }
  return result;
}

/** @type {(matrix: Matrix) => Matrix} */
export const transpose = (matrix) => matrix[0].map((_, c) => matrix.map((row) => row[c]));

/** Clockwise. @type {(matrix: Matrix) => Matrix} */
export const rotate = (matrix) => transpose(flipUpDown(matrix));

/** @type {(matrix: Matrix) => Matrix} */
export const flipLeftRight = (matrix) => matrix.map((row) => [...row].reverse());

/** @type {(matrix: Matrix) => Matrix} */
export const flipUpDown = (matrix) => [...matrix].reverse().map((row) => [...row]);

/**
 * Divides by the sum; by the sum of magnitudes where the sum is zero up to rounding, as it is in an edge kernel.
 *
 * @param {Matrix} matrix
 * @returns {{matrix: Matrix, by: "sum" | "magnitudes" | "nothing", divisor: number}}
 */
export function normalise(matrix) {
  const values = matrix.flat();
  const sum = values.reduce((total, value) => total + value, 0);
  const magnitudes = values.reduce((total, value) => total + Math.abs(value), 0);
  if (!(magnitudes > 0) || !Number.isFinite(magnitudes)) return { matrix, by: "nothing", divisor: 1 };
  const by = Math.abs(sum) > 1e-12 * magnitudes ? "sum" : "magnitudes";
  const divisor = by === "sum" ? sum : magnitudes;
  return { matrix: matrix.map((row) => row.map((value) => value / divisor || 0)), by, divisor };
}

/**
 * @param {Matrix} one
 * @param {Matrix} other
 * @returns {boolean}
 */
export function same(one, other) {
  return (
    one.length === other.length &&
    one.every((row, r) => row.length === other[r].length && row.every((value, c) => value === other[r][c]))
  );
}

/**
 * @param {number} width Room for the grid.
 * @param {number} height
 * @param {number} rows
 * @param {number} cols
 * @returns {{width: number, height: number, font: number, room: number}} Of a cell: its sides, the size of its
 *   text, and how many characters fit.
 */
export function cellSize(width, height, rows, cols) {
  const down = Math.max(16, Math.min(Math.floor(height / rows), 72));
  const across = Math.max(16, Math.min(Math.floor(width / cols), 76, Math.round(2.2 * down)));
  const font = Math.max(9, Math.min(16, 0.3 * across, 0.5 * down));
  return { width: across, height: down, font, room: Math.floor((across - 3) / (0.57 * font)) };
}

/**
 * @param {number} value
 * @param {number} step
 * @returns {number} The sum without the dust of binary fractions: 0.1 + 0.2 is 0.3.
 */
export function stepped(value, step) {
  return Number((value + step).toPrecision(12)) || 0;
}
