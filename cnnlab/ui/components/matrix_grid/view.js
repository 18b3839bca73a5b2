import { paletteOf, rangeOf, tintCode } from "../shared/colour.js";
import { clamp, formatAlike, formatFull, formatNumber } from "../shared/numbers.js";
import { element, icon, keepKey, liveView } from "../shared/stage.js";
import {
  cellSize,
  flipLeftRight,
  flipUpDown,
  normalise,
  parseBlock,
  parseCell,
  paste,
  resize,
  rotate,
  same,
  sizeOf,
  stepped,
  transpose,
  zeros,
} from "./math.js";

const instances = new WeakMap();

const COLLAPSE_MS = 80;
const AREA_HEIGHT = 220;
const UNDO_DEPTH = 50;

const TOOLS = [
  ["transpose", "Transpose: swap rows and columns", "M2.5 2.5l11 11M10 3.5h3v3M6 12.5H3v-3"],
  ["rotate", "Turn by 90° clockwise", "M12.5 8a4.5 4.5 0 1 1-1.6-3.4M12.5 2v3.2H9.3"],
  ["flip-left-right", "Flip left and right", "M8 2v12M5.5 5.5L3 8l2.5 2.5M10.5 5.5L13 8l-2.5 2.5"],
  ["flip-up-down", "Flip up and down", "M2 8h12M5.5 5.5L8 3l2.5 2.5M5.5 10.5L8 13l2.5-2.5"],
  ["normalise", "Normalise: divide by the sum, or by the sum of magnitudes if the sum is zero", "Σ=1"],
  ["zero", "Set everything to zero", "0"],
  ["undo", "Undo the last change", "M5.5 3L2.5 6l3 3M2.5 6H9a3.75 3.75 0 0 1 0 7.5H6"],
];

