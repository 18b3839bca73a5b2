import { element } from "./stage.js";
import { formatNumber } from "./numbers.js";

/**
 * Where the words under a colour bar go, so that zero is always named and never overprints an end.
 *
 * @param {number} width Of the bar.
 * @param {number} position Of zero on the bar.
 * @param {number} low Width of the word at the left end.
 * @param {number} zero Width of the word for zero.
 * @param {number} high Width of the word at the right end.
 * @returns {number} Left edge of the word for zero.
 */
export function placeZero(width, position, low, zero, high) {
  const gap = 6;
  return Math.max(Math.min(position - zero / 2, width - high - gap - zero), low + gap);
}

/**
 * A colour bar with its numbers and, where counts are given, their histogram above it.
 *
 * @param {HTMLElement} parent
 * @param {string} testid
 * @returns {{update: (legend: any) => void, layout: () => void, stop: () => void}}
 */
export function createLegend(parent, testid) {
  const caption = element("div", { class: "cl-legend-caption" });
  const histogram = element("canvas", { class: "cl-histogram", "aria-hidden": "true" });
  const bar = element("canvas", { class: "cl-bar", "aria-hidden": "true" });
  const tick = element("div", { class: "cl-tick", "aria-hidden": "true" });
  const low = element("span", { "data-testid": `${testid}-minimum` });
  const zero = element("span", { class: "cl-zero", "data-testid": `${testid}-zero` });
  const high = element("span", { "data-testid": `${testid}-maximum` });
  const barBox = element("div", { class: "cl-bar-box" }, [bar, tick]);
  const box = element("div", { class: "cl-legend", "data-testid": testid }, [
    caption,
    histogram,
    barBox,
    element("div", { class: "cl-legend-words" }, [low, zero, high]),
  ]);
  parent.append(box);
  let shown = null;

  function layout() {
    if (!shown || !shown.zeroInside) return;
    const width = barBox.clientWidth;
    if (!width) return;
    const position = (-shown.minimum / (shown.maximum - shown.minimum)) * width;
    tick.style.left = `${position}px`;
    zero.style.left = `${placeZero(width, position, low.offsetWidth, zero.offsetWidth, high.offsetWidth)}px`;
  }

  const observer = new ResizeObserver(layout);
  observer.observe(barBox);

  return {
    /**
     * `colours` are the CSS colours along the bar from left to right, `counts` the bins of the histogram on the
     * same axis.
     */
    update(legend) {
      box.hidden = !legend;
      shown = legend;
      if (!legend) return;
      caption.textContent = legend.caption ?? "";
      caption.hidden = !legend.caption;
      low.textContent = formatNumber(legend.minimum);
      high.textContent = legend.maximum === legend.minimum ? "" : formatNumber(legend.maximum);
      zero.textContent = "0";
      zero.hidden = !legend.zeroInside;
      tick.hidden = !legend.zeroInside;
      bar.width = legend.colours.length;
      bar.height = 1;
      const context = bar.getContext("2d");
      legend.colours.forEach((colour, index) => {
        context.fillStyle = colour;
        context.fillRect(index, 0, 1, 1);
      });
      const counts = legend.counts ?? [];
      histogram.hidden = counts.length === 0;
      if (counts.length) {
        histogram.title = "How often each value occurs. Heights are square roots of the counts.";
        const rows = 48;
        const across = Math.max(1, Math.round(512 / counts.length));
        histogram.width = counts.length * across;
        histogram.height = rows;
        const drawing = histogram.getContext("2d");
        drawing.fillStyle = legend.ink;
        const top = Math.sqrt(Math.max(...counts, 1));
        counts.forEach((count, index) => {
          // A bin that holds anything at all is seen.
          const height = count > 0 ? Math.max(2, (rows * Math.sqrt(count)) / top) : 0;
          drawing.fillRect(index * across, rows - height, across, height);
        });
      }
      layout();
    },
    layout,
    stop: () => observer.disconnect(),
  };
}
