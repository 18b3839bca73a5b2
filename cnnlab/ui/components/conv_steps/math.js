import { MINUS_SIGN, formatNumber } from "../shared/numbers.js";

/**
 * @typedef {object} Convolution
 * @property {[number, number]} patchSize Rows and columns, padding included.
 * @property {[number, number]} kernelSize
 * @property {[number, number]} outputSize
 * @property {[number, number]} stride
 * @property {[number, number]} dilation
 * @property {Float32Array} patch Row by row.
 * @property {Float32Array} kernel
 * @property {number} bias
 * @property {string} activation
 * @property {number} negativeSlope
 */

/** @typedef {{row: number, col: number, value: number, weight: number, product: number}} Term */

/**
 * @param {any} header
 * @param {Uint8Array} body
 * @returns {Convolution & {output: Float32Array, activated: Float32Array | null, padding: Uint8Array}}
 */
export function convolutionOf(header, body) {
  let start = 0;
  const floats = (size) => {
    const length = 4 * size[0] * size[1];
    // A copy, because the numbers may start at an address that a Float32Array cannot begin at.
    const part = new Float32Array(body.slice(start, start + length).buffer);
    start += length;
    return part;
  };
  const patch = floats(header.patch);
  const kernel = floats(header.kernel);
  const output = floats(header.output);
  const activated = header.hasActivated ? floats(header.output) : null;
  return {
    patchSize: header.patch,
    kernelSize: header.kernel,
    outputSize: header.output,
    stride: header.stride,
    dilation: header.dilation,
    bias: header.bias,
    activation: header.activation,
    negativeSlope: header.negativeSlope,
    patch,
    kernel,
    output,
    activated,
    padding: body.slice(start),
  };
}

/**
 * @param {Convolution} conv
 * @param {number} row Of the output.
 * @param {number} col
 * @returns {{top: number, left: number, rows: number, cols: number}} What the output looks at, gaps included.
 */
export function windowAt(conv, row, col) {
  return {
    top: row * conv.stride[0],
    left: col * conv.stride[1],
    rows: (conv.kernelSize[0] - 1) * conv.dilation[0] + 1,
    cols: (conv.kernelSize[1] - 1) * conv.dilation[1] + 1,
  };
}

/**
 * @param {Convolution} conv
 * @param {number} row Of the output.
 * @param {number} col
 * @returns {Term[]} One for each weight, row by row.
 */
export function termsAt(conv, row, col) {
  const { top, left } = windowAt(conv, row, col);
  const terms = [];
  for (let i = 0; i < conv.kernelSize[0]; i += 1) {
    for (let j = 0; j < conv.kernelSize[1]; j += 1) {
      const r = top + i * conv.dilation[0];
      const c = left + j * conv.dilation[1];
      const value = conv.patch[r * conv.patchSize[1] + c];
      const weight = conv.kernel[i * conv.kernelSize[1] + j];
      terms.push({ row: r, col: c, value, weight, product: value * weight });
    }
  }
  return terms;
}

/**
 * @param {string} name
 * @param {number} value
 * @param {number} [negativeSlope]
 * @returns {number}
 */
export function activate(name, value, negativeSlope = 0.01) {
  if (name === "relu") return value > 0 ? value : value < 0 ? 0 : value;
  if (name === "leaky_relu") return value >= 0 ? value : negativeSlope * value;
  if (name === "tanh") return Math.tanh(value);
  if (name === "sigmoid") return 1 / (1 + Math.exp(-value));
  if (name === "silu") return value === -Infinity ? 0 : value / (1 + Math.exp(-value));
  return value;
}

/**
 * @param {Convolution} conv
 * @param {number} row Of the output.
 * @param {number} col
 * @returns {{terms: Term[], sum: number, biased: number, result: number, size: number}} `size` is the sum of
 *   magnitudes: what rounding errors are to be measured against.
 */
export function responseAt(conv, row, col) {
  const terms = termsAt(conv, row, col);
  let sum = 0;
  let size = Math.abs(conv.bias);
  for (const { product } of terms) {
    sum += product;
    size += Math.abs(product);
  }
  const biased = sum + conv.bias;
  return { terms, sum, biased, result: activate(conv.activation, biased, conv.negativeSlope), size };
}

/**
 * @param {Convolution} conv
 * @param {number} row Of the input, padding included.
 * @param {number} col
 * @returns {{row: number, col: number, tap: number}[]} The outputs that look at it, each with the weight it meets.
 */
