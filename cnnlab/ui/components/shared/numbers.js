// How numbers are written: three significant digits, integers exact, a true minus sign.

/** A true minus sign, as wide as a plus. */
export const MINUS_SIGN = "\u2212";
const MINUS = MINUS_SIGN;

/**
 * @param {string} text Digits, maybe with a decimal point.
 * @returns {string} The same with thousands separated by commas.
 */
export function groupThousands(text) {
  const [whole, fraction] = text.split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/**
 * @param {number} value
 * @param {number} [digits] Significant digits of what is no integer.
 * @returns {string} "0.111", "−81,302", "4.82e−5"; never "-0".
 */
export function formatNumber(value, digits = 3) {
  if (Number.isNaN(value)) return "NaN";
  const sign = value < 0 ? MINUS : "";
  const size = Math.abs(value);
  if (size === Infinity) return `${sign}∞`;
  if (Number.isInteger(size) && size < 1e15) return (size === 0 ? "" : sign) + groupThousands(String(size));
  const rounded = Number(size.toPrecision(digits));
  if (rounded >= 1e-4 && rounded < 1e7) return sign + groupThousands(String(rounded));
  return sign + rounded.toExponential().replace("e+", "e").replace("e-", `e${MINUS}`);
}

/**
 * @param {number} value
 * @returns {string} Every digit needed to get exactly this number back.
 */
export function formatFull(value) {
  return String(value === 0 ? 0 : value).replaceAll("-", MINUS);
}

/**
 * @param {number} value
 * @param {number} room Characters there is room for.
 * @returns {string} The number with fewer digits and no leading zero if need be; "" if nothing honest fits.
 */
export function formatTight(value, room) {
  for (let digits = 3; digits >= 1; digits -= 1) {
    const text = formatNumber(value, digits);
    if (text.length <= room) return text;
    const bare = withoutZero(text).replaceAll(",", "");
    if (bare.length <= room) return bare;
  }
  return "";
}

/**
 * Numbers that stand side by side: all with the zero before the point, or, where that does not fit, all without.
 *
 * @param {number[]} values
 * @param {number} room Characters there is room for.
 * @returns {string[]} "" where nothing honest fits.
 */
export function formatAlike(values, room) {
  const texts = values.map((value) => formatNumber(value));
  if (texts.every((text) => text.length <= room)) return texts;
  return texts.map((text, index) => {
    const bare = withoutZero(text);
    return bare.length <= room ? bare : withoutZero(formatTight(values[index], room));
  });
}

/**
 * @param {string} text
 * @returns {string} ".5" for "0.5".
 */
export function withoutZero(text) {
  return text.replace(/^(\u2212?)0\./, "$1.");
}

/**
 * @param {number} value
 * @param {number} step Distance between neighbouring levels the value was rounded to.
 * @returns {string} The value with the decimals that this distance allows, without the "≈".
 */
export function formatLevel(value, step) {
  if (!(step > 0) || !Number.isFinite(value)) return formatNumber(value);
  const decimals = Math.ceil(-Math.log10(step) - 1e-9);
  const sign = value < 0 ? MINUS : "";
  const size = Math.abs(value);
  if (decimals > 6) {
    const digits = size > 0 ? Math.max(0, Math.floor(Math.log10(size)) + decimals) : 0;
    const text = size < step / 2 ? "0" : size.toExponential(Math.min(digits, 6)).replace("e-", `e${MINUS}`).replace("e+", "e");
    return text === "0" ? "0" : sign + text;
  }
  if (decimals > 0) {
    const text = size.toFixed(decimals);
    return (Number(text) === 0 ? "" : sign) + groupThousands(text);
  }
  const unit = 10 ** -decimals;
  const rounded = Math.round(size / unit) * unit;
  if (rounded >= 1e15) return formatNumber(value);
  return (rounded === 0 ? "" : sign) + groupThousands(String(rounded));
}

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 * @returns {number}
 */
export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