function createGrid(root) {
  const label = element("div", { class: "cl-label", id: "label" });
  const steppers = element("div", { class: "cl-steppers" });
  const area = element("div", { class: "cl-area" });
  const grid = element("div", { class: "cl-grid", role: "group", "aria-labelledby": "label", "data-testid": "matrix-cells" });
  const tools = element("div", { class: "cl-tools", role: "toolbar", "aria-label": "Change the whole matrix" });
  const notice = element("div", { class: "cl-notice", role: "status", "data-testid": "matrix-notice" });
  const hint = element("div", { class: "cl-hint cl-quiet", "aria-hidden": "true" });
  area.append(grid);
  root.append(
    element("div", { class: "cl-head" }, [label, steppers]),
    area,
    tools,
    element("div", { class: "cl-line" }, [notice, hint]),
  );

  /** @type {number[][]} */
  let matrix = [[0]];
  let inputs = [];
  // What was typed where it says more than the number does ("1/9"), and what could not be read.
  let typed = new Map();
  let bad = new Map();
  let past = [];
  let version = null;
  let options = { maxSize: 11, minSize: 1, sizeStep: 1, step: 1 };
  let palette = null;
  let setState = () => {};
  let pending = 0;
  let steppedCell = "";
  let layoutNow = null;

  const nameOf = (r, c) => `${r},${c}`;
  const deep = (rows) => rows.map((row) => [...row]);

  // ---- showing

  function build() {
    const [rows, cols] = sizeOf(matrix);
    inputs = matrix.map((row, r) =>
      row.map((_, c) => {
        const input = element("input", {
          type: "text",
          inputmode: "decimal",
          autocomplete: "off",
          spellcheck: "false",
          class: "cl-cell",
          "aria-label": `row ${r + 1}, column ${c + 1}`,
          "data-testid": `matrix-cell-${r}-${c}`,
        });
        input.cell = [r, c];
        return input;
      }),
    );
    grid.replaceChildren(...inputs.flat().map((input) => element("div", { class: "cl-slot" }, [input])));
    grid.dataset.rows = String(rows);
    grid.dataset.cols = String(cols);
    layoutNow = null;
  }

  function layout() {
    const width = area.clientWidth;
    if (!width) return;
    const [rows, cols] = sizeOf(matrix);
    const size = cellSize(width - (cols - 1), area.clientHeight - (rows - 1), rows, cols);
    const wanted = JSON.stringify([size, rows, cols]);
    if (wanted === layoutNow) return;
    layoutNow = wanted;
    grid.style.gridTemplateColumns = `repeat(${cols}, ${size.width}px)`;
    grid.style.gridAutoRows = `${size.height}px`;
    grid.style.fontSize = `${size.font}px`;
    grid.room = size.room;
    grid.cellWidth = size.width;
    show();
  }

  function focused() {
    const active = /** @type {ShadowRoot | Document} */ (root.getRootNode()).activeElement;
    return active && active.cell ? active : null;
  }

  const fullText = (r, c) => typed.get(nameOf(r, c)) ?? formatFull(matrix[r][c]);

  function show() {
    const { bound } = rangeOf(matrix.flat());
    const current = focused();
    const texts = formatAlike(matrix.flat(), grid.room ?? 8);
    matrix.forEach((row, r) =>
      row.forEach((value, c) => {
        const input = inputs[r][c];
        const code = tintCode(value, bound);
        const trouble = bad.get(nameOf(r, c));
        input.classList.toggle("cl-bad", Boolean(trouble));
        input.setAttribute("aria-invalid", String(Boolean(trouble)));
        input.style.setProperty("--tint", palette ? palette.css[code] : "transparent");
        input.style.setProperty("--ink", palette ? palette.ink[code] : "inherit");
        if (input === current) return;
        const text = trouble ? trouble.text : texts[r * row.length + c];
        if (input.value !== text) input.value = text;
      }),
    );
    tools.querySelector("[data-testid=matrix-undo]")?.toggleAttribute("disabled", past.length === 0);
    for (const stepper of steppers.querySelectorAll("button")) {
      const [axis, way] = [Number(stepper.dataset.axis), Number(stepper.dataset.way)];
      const next = sizeOf(matrix)[axis] + way * options.sizeStep;
      stepper.toggleAttribute("disabled", next < options.minSize || next > options.maxSize);
    }
    steppers.querySelectorAll("output").forEach((output, axis) => (output.textContent = String(sizeOf(matrix)[axis])));
    tellTrouble();
  }

  function tellTrouble() {
    const first = bad.entries().next().value;
    if (first) {
      const [r, c] = first[0].split(",").map(Number);
      say(`Row ${r + 1}, column ${c + 1}: ${first[1].problem} Until then it stays ${formatNumber(matrix[r][c])}.`, true);
    } else if (notice.classList.contains("cl-wrong") && notice.dataset.cell) {
      say("");
    }
    if (first) notice.dataset.cell = first[0];
  }

  function say(text, wrong = false) {
    delete notice.dataset.cell;
    notice.textContent = text;
    notice.title = text;
    notice.classList.toggle("cl-wrong", wrong);
    hint.hidden = text !== "";
  }

  // ---- changing

  function remember() {
    past.push(deep(matrix));
    if (past.length > UNDO_DEPTH) past.shift();
  }

  function announce() {
    clearTimeout(pending);
    pending = setTimeout(send, COLLAPSE_MS);
  }

  /** Sends what waits. When the focus leaves it must not wait: the next click may lead away from here. */
  function send() {
    if (!pending) return;
    clearTimeout(pending);
    pending = 0;
    setState("edit", { matrix: deep(matrix), base: version });
  }

  /** Takes a whole new matrix; what was typed into single cells belongs to the old one. */
  function replace(next, { undoable = true, committed = true } = {}) {
    const changed = !same(matrix, next);
    if (changed && undoable) remember();
    const resized = inputs.length === 0 || next.length !== inputs.length || next[0].length !== inputs[0].length;
    const at = focused()?.cell;
    matrix = deep(next);
    typed = new Map();
    bad = new Map();
    steppedCell = "";
    if (resized) {
      build();
      layout();
    }
    const current = focused();
    if (current) current.value = fullText(...current.cell);
    show();
    if (resized && at) focusCell(Math.min(at[0], matrix.length - 1), Math.min(at[1], matrix[0].length - 1));
    if (changed && committed) announce();
  }

  function take(input) {
    const [r, c] = input.cell;
    if (matrix[r]?.[c] === undefined || inputs[r]?.[c] !== input) return;
    const name = nameOf(r, c);
    const text = input.value;
    const trouble = bad.get(name);
    if (!trouble && text === fullText(r, c)) return;
    const parsed = parseCell(text);
    if ("problem" in parsed) {
      bad.set(name, { text, problem: parsed.problem });
      show();
      return;
    }
    bad.delete(name);
    if (parsed.value !== matrix[r][c]) {
      remember();
      matrix[r][c] = parsed.value;
      say("");
      announce();
    }
    if (text.includes("/")) typed.set(name, text.trim());
    else typed.delete(name);
    show();
  }

  function undo() {
    const before = past.pop();
    if (!before) return;
    replace(before, { undoable: false });
    say("");
  }

  function use(tool) {
    say("");
    if (tool === "transpose") replace(transpose(matrix));
    else if (tool === "rotate") replace(rotate(matrix));
    else if (tool === "flip-left-right") replace(flipLeftRight(matrix));
    else if (tool === "flip-up-down") replace(flipUpDown(matrix));
    else if (tool === "zero") replace(zeros(...sizeOf(matrix)));
    else if (tool === "undo") undo();
    else if (tool === "normalise") {
      const { matrix: next, by, divisor } = normalise(matrix);
      replace(next);
      if (by === "nothing") say("All numbers are zero: nothing to divide by.");
      else if (by === "sum") say(`Divided by the sum, ${formatNumber(divisor)}.`);
      else say(`The sum is zero: divided by the sum of magnitudes, ${formatNumber(divisor)}.`);
    }
  }

  // ---- hands

  function focusCell(r, c) {
    const input = inputs[r]?.[c];
    if (!input) return false;
    input.focus();
    input.select();
    return true;
  }

  function widen(input) {
    // In a small cell a number cannot be read while it is typed: the field grows over its neighbours.
    const width = grid.cellWidth ?? 64;
    if (width >= 60) return;
    const slot = input.parentElement;
    const wide = Math.min(96, area.clientWidth);
    const left = clamp(slot.offsetLeft + width / 2 - wide / 2, 0, Math.max(0, area.clientWidth - wide)) - slot.offsetLeft;
    input.style.width = `${wide}px`;
    input.style.left = `${left}px`;
  }

  // There are no `onfocusin` and `onfocusout` properties; this runs once for a grid.
  grid.addEventListener("focusin", (event) => {
    const input = event.target;
    if (!input.cell) return;
    const [r, c] = input.cell;
    if (!bad.has(nameOf(r, c))) input.value = fullText(r, c);
    input.classList.add("cl-open");
    widen(input);
    hint.textContent = "";
  });
  grid.addEventListener("focusout", (event) => {
    const input = event.target;
    if (!input.cell) return;
    input.classList.remove("cl-open");
    input.style.width = "";
    input.style.left = "";
    steppedCell = "";
    take(input);
    if (!grid.contains(event.relatedTarget)) send();
    show();
  });
  grid.onmousedown = (event) => {
    const input = event.target;
    if (!input.cell || input === focused()) return;
    // The first click selects the number, the second one places the caret in it.
    event.preventDefault();
    focusCell(...input.cell);
  };
  grid.onpointerover = (event) => {
    const cell = event.target.cell;
    hint.textContent = cell ? `row ${cell[0] + 1}, column ${cell[1] + 1}: ${formatFull(matrix[cell[0]][cell[1]])}` : "";
  };
  grid.onpointerleave = () => {
    hint.textContent = "";
  };

  const away = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  root.onkeydown = (event) => {
    keepKey(event);
    const input = event.target;
    if (!input.cell) return;
    const [r, c] = input.cell;
    if (event.key === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey) {
      // Inside changed text the browser's own undo is what is wanted.
      if (input.value !== fullText(r, c) || past.length === 0) return;
      event.stopPropagation();
      undo();
    } else if (event.ctrlKey || event.metaKey) {
      return;
    } else if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      const parsed = parseCell(input.value);
      if (!("problem" in parsed)) {
        if (steppedCell !== nameOf(r, c)) remember();
        steppedCell = nameOf(r, c);
        matrix[r][c] = stepped(parsed.value, event.key === "ArrowUp" ? options.step : -options.step);
        typed.delete(steppedCell);
        bad.delete(steppedCell);
        input.value = formatFull(matrix[r][c]);
        input.select();
        show();
        announce();
      }
    } else if (event.altKey) {
      return;
    } else if (event.key === "Enter") {
      take(input);
      if (!focusCell(r + (event.shiftKey ? -1 : 1), c)) {
        if (!bad.has(nameOf(r, c))) input.value = fullText(r, c);
        input.select();
      }
    } else if (event.key === "Escape") {
      const changed = input.value !== fullText(r, c);
      bad.delete(nameOf(r, c));
      input.value = fullText(r, c);
      if (changed) input.select();
      else input.blur();
      show();
    } else if (away[event.key] && !event.shiftKey) {
      const { selectionStart: from, selectionEnd: to, value } = input;
      const all = from === 0 && to === value.length;
      if (event.key === "ArrowLeft" && !all && !(from === 0 && to === 0)) return;
      if (event.key === "ArrowRight" && !all && !(from === value.length && to === value.length)) return;
      const [down, right] = away[event.key];
      focusCell(r + down, c + right);
    } else {
      return;
    }
    event.preventDefault();
  };

  root.onpaste = (event) => {
    const input = event.target;
    if (!input.cell) return;
    const parsed = parseBlock(event.clipboardData?.getData("text/plain") ?? "");
    if (!parsed) return;
    event.preventDefault();
    event.stopPropagation();
    const result = "problem" in parsed ? parsed : paste(matrix, parsed.block, ...input.cell, options);
    if ("problem" in result) {
      say(result.problem, true);
      return;
    }
    // The field holds text that the paste replaces; leaving it as it is would commit it again.
    input.value = fullText(...input.cell);
    replace(result.matrix);
    say(`Pasted ${sizeOf(parsed.block).join(" × ")} numbers.`);
    focused()?.select();
  };

  function buildTools() {
    for (const [name, words, look] of TOOLS) {
      const drawn = look.startsWith("M") ? icon(look) : look;
      const button = element(
        "button",
        { type: "button", class: "cl-button", title: words, "aria-label": words, "data-testid": `matrix-${name}` },
        [drawn],
      );
      button.onclick = () => use(name);
      tools.append(button);
    }
    for (const [axis, word] of [
      [0, "row"],
      [1, "column"],
    ]) {
      const make = (way) => {
        const words = `${way > 0 ? "More" : "Fewer"} ${word}s`;
        const button = element(
          "button",
          {
            type: "button",
            class: "cl-button cl-small",
            title: words,
            "aria-label": words,
            "data-axis": axis,
            "data-way": way,
            "data-testid": `matrix-${word}s-${way > 0 ? "more" : "fewer"}`,
          },
          [way > 0 ? "+" : "\u2212"],
        );
        button.onclick = () => {
          const size = sizeOf(matrix);
          size[axis] = clamp(size[axis] + way * options.sizeStep, options.minSize, options.maxSize);
          say("");
          replace(resize(matrix, ...size));
        };
        return button;
      };
      if (axis === 1) steppers.append(element("span", { "aria-hidden": "true", text: "×" }));
      const size = element("output", { "aria-label": `${word}s`, "data-testid": `matrix-${word}s` });
      steppers.append(element("div", { class: "cl-stepper" }, [make(-1), size, make(1)]));
    }
  }
  buildTools();

  const observer = new ResizeObserver(layout);
  observer.observe(area);

  return {
    update(component) {
      const { data } = component;
      setState = component.setStateValue;
      options = data;
      palette = paletteOf(data.tint);
      label.textContent = data.label;
      tools.hidden = !data.tools;
      steppers.hidden = !data.tools || data.minSize === data.maxSize;
      area.style.height = `${Math.min(AREA_HEIGHT, 73 * data.maxSize)}px`;
      if (version !== data.version) {
        // A new matrix. An edit that has not been sent yet was meant for the old one.
        clearTimeout(pending);
        pending = 0;
        const first = version === null;
        version = data.version;
        say("");
        replace(data.matrix, { undoable: !first, committed: false });
      }
      // Otherwise Python repeats what came from here, perhaps late: what is in the fields is newer.
      layout();
      show();
      grid.dataset.version = String(version);
    },
    destroy() {
      send();
      observer.disconnect();
    },
  };
}

/**
 * @param {any} component
 * @returns {() => void}
 */
export default function matrixGrid(component) {
  return liveView(instances, component, createGrid);
}