export function usersOf(conv, row, col) {
  const users = [];
  for (let i = conv.kernelSize[0] - 1; i >= 0; i -= 1) {
    const down = (row - i * conv.dilation[0]) / conv.stride[0];
    if (!Number.isInteger(down) || down < 0 || down >= conv.outputSize[0]) continue;
    for (let j = conv.kernelSize[1] - 1; j >= 0; j -= 1) {
      const across = (col - j * conv.dilation[1]) / conv.stride[1];
      if (!Number.isInteger(across) || across < 0 || across >= conv.outputSize[1]) continue;
      users.push({ row: down, col: across, tap: i * conv.kernelSize[1] + j });
    }
  }
  return users;
}

/**
 * @param {Convolution & {output: Float32Array, activated: Float32Array | null}} conv
 * @param {number} [tolerance] Relative to the size of the terms, or of the number itself.
 * @returns {{results: Float64Array, fault: null | {row: number, col: number, ours: number, theirs: number}}} All
 *   outputs after the activation, and the first one that differs from what Python has sent.
 */
export function checked(conv, tolerance = 1e-4) {
  const [rows, cols] = conv.outputSize;
  const results = new Float64Array(rows * cols);
  let fault = null;
  for (let index = 0; index < results.length; index += 1) {
    const row = Math.floor(index / cols);
    const col = index % cols;
    const { biased, result, size } = responseAt(conv, row, col);
    results[index] = result;
    if (fault) continue;
    const pairs = [[biased, conv.output[index]]];
    if (conv.activated) pairs.push([result, conv.activated[index]]);
    for (const [ours, theirs] of pairs) {
      const both = Number.isNaN(ours) && Number.isNaN(theirs);
      const near = ours === theirs || Math.abs(ours - theirs) <= tolerance * Math.max(Math.abs(ours), size, 1e-30);
      if (!both && !near) {
        fault = { row, col, ours, theirs };
        break;
      }
    }
  }
  return { results, fault };
}

/**
 * @param {number} number
 * @returns {string} In brackets if negative, as it must be behind a sign of operation.
 */
export function bracketed(number) {
  const text = formatNumber(number);
  return text.startsWith(MINUS_SIGN) ? `(${text})` : text;
}

/**
 * @param {Term} term
 * @param {boolean} first
 * @returns {string} "1·(−1)", "+ 2·0".
 */
export function termText(term, first) {
  const product = (value) => `${value}·${bracketed(term.weight)}`;
  return first ? product(formatNumber(term.value)) : `+ ${product(bracketed(term.value))}`;
}

/**
 * @param {string} name
 * @param {number} before
 * @param {number} after
 * @param {number} negativeSlope
 * @returns {string} "ReLU(8.5) = 8.5"; nothing where there is no activation.
 */
export function activationText(name, before, after, negativeSlope) {
  const [x, y] = [formatNumber(before), formatNumber(after)];
  if (name === "relu") return `ReLU(${x}) = ${y}`;
  if (name === "leaky_relu") {
    const how = before < 0 ? `${formatNumber(negativeSlope)}·${bracketed(before)} = ` : "";
    return `LeakyReLU(${x}) = ${how}${y}`;
  }
  if (name === "tanh") return `tanh(${x}) = ${y}`;
  if (name === "sigmoid") return `sigmoid(${x}) = ${y}`;
  if (name === "silu") return `SiLU(${x}) = ${bracketed(before)}·sigmoid(${x}) = ${y}`;
  return "";
}

/**
 * Sides of the cells of the three matrices: equal if the numbers can then be read, otherwise the kernel's are
 * larger, because it is small and its numbers matter most.
 *
 * @param {number} width
 * @param {boolean} sideBySide
 * @param {Convolution} conv
 * @returns {{input: number, kernel: number, output: number}}
 */
export function cellSides(width, sideBySide, conv) {
  const [rows, cols] = conv.patchSize;
  const [kernelRows, kernelCols] = conv.kernelSize;
  const [outRows, outCols] = conv.outputSize;
  const tall = 380;
  const whole = (side) => (side >= 4 ? Math.floor(side) : side);
  if (!sideBySide) {
    const side = whole(Math.min(width / Math.max(cols, outCols), tall / Math.max(rows, outRows), 52));
    return { input: side, output: side, kernel: whole(Math.min(width / kernelCols, tall / kernelRows, 48)) };
  }
  const even = Math.min(width / (cols + kernelCols + outCols), tall / Math.max(rows, kernelRows, outRows), 56);
  if (even >= 28) return { input: whole(even), kernel: whole(even), output: whole(even) };
  const kernel = whole(Math.min(44, (0.3 * width) / kernelCols, tall / kernelRows));
  const rest = width - kernel * kernelCols;
  const side = whole(Math.min(rest / (cols + outCols), tall / Math.max(rows, outRows), 56));
  return { input: side, kernel, output: side };
}

/**
 * @param {number} share 0 to 1.
 * @returns {number} 0 to 1, quick at first, then settling.
 */
export function settle(share) {
  return 1 - (1 - Math.min(1, Math.max(0, share))) ** 3;
}
