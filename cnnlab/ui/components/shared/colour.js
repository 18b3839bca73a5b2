// Colour tables come from Python; here they are only looked up.

/**
 * @typedef {object} Palette
 * @property {Uint8Array} rgb 256 × 3 numbers.
 * @property {string[]} css The 256 colours for CSS.
 * @property {string[]} ink Black or white, whichever reads better on each.
 */

const palettesRead = new Map();

/**
 * @param {string} hex 1536 hexadecimal digits.
 * @returns {Palette} The same one for the same digits; a lab has a handful of them.
 */
export function paletteOf(hex) {
  if (!palettesRead.has(hex)) palettesRead.set(hex, readPalette(hex));
  return palettesRead.get(hex);
}

/** @type {(hex: string) => Palette} */
function readPalette(hex) {
  const rgb = new Uint8Array(768);
  for (let i = 0; i < 768; i += 1) rgb[i] = parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  const css = [];
  const ink = [];
  for (let i = 0; i < 768; i += 3) {
    css.push(`rgb(${rgb[i]} ${rgb[i + 1]} ${rgb[i + 2]})`);
    ink.push(inkOn(rgb[i], rgb[i + 1], rgb[i + 2]));
  }
  return { rgb, css, ink };
}

/**
 * @param {number} red 0 to 255, as are the others.
 * @param {number} green
 * @param {number} blue
 * @returns {number} Relative luminance (WCAG 2), 0 to 1.
 */
export function luminance(red, green, blue) {
  const [r, g, b] = [red, green, blue].map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/**
 * Where both reach the same contrast, luminance is √(1.05 · 0.05) − 0.05 = 0.179; either side gives at least 4.58.
 *
 * @param {number} red
 * @param {number} green
 * @param {number} blue
 * @returns {string} "#000" or "#fff".
 */
export function inkOn(red, green, blue) {
  return luminance(red, green, blue) > 0.179 ? "#000" : "#fff";
}

/**
 * @param {number} value
 * @param {number} bound Largest magnitude there is; the scale runs from −bound to bound.
 * @returns {number} Code 0 to 255 in a diverging table; 128 for zero.
 */
export function tintCode(value, bound) {
  if (!(bound > 0) || Number.isNaN(value)) return 128;
  return Math.min(255, Math.max(0, Math.round(127.5 + (127.5 * value) / bound)));
}

/**
 * @param {Iterable<number>} values
 * @returns {{minimum: number, maximum: number, bound: number}} Of the finite ones; zeros if there are none.
 */
export function rangeOf(values) {
  let minimum = Infinity;
  let maximum = -Infinity;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < minimum) minimum = value;
    if (value > maximum) maximum = value;
  }
  if (minimum > maximum) return { minimum: 0, maximum: 0, bound: 0 };
  return { minimum, maximum, bound: Math.max(Math.abs(minimum), Math.abs(maximum)) };
}
