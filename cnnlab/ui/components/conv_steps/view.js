import { unpack } from "../shared/bytes.js";
import { paletteOf, rangeOf, tintCode } from "../shared/colour.js";
import { createLegend } from "../shared/legend.js";
import { clamp, formatAlike, formatNumber } from "../shared/numbers.js";
import { element, icon, keepKey, liveView, oncePerFrame, sharpContext, themeOf } from "../shared/stage.js";
import {
  activationText,
  bracketed,
  cellSides,
  checked,
  convolutionOf,
  responseAt,
  settle,
  termText,
  usersOf,
  windowAt,
} from "./math.js";

const instances = new WeakMap();

const GRID_FROM = 12;
const NUMBERS_FROM = 28;
const PRODUCTS_FROM = 38;
const SIDE_BY_SIDE_FROM = 640;
const GAP = 24;
// Outputs per second at 1×: slow enough to follow a sum, and a 5 × 5 map is full after ten seconds.
const PACE = 2.5;
const SPEEDS = [0.5, 1, 2, 4, 8];
const ICONS = {
  back: "M11.5 3.5v9L5.5 8zM4 3.5v9",
  play: "M5 3v10l8-5z",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  forward: "M4.5 3.5v9l6-4.5zM12 3.5v9",
};

function createSteps(root) {
  const caption = element("div", { class: "cl-caption" });
  const warning = element("div", { class: "cl-warning", role: "alert", "data-testid": "conv-warning" });
  const boards = element("div", { class: "cl-boards" });
  const makeBoard = (name, interactive) => {
    const heading = element("div", { class: "cl-heading" });
    const canvas = element("canvas", {
      "data-testid": `conv-${name}`,
      ...(interactive ? { tabindex: "0", role: "application" } : { role: "img" }),
    });
    const figure = element("div", { class: `cl-board cl-board-${name}` }, [heading, canvas]);
    boards.append(figure);
    return { heading, canvas, figure, base: document.createElement("canvas"), side: 1, rows: 1, cols: 1 };
  };
  const input = makeBoard("input", true);
  const kernel = makeBoard("kernel", false);
  const output = makeBoard("output", true);
  const inputLegend = createLegend(input.figure, "conv-input-legend");
  const outputLegend = createLegend(output.figure, "conv-output-legend");

  const button = (name, words) =>
    element("button", { type: "button", class: "cl-button", "aria-label": words, title: words, "data-testid": `conv-${name}` });
  const back = button("back", "One output back");
  const play = button("play", "Play");
  const forward = button("forward", "One output forward");
  back.append(icon(ICONS.back));
  forward.append(icon(ICONS.forward));
  const slider = element("input", { type: "range", min: "0", value: "0", "aria-label": "Output", "data-testid": "conv-slider" });
  const count = element("span", { class: "cl-count", "data-testid": "conv-count" });
  const speed = element("select", { "aria-label": "Speed", title: "Speed", "data-testid": "conv-speed" });
  speed.append(...SPEEDS.map((factor) => element("option", { value: factor, text: `${factor}×` })));
  speed.value = "1";
  const controls = element("div", { class: "cl-controls" }, [back, play, forward, slider, count, speed]);

  const where = element("div", { class: "cl-where", "data-testid": "conv-where" });
  const sumGrid = element("div", { class: "cl-sum", "data-testid": "conv-sum" });
  const sumBox = element("div", { class: "cl-sum-box", tabindex: "0", role: "group", "aria-label": "The sum" }, [sumGrid]);
  const total = element("div", { class: "cl-equation", "data-testid": "conv-total" });
  const biasLine = element("div", { class: "cl-equation", "data-testid": "conv-bias" });
  const activationLine = element("div", { class: "cl-equation cl-result", "data-testid": "conv-activation" });
  const heard = element("div", { class: "cl-heard", "aria-live": "polite", "data-testid": "conv-heard" });
  root.append(caption, warning, boards, controls, where, sumBox, total, biasLine, activationLine, heard);

  let conv = null;
  let header = null;
  let digest = "";
  let results = new Float64Array(0);
  let ranges = null;
  let startedAt = "";
  let shades = null;
  let palette = null;
  let theme = themeOf(root);
  let layoutKey = "";

  let index = 0;
  let shownIndex = -1;
  let response = null;
  let probe = null;
  let playing = false;
  // Whether Play goes on from here; after looking around it starts from the first output.
  let resumes = false;
  let progress = 0;
  let clock = 0;
  let frameHandle = 0;
  let speakLater = 0;
  let gone = false;
  // While playing, the frame has come to rest and has been drawn there: nothing to do until the next step.
  let rests = false;
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const drawing = oncePerFrame(() => {
    rests = false;
    draw(1);
  });

  // A picture's cells have the greys of the picture, 0 black and 1 white; other numbers are tinted by sign and size.
  const inputCode = (value) =>
    header.inputTint ? Math.round(255 * clamp(value, 0, 1)) : tintCode(value, ranges.input.bound);
  const countAll = () => results.length;
  const cellOf = (at) => ({ row: Math.floor(at / conv.outputSize[1]), col: at % conv.outputSize[1] });

  // ---- what does not change while exploring: drawn once per size and theme

  function drawBase(board, values, colours, codes, hatched) {
    const { rows, cols, side } = board;
    const context = sharpContext(board.base, cols * side, rows * side);
    const size = clamp(0.3 * side, 9, 15);
    const room = Math.floor((side - 3) / (0.57 * size));
    const numbers = side >= NUMBERS_FROM;
    context.font = `${size}px ${theme.font}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const texts = numbers ? formatAlike(Array.from(values), room) : [];
    for (let at = 0; at < rows * cols; at += 1) {
      const x = (at % cols) * side;
      const y = Math.floor(at / cols) * side;
      context.fillStyle = colours.css[codes[at]];
      // Cells of broken size would show seams.
      context.fillRect(x, y, side + (side < 4 ? 0.5 : 0), side + (side < 4 ? 0.5 : 0));
      if (hatched && hatched[at]) hatch(context, x, y, side, colours.ink[codes[at]]);
      if (!numbers) continue;
      const text = texts[at];
      const middle = y + side * (board === kernel && side >= PRODUCTS_FROM ? 0.4 : board === input ? 0.63 : 0.52);
      if (hatched && hatched[at]) {
        context.strokeStyle = colours.css[codes[at]];
        context.lineWidth = 4;
        context.strokeText(text, x + side / 2, middle);
      }
      context.fillStyle = colours.ink[codes[at]];
      context.fillText(text, x + side / 2, middle);
    }
    if (side < GRID_FROM) return;
    context.fillStyle = "rgb(128 128 128 / 0.5)";
    for (let col = 0; col <= cols; col += 1) context.fillRect(Math.min(col * side, cols * side - 1), 0, 1, rows * side);
    for (let row = 0; row <= rows; row += 1) context.fillRect(0, Math.min(row * side, rows * side - 1), cols * side, 1);
  }

  function hatch(context, x, y, side, ink) {
    context.save();
    context.beginPath();
    context.rect(x, y, side, side);
    context.clip();
    context.globalAlpha = 0.35;
    context.strokeStyle = ink;
    context.lineWidth = 1;
    context.beginPath();
    const gap = Math.max(3, Math.min(6, side / 3));
    // Lines go by the board's own coordinates, so that they run on from cell to cell.
    const first = Math.floor((x + y) / gap) * gap;
    for (let at = first; at < x + y + 2 * side; at += gap) {
      context.moveTo(at - y, y);
      context.lineTo(at - y - side, y + side);
    }
    context.stroke();
    context.restore();
  }

  function layout() {
    const width = root.clientWidth;
    if (!conv || !width) return;
    const sideBySide = width >= SIDE_BY_SIDE_FROM;
    boards.classList.toggle("cl-wide", sideBySide);
    const sides = cellSides(width - (sideBySide ? 2 * GAP : 0), sideBySide, conv);
    const dense = window.devicePixelRatio || 1;
    const wanted = JSON.stringify([sides, sideBySide, dense, digest, theme]);
    if (wanted === layoutKey) return;
    layoutKey = wanted;
    const parts = [
      [input, sides.input, conv.patchSize],
      [kernel, sides.kernel, conv.kernelSize],
      [output, sides.output, conv.outputSize],
    ];
    for (const [board, side, [rows, cols]] of parts) {
      Object.assign(board, { side, rows, cols });
      board.figure.style.width = `${Math.max(cols * side, board === kernel ? 0 : 150)}px`;
    }
    const codes = (values, bound) => Array.from(values, (value) => tintCode(value, bound));
    drawBase(input, conv.patch, shades, Array.from(conv.patch, inputCode), conv.padding);
    drawBase(kernel, conv.kernel, palette, codes(conv.kernel, ranges.kernel.bound), null);
    drawBase(output, results, palette, codes(results, ranges.output.bound), null);
    inputLegend.layout();
    outputLegend.layout();
    drawing.stop();
    rests = false;
    draw(1);
  }

  // ---- what changes with every frame

  function stroke(context, x, y, width, height, colour, strong = true) {
    const inset = strong ? 1.5 : 0.75;
    context.lineWidth = strong ? 4 : 2.5;
    context.strokeStyle = theme.background;
    context.strokeRect(x + inset, y + inset, width - 2 * inset, height - 2 * inset);
    context.lineWidth = strong ? 2.5 : 1.25;
    context.strokeStyle = colour;
    context.strokeRect(x + inset, y + inset, width - 2 * inset, height - 2 * inset);
  }

  function begin(board) {
    const context = sharpContext(board.canvas, board.cols * board.side, board.rows * board.side);
    context.drawImage(board.base, 0, 0, board.cols * board.side, board.rows * board.side);
    return context;
  }

  function draw(share) {
    if (gone || !conv || !layoutKey) return;
    const now = cellOf(index);
    if (index !== shownIndex) tell(now);
    else if (playing && share >= 1 && rests) return;
    rests = playing && share >= 1;
    const previous = index > 0 ? cellOf(index - 1) : now;
    const glides = share < 1 && previous.row === now.row;
    const behind = glides ? 1 - settle(share) : 0;
    drawInput(now, -behind * conv.stride[1]);
    drawKernel();
    drawOutput(now, -behind);
  }

  function drawInput(now, shift) {
    const context = begin(input);
    const { side } = input;
    const span = windowAt(conv, now.row, now.col);
    const dilated = conv.dilation[0] > 1 || conv.dilation[1] > 1;
    if (side >= NUMBERS_FROM) {
      // The weights ride along with the sliding frame, over cells of any colour: hence the halo.
      const size = clamp(0.24 * side, 9, 11);
      const room = Math.floor((side - 6) / (0.57 * size));
      context.font = `${size}px ${theme.font}`;
      context.textBaseline = "top";
      context.textAlign = "left";
      context.lineWidth = 3;
      const weights = formatAlike(Array.from(conv.kernel), room);
      const times = weights.every((text) => text.length < room) ? "×" : "";
      response.terms.forEach((term, tap) => {
        const code = inputCode(term.value);
        const x = (term.col + shift) * side + 5;
        const y = term.row * side + 5;
        context.strokeStyle = shades.css[code];
        context.strokeText(times + weights[tap], x, y);
        context.fillStyle = shades.ink[code];
        context.fillText(times + weights[tap], x, y);
      });
    }
    const left = (span.left + shift) * side;
    if (dilated) {
      for (const term of response.terms) stroke(context, (term.col + shift) * side, term.row * side, side, side, theme.primary, side >= 14);
      context.setLineDash([3, 3]);
      context.lineWidth = 1;
      context.strokeStyle = theme.primary;
      context.strokeRect(left + 0.5, span.top * side + 0.5, span.cols * side - 1, span.rows * side - 1);
      context.setLineDash([]);
    } else {
      stroke(context, left, span.top * side, span.cols * side, span.rows * side, theme.primary);
    }
    if (probe) stroke(context, probe.col * side, probe.row * side, side, side, theme.text);
  }

  function drawKernel() {
    const context = begin(kernel);
    const { side, cols } = kernel;
    if (side >= PRODUCTS_FROM) {
      const size = clamp(0.22 * side, 9, 11);
      const room = Math.floor((side - 4) / (0.6 * size)) - 1;
      context.font = `600 ${size}px ${theme.font}`;
      context.textAlign = "center";
      context.textBaseline = "bottom";
      const products = formatAlike(response.terms.map((term) => term.product), room);
      response.terms.forEach((term, tap) => {
        context.fillStyle = palette.ink[tintCode(term.weight, ranges.kernel.bound)];
        const text = products[tap];
        context.fillText(text && `=${text}`, ((tap % cols) + 0.5) * side, (Math.floor(tap / cols) + 1) * side - 4);
      });
    }
    const tap = probeTap();
    if (tap >= 0) stroke(context, (tap % cols) * side, Math.floor(tap / cols) * side, side, side, theme.text);
  }

  function drawOutput(now, shift) {
    const context = begin(output);
    const { side, cols, rows } = output;
    if (playing) {
      context.globalAlpha = 0.92;
      context.fillStyle = theme.background;
      context.fillRect((now.col + 1) * side, now.row * side, (cols - now.col - 1) * side, side);
      context.fillRect(0, (now.row + 1) * side, cols * side, (rows - now.row - 1) * side);
      context.globalAlpha = 1;
    }
    if (probe) {
      for (const user of probe.users) stroke(context, user.col * side, user.row * side, side, side, theme.text, false);
    }
    stroke(context, (now.col + shift) * side, now.row * side, side, side, theme.primary);
  }

  function probeTap() {
    if (!probe || !response) return -1;
    return response.terms.findIndex((term) => term.row === probe.row && term.col === probe.col);
  }

  // ---- the sum in words

  function buildSum() {
    const cols = conv.kernelSize[1];
    const longest = (values, write) => values.reduce((most, value) => Math.max(most, write(value).length), 0);
    const chars = longest(conv.patch, bracketed) + longest(conv.kernel, bracketed) + 3;
    sumGrid.style.gridTemplateColumns = `repeat(${cols}, ${chars}ch)`;
    sumGrid.replaceChildren(...Array.from({ length: conv.kernel.length }, () => element("span", { text: " " })));
    // As high as it will ever be: five rows, then it scrolls.
    sumBox.style.height = `calc(${Math.min(conv.kernelSize[0], 5)} * 1.6em + 4px)`;
    biasLine.hidden = conv.bias === 0;
    activationLine.hidden = conv.activation === "none";
    total.classList.toggle("cl-result", conv.bias === 0 && conv.activation === "none");
    biasLine.classList.toggle("cl-result", conv.activation === "none");
  }

  function tell(now) {
    shownIndex = index;
    response = responseAt(conv, now.row, now.col);
    const spans = sumGrid.children;
    response.terms.forEach((term, tap) => {
      spans[tap].firstChild.data = termText(term, tap === 0);
      spans[tap].classList.toggle("cl-quiet", conv.padding[term.row * conv.patchSize[1] + term.col] === 1);
    });
    total.textContent = `= ${formatNumber(response.sum)}`;
    const sign = conv.bias < 0 ? `− bias ${formatNumber(-conv.bias)}` : `+ bias ${formatNumber(conv.bias)}`;
    biasLine.textContent = `${sign} = ${formatNumber(response.biased)}`;
    activationLine.textContent = activationText(conv.activation, response.biased, response.result, conv.negativeSlope);
    slider.value = String(index);
    slider.setAttribute("aria-valuetext", `output ${index + 1} of ${countAll()}`);
    count.textContent = `${index + 1} of ${countAll()}`;
    root.dataset.index = String(index);
    tellWhere();
  }

  const inputName = (at) => `row ${formatNumber(at.row + header.origin[0])}, column ${formatNumber(at.col + header.origin[1])}`;
  const outputName = (at) => `row ${formatNumber(at.row + header.outputOrigin[0])}, column ${formatNumber(at.col + header.outputOrigin[1])}`;

  function tellWhere() {
    const tap = probeTap();
    for (const [at, span] of [...sumGrid.children].entries()) span.classList.toggle("cl-lit", at === tap);
    let text = `Output ${outputName(cellOf(index))}`;
    if (probe) {
      const at = probe.row * conv.patchSize[1] + probe.col;
      const what = conv.padding[at] ? "Padding" : "Input";
      const users = probe.users.length;
      text = `${what} ${inputName(probe)} is ${formatNumber(conv.patch[at])}, used by ${users === 1 ? "1 output" : `${users} outputs`}`;
    }
    where.textContent = text;
    if (playing) return;
    clearTimeout(speakLater);
    speakLater = setTimeout(() => {
      heard.textContent = probe ? text : `${text}: ${formatNumber(results[index])}`;
    }, 200);
  }

  // ---- moving

  function go(next, keepsPlace) {
    pause();
    resumes = keepsPlace;
    index = clamp(next, 0, countAll() - 1);
    drawing.ask();
  }

  function look(next) {
    if (next && probe && next.row === probe.row && next.col === probe.col) return;
    if (!next && !probe) return;
    probe = next ? { ...next, users: usersOf(conv, next.row, next.col) } : null;
    if (response) tellWhere();
    drawing.ask();
  }

  function tick(time) {
    frameHandle = requestAnimationFrame(tick);
    const elapsed = clock ? Math.min(0.25, (time - clock) / 1000) : 0;
    clock = time;
    progress += elapsed * PACE * Number(speed.value);
    if (progress >= countAll()) {
      resumes = false;
      index = countAll() - 1;
      pause();
      draw(1);
      return;
    }
    index = Math.floor(progress);
    // The frame slides in the first part of a step and rests for the remainder.
    draw(still.matches ? 1 : (progress - index) * 2.5);
  }

  function start() {
    if (playing) return;
    playing = true;
    if (!resumes || index >= countAll() - 1) index = 0;
    progress = index;
    clock = 0;
    root.dataset.playing = "true";
    setPlayButton();
    drawing.stop();
    frameHandle = requestAnimationFrame(tick);
  }

  function pause() {
    if (!playing) return;
    playing = false;
    cancelAnimationFrame(frameHandle);
    root.dataset.playing = "false";
    setPlayButton();
    if (conv) tellWhere();
    drawing.ask();
  }

  function toggle() {
    if (playing) {
      resumes = true;
      pause();
    } else {
      start();
    }
  }

  function setPlayButton() {
    play.replaceChildren(icon(playing ? ICONS.pause : ICONS.play));
    play.setAttribute("aria-label", playing ? "Pause" : "Play");
    play.title = `${playing ? "Pause" : "Play"} (space)`;
  }
  setPlayButton();

  back.onclick = () => go(index - 1, true);
  forward.onclick = () => go(index + 1, true);
  play.onclick = toggle;
  slider.oninput = () => go(Number(slider.value), true);

  function under(board, event) {
    const box = board.canvas.getBoundingClientRect();
    return {
      row: clamp(Math.floor(((event.clientY - box.top) / box.height) * board.rows), 0, board.rows - 1),
      col: clamp(Math.floor(((event.clientX - box.left) / box.width) * board.cols), 0, board.cols - 1),
    };
  }

  const goTo = (cell) => {
    const next = cell.row * conv.outputSize[1] + cell.col;
    if (next !== index || playing) go(next, false);
  };
  output.canvas.onpointermove = (event) => {
    // A pointer that happens to rest on the map must not stop the play.
    if (conv && !playing) goTo(under(output, event));
  };
  output.canvas.onpointerdown = (event) => {
    if (conv) goTo(under(output, event));
  };
  input.canvas.onpointermove = (event) => conv && look(under(input, event));
  input.canvas.onpointerdown = input.canvas.onpointermove;
  input.canvas.onpointerleave = () => look(null);
  input.canvas.onblur = () => look(null);

  const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  root.onkeydown = (event) => {
    keepKey(event);
    if (!conv || event.ctrlKey || event.metaKey || event.altKey) return;
    const { target } = event;
    const move = moves[event.key];
    if (event.key === " " && target.tagName !== "BUTTON" && target.tagName !== "SELECT") {
      toggle();
    } else if (event.key === "Escape") {
      pause();
      look(null);
      target.blur();
    } else if (move && target === output.canvas) {
      const at = cellOf(index);
      go(
        clamp(at.row + move[0], 0, output.rows - 1) * output.cols + clamp(at.col + move[1], 0, output.cols - 1),
        true,
      );
    } else if (move && target === input.canvas) {
      const span = windowAt(conv, cellOf(index).row, cellOf(index).col);
      const from = probe ?? { row: span.top, col: span.left };
      const step = probe ? move : [0, 0];
      look({ row: clamp(from.row + step[0], 0, input.rows - 1), col: clamp(from.col + step[1], 0, input.cols - 1) });
    } else if ((event.key === "Home" || event.key === "End") && target === output.canvas) {
      go(event.key === "Home" ? 0 : countAll() - 1, true);
    } else {
      return;
    }
    event.preventDefault();
  };

  const observer = new ResizeObserver(layout);
  observer.observe(root);

  function take(message) {
    const before = conv;
    conv = convolutionOf(header, message.body);
    const check = checked(conv);
    results = check.results;
    ranges = { input: rangeOf(conv.patch), kernel: rangeOf(conv.kernel), output: rangeOf(results) };
    const sameSize = before && String(before.outputSize) === String(conv.outputSize);
    const origin = String([header.outputOrigin, header.start]);
    if (!sameSize || origin !== startedAt) {
      pause();
      resumes = false;
      startedAt = origin;
      const [row, col] = header.start ?? conv.outputSize.map((size) => Math.floor(size / 2));
      index = row * conv.outputSize[1] + col;
    }
    probe = null;
    shownIndex = -1;
    slider.max = String(countAll() - 1);
    buildSum();
    count.style.minWidth = `${2 * String(countAll()).length + 4}ch`;
    const { fault } = check;
    warning.hidden = !fault;
    warning.textContent = fault
      ? `The page and the lab disagree: at output ${outputName(fault)} the sum here gives ${formatNumber(fault.ours, 6)}, the lab's output is ${formatNumber(fault.theirs, 6)}.`
      : "";
  }

  function nameParts() {
    const size = ([rows, cols]) => `${rows} × ${cols}`;
    const after = { relu: "ReLU", leaky_relu: "LeakyReLU", tanh: "tanh", sigmoid: "sigmoid", silu: "SiLU" }[conv.activation];
    input.heading.textContent = `Input ${size(conv.patchSize)}${conv.padding.includes(1) ? ", padding hatched" : ""}`;
    kernel.heading.textContent = `Kernel ${size(conv.kernelSize)}`;
    output.heading.textContent = `Output ${size(conv.outputSize)}${after ? ` after ${after}` : ""}`;
    for (const board of [input, kernel, output]) board.heading.title = board.heading.textContent;
    input.canvas.setAttribute("aria-label", `${input.heading.textContent}. Arrow keys show which outputs use a cell.`);
    kernel.canvas.setAttribute("aria-label", kernel.heading.textContent);
    output.canvas.setAttribute("aria-label", `${output.heading.textContent}. Arrow keys choose an output, space plays.`);
    const legendOf = ({ minimum, maximum }, colourOf) => ({
      minimum,
      maximum,
      zeroInside: minimum < 0 && maximum > 0,
      colours: Array.from({ length: 128 }, (_, at) => colourOf(minimum + (at / 127) * (maximum - minimum))),
    });
    inputLegend.update(legendOf(ranges.input, (value) => shades.css[inputCode(value)]));
    outputLegend.update(legendOf(ranges.output, (value) => palette.css[tintCode(value, ranges.output.bound)]));
  }

  return {
    update(component) {
      const message = unpack(component.data);
      theme = themeOf(root);
      if (message.header.digest !== digest) {
        digest = message.header.digest;
        header = message.header;
        palette = paletteOf(header.tint);
        shades = header.inputTint ? paletteOf(header.inputTint) : palette;
        caption.textContent = header.caption;
        caption.hidden = !header.caption;
        take(message);
        nameParts();
      }
      layout();
    },
    destroy() {
      gone = true;
      pause();
      cancelAnimationFrame(frameHandle);
      drawing.stop();
      clearTimeout(speakLater);
      observer.disconnect();
      inputLegend.stop();
      outputLegend.stop();
    },
  };
}

/**
 * @param {any} component
 * @returns {() => void}
 */
export default function convSteps(component) {
  return liveView(instances, component, createSteps);
}
