import { element, icon, keepKey, liveView, oncePerFrame, sharpContext, themeOf } from "../shared/stage.js";
import { PAD_SIDE, SHORTEST_PAUSE, brushRadius, fromHex, onPad, paintStroke, pauseAfter, stepTo, toHex } from "./math.js";

const instances = new WeakMap();

const COUNT = PAD_SIDE * PAD_SIDE;
const UNDO_DEPTH = 50;
const GRID_FROM = 10;
const PEN_ERASER = 32;

function createPad(root) {
  const label = element("div", { class: "cl-label", id: "pad-label" });
  const pixelsCanvas = element("canvas", { class: "cl-pixels", "aria-hidden": "true" });
  const marks = element("canvas", { class: "cl-marks", "aria-hidden": "true" });
  const hint = element("div", { class: "cl-pad-hint", "aria-hidden": "true" });
  const stage = element(
    "div",
    {
      class: "cl-pad-stage",
      tabindex: "0",
      role: "application",
      "aria-roledescription": "drawing pad",
      "aria-labelledby": "pad-label pad-keys",
      "data-testid": "draw-pad-stage",
    },
    [pixelsCanvas, marks, hint],
  );
  const undoButton = tool("draw-pad-undo", "Undo", "Undo the last stroke", "M5.5 3L2.5 6l3 3M2.5 6H9a3.75 3.75 0 0 1 0 7.5H6");
  const clearButton = tool("draw-pad-clear", "Clear", "Clear the pad", "M4 4l8 8M12 4l-8 8");
  const keys = element("div", {
    class: "cl-heard",
    id: "pad-keys",
    text: `${PAD_SIDE} × ${PAD_SIDE} px. Arrow keys move, Space paints, Shift and an arrow draws a line, Delete clears, Control Z undoes, Escape leaves.`,
  });
  const heard = element("div", { class: "cl-heard", "aria-live": "polite", "data-testid": "draw-pad-heard" });
  root.append(
    label,
    stage,
    element("div", { class: "cl-pad-tools", role: "toolbar", "aria-label": "Change the drawing" }, [undoButton, clearButton]),
    keys,
    heard,
  );
  pixelsCanvas.width = PAD_SIDE;
  pixelsCanvas.height = PAD_SIDE;

  let pixels = new Uint8Array(COUNT);
  let past = [];
  let version = null;
  // The pointer that draws, and where it was; any other one waits.
  let pen = null;
  let cursor = null;
  let hintText = "";
  let live = true;
  let setState = () => {};
  let pending = 0;
  let pause = SHORTEST_PAUSE;
  let sent = { count: 0, at: 0, isHeard: true, isLatest: true };
  let theme = themeOf(root);
  let width = 0;
  const drawing = oncePerFrame(draw);

  function tool(testid, text, words, path) {
    return element("button", { type: "button", class: "cl-button cl-tool", title: words, "aria-label": words, "data-testid": testid }, [
      icon(path),
      element("span", { text }),
    ]);
  }

  // ---- showing

  function draw() {
    const rgba = new Uint8ClampedArray(4 * COUNT);
    pixels.forEach((level, index) => rgba.set([level, level, level, 255], 4 * index));
    pixelsCanvas.getContext("2d").putImageData(new ImageData(rgba, PAD_SIDE, PAD_SIDE), 0, 0);
    drawMarks();
    const isBlank = blank();
    hint.hidden = !isBlank || pen !== null;
    hint.textContent = cursor ? "Arrow keys move, Space paints, Shift and an arrow draws a line." : hintText;
    undoButton.toggleAttribute("disabled", past.length === 0);
    clearButton.toggleAttribute("disabled", isBlank);
    stage.dataset.ink = String(pixels.reduce((sum, level) => sum + level, 0));
  }

  function drawMarks() {
    if (!width) return;
    const cell = width / PAD_SIDE;
    const context = sharpContext(marks, width, width);
    if (cell >= GRID_FROM) {
      context.fillStyle = "rgb(255 255 255 / 0.09)";
      for (let line = 1; line < PAD_SIDE; line += 1) {
        context.fillRect(Math.round(line * cell), 0, 1, width);
        context.fillRect(0, Math.round(line * cell), width, 1);
      }
    }
    if (!cursor) return;
    for (const [line, colour] of [
      [4, "rgb(0 0 0 / 0.75)"],
      [2, theme.primary],
    ]) {
      context.lineWidth = line;
      context.strokeStyle = colour;
      context.strokeRect(cursor.col * cell, cursor.row * cell, cell, cell);
    }
  }

  const blank = () => pixels.every((level) => level === 0);

  // ---- telling Python

  function send() {
    clearTimeout(pending);
    pending = 0;
    sent = { count: sent.count + 1, at: performance.now(), isHeard: false, isLatest: true };
    setState("drawing", { pixels: toHex(pixels), version, count: sent.count });
  }

  /** While a stroke grows. A new message stops the page that works on the last one, so that one is let through first. */
  function sendSoon() {
    sent.isLatest = false;
    if (!live || pending || !sent.isHeard) return;
    pending = setTimeout(send, Math.max(0, sent.at + pause - performance.now()));
  }

  function hear(count) {
    if (count !== sent.count || sent.isHeard) return;
    sent.isHeard = true;
    pause = pauseAfter(performance.now() - sent.at);
    if (!sent.isLatest) sendSoon();
  }

  // ---- changing

  function remember() {
    past.push(pixels.slice());
    if (past.length > UNDO_DEPTH) past.shift();
  }

  function stroke(from, to, radius) {
    paintStroke(pixels, PAD_SIDE, from, to, radius);
    drawing.ask();
  }

  function undo() {
    const before = past.pop();
    if (!before) return;
    pixels = before;
    heard.textContent = "Last stroke undone";
    drawing.ask();
    send();
  }

  function clear() {
    if (blank()) return;
    remember();
    pixels = new Uint8Array(COUNT);
    heard.textContent = "Pad cleared";
    drawing.ask();
    send();
  }

  undoButton.onclick = () => {
    undo();
    // A button that is switched off loses the focus to nowhere.
    if (past.length === 0) stage.focus();
  };
  clearButton.onclick = () => {
    clear();
    stage.focus();
  };

  // ---- hands

  const place = (event) => onPad({ x: event.clientX, y: event.clientY }, stage.getBoundingClientRect(), PAD_SIDE);

  stage.onpointerdown = (event) => {
    if (pen || event.button !== 0 || event.buttons & PEN_ERASER) return;
    event.preventDefault();
    remember();
    pen = { id: event.pointerId, at: place(event), radius: brushRadius(event.pointerType, event.pressure) };
    cursor = null;
    stage.setPointerCapture(event.pointerId);
    stage.focus({ preventScroll: true });
    stroke(pen.at, pen.at, pen.radius);
    sendSoon();
  };
  stage.onpointermove = (event) => {
    if (!pen || event.pointerId !== pen.id) return;
    // A fast hand moves further between two frames than a brush is wide; what lay between is told, too.
    const way = event.getCoalescedEvents?.() ?? [];
    for (const each of way.length ? way : [event]) {
      const next = place(each);
      const radius = brushRadius(each.pointerType, each.pressure);
      stroke(pen.at, next, radius);
      pen = { ...pen, at: next, radius };
    }
    sendSoon();
  };
  stage.onpointerup = (event) => {
    if (!pen || event.pointerId !== pen.id) return;
    stroke(pen.at, place(event), pen.radius);
    pen = null;
    drawing.ask();
    send();
  };
  stage.onpointercancel = (event) => {
    // The system took the finger for something else: what it drew until then was not meant.
    if (!pen || event.pointerId !== pen.id) return;
    pen = null;
    pixels = past.pop() ?? pixels;
    drawing.ask();
    send();
  };

  const middle = (cell) => ({ x: cell.col + 0.5, y: cell.row + 0.5 });
  const centre = { row: PAD_SIDE / 2, col: PAD_SIDE / 2 };

  function say(what) {
    heard.textContent = `row ${cursor.row + 1}, column ${cursor.col + 1}${what}`;
  }

  stage.onfocus = () => {
    if (pen || !stage.matches(":focus-visible")) return;
    cursor = centre;
    drawing.ask();
  };
  stage.onblur = () => {
    cursor = null;
    heard.textContent = "";
    drawing.ask();
  };
  stage.onkeydown = (event) => {
    keepKey(event);
    if (pen) return;
    if (event.key === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey) {
      event.stopPropagation();
      event.preventDefault();
      undo();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const from = cursor ?? centre;
    const next = stepTo(from, event.key, 1, PAD_SIDE);
    if (next) {
      cursor = next;
      if (event.shiftKey) {
        if (!event.repeat) remember();
        stroke(middle(from), middle(next), brushRadius("keys", 0));
        sendSoon();
      }
      say(event.shiftKey ? ", painted" : "");
      drawing.ask();
    } else if (event.key === " " || event.key === "Enter") {
      cursor = from;
      if (!event.repeat) {
        remember();
        stroke(middle(from), middle(from), brushRadius("keys", 0));
        send();
      }
      say(", painted");
    } else if (event.key === "Delete" || event.key === "Backspace") {
      clear();
    } else if (event.key === "Escape") {
      stage.blur();
    } else {
      return;
    }
    event.preventDefault();
  };
  stage.onkeyup = (event) => {
    if (!sent.isLatest && (event.key === "Shift" || event.key.startsWith("Arrow"))) send();
  };

  const observer = new ResizeObserver(() => {
    width = stage.clientWidth;
    drawing.ask();
  });
  observer.observe(stage);

  return {
    update(component) {
      const { data } = component;
      setState = component.setStateValue;
      live = data.live;
      theme = themeOf(root);
      label.textContent = data.label;
      hintText = data.hint;
      if (version !== data.version) {
        // Otherwise Python repeats what came from here, perhaps late: what is on the pad is newer.
        clearTimeout(pending);
        pending = 0;
        sent = { ...sent, isHeard: true, isLatest: true };
        version = data.version;
        pixels = fromHex(data.pixels, COUNT);
        past = [];
        pen = null;
      }
      hear(data.heard);
      drawing.ask();
    },
    destroy() {
      clearTimeout(pending);
      if (!sent.isLatest) send();
      observer.disconnect();
      drawing.stop();
    },
  };
}

/**
 * @param {any} component
 * @returns {() => void}
 */
export default function drawPad(component) {
  return liveView(instances, component, createPad);
}
