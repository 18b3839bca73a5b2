import { unpack } from "../shared/bytes.js";
import { paletteOf } from "../shared/colour.js";
import { clamp } from "../shared/numbers.js";
import { element, keepKey, liveView, oncePerFrame, sharpContext } from "../shared/stage.js";
import { cellText, columnsIn, enlarge, heatTiles, lay, legendWords } from "./math.js";

const instances = new WeakMap();

const LEAST_WIDTH = 128;
const GAP = 16;
const SCALES = [
  ["own", "Own", "Each map from its own least to its own most"],
  ["shared", "Shared", "Equal colours are equal numbers, among the maps of a method"],
];
const CELLS = [
  ["smooth", "Smooth", "Between the centres of the map's cells"],
  ["cells", "Cells", "Each cell of the map as a block"],
];

function createHeatWall(root) {
  const slider = element("input", { type: "range", min: "0", max: "100", step: "5", "data-testid": "heat-opacity" });
  const percent = element("output", { class: "cl-heat-percent" });
  const opacityBox = element("label", { class: "cl-heat-knob" }, ["Opacity", slider, percent]);
  const colours = createSwitch("Colours", "heat-colours", (name) => change({ colours: name }), true);
  const scale = createSwitch("Scale", "heat-scale", (name) => change({ shared: name === "shared" }));
  const cells = createSwitch("Enlarged", "heat-cells", (name) => change({ smooth: name === "smooth" }), true);
  const knobs = element("div", { class: "cl-heat-knobs", "data-testid": "heat-knobs" }, [
    opacityBox,
    colours.node,
    scale.node,
    cells.node,
  ]);
  const grid = element("div", { class: "cl-heat-grid" });
  const heard = element("div", { class: "cl-heard", "aria-live": "polite", "data-testid": "heat-heard" });
  root.append(knobs, grid, heard);

  let header = null;
  let picture = null;
  let views = [];
  let look = null;
  let changes = 0;
  let picks = 0;
  let chosen = "";
  let cursor = null;
  let setState = () => {};
  let speakLater = 0;
  let columns = 0;
  const painting = oncePerFrame(paint);
  const pointing = oncePerFrame(point);

  const size = () => /** @type {[number, number]} */ ([header.height, header.width]);

  // ---- how maps are laid over the picture

  function change(part) {
    look = { ...look, ...part };
    changes += 1;
    dress();
    painting.ask();
    setState("look", { ...look, count: changes });
  }

  slider.oninput = () => {
    look = { ...look, opacity: Number(slider.value) / 100 };
    dress();
    painting.ask();
  };
  slider.onchange = () => change({ opacity: Number(slider.value) / 100 });

  function dress() {
    slider.value = String(Math.round(100 * look.opacity));
    percent.textContent = `${Math.round(100 * look.opacity)} %`;
    colours.offer(
      header.colours.map(({ name, label, meaning }) => [name, label, meaning]),
      look.colours,
    );
    scale.offer(header.canShare ? SCALES : [], look.shared ? "shared" : "own");
    cells.offer(CELLS, look.smooth ? "smooth" : "cells");
  }

  /** Colours of a tile: signed maps keep theirs. */
  function coloursOf(tile) {
    if (tile.own.isSigned) return { palette: paletteOf(header.signedLut), fades: true };
    const found = header.colours.find(({ name }) => name === look.colours) ?? header.colours[0];
    return { palette: paletteOf(found.lut), fades: found.fades };
  }

  // ---- painting

  function paint() {
    for (const view of views) paintTile(view);
    pointing.ask();
  }

  function paintTile(view) {
    const { tile, canvas } = view;
    const [rows, cols] = size();
    if (canvas.width !== cols) canvas.width = cols;
    if (canvas.height !== rows) canvas.height = rows;
    const isEmpty = !tile || tile.height === 0;
    const used = isEmpty ? null : look.shared && header.canShare ? tile.shared : tile.own;
    const dressing = isEmpty ? null : coloursOf(tile);
    const key = isEmpty ? header.digest : `${header.digest}|${tile.digest}|${look.smooth}`;
    if (view.enlarged !== key) {
      view.values = isEmpty ? null : enlarge(tile.map, [tile.height, tile.width], size(), look.smooth);
      view.enlarged = key;
    }
    const rgba =
      view.values && used && dressing
        ? lay(picture, view.values, used, dressing.palette.rgb, dressing.fades, look.opacity)
        : lay(picture, new Float32Array(rows * cols), NOTHING, paletteOf(header.signedLut).rgb, true, 0);
    canvas.getContext("2d").putImageData(new ImageData(rgba, cols, rows), 0, 0);
    const dense = window.devicePixelRatio || 1;
    canvas.style.imageRendering = view.stage.clientWidth * dense < cols ? "auto" : "pixelated";
    view.stage.dataset.painted = `${tile ? tile.id : "picture"}|${look.opacity}|${look.colours}|${look.shared}|${look.smooth}`;
    if (!tile) return;
    const hasLegend = Boolean(used && used.maximum > used.minimum);
    view.legend.style.visibility = hasLegend ? "visible" : "hidden";
    if (!hasLegend || !dressing) return;
    drawBar(view.bar, dressing.palette);
    const words = legendWords(tile, look.shared && header.canShare);
    view.low.textContent = words.low;
    view.high.textContent = words.high;
    view.zero.hidden = !words.zero;
  }

  function drawBar(bar, palette) {
    bar.width = 256;
    bar.height = 1;
    const context = bar.getContext("2d");
    palette.css.forEach((colour, index) => {
      context.fillStyle = colour;
      context.fillRect(index, 0, 1, 1);
    });
  }

  // ---- a place, the same in all tiles

  function point() {
    for (const view of views) {
      const { clientWidth: width, clientHeight: height } = view.stage;
      if (!width) continue;
      const context = sharpContext(view.marks, width, height);
      view.note.textContent = cursor && view.tile && view.tile.height ? cellText(view.tile, size(), cursor) : view.quiet;
      if (!cursor) continue;
      const x = ((cursor.col + 0.5) * width) / header.width;
      const y = ((cursor.row + 0.5) * height) / header.height;
      const side = Math.max(9, width / header.width);
      for (const [thick, colour] of [
        [3.5, "rgb(0 0 0 / 0.75)"],
        [1.5, "#fff"],
      ]) {
        context.lineWidth = Number(thick);
        context.strokeStyle = String(colour);
        context.strokeRect(x - side / 2, y - side / 2, side, side);
      }
    }
  }

  function lookAt(at) {
    cursor = at;
    pointing.ask();
  }

  function speak(view) {
    clearTimeout(speakLater);
    speakLater = setTimeout(() => {
      if (!cursor || !view.tile || !view.tile.height) return;
      heard.textContent = `${view.tile.title}: ${cellText(view.tile, size(), cursor)}`;
    }, 200);
  }

  // ---- tiles

  function createTile() {
    const title = element("div", { class: "cl-heat-title" });
    const canvas = element("canvas", { class: "cl-heat-pixels", "aria-hidden": "true" });
    const marks = element("canvas", { class: "cl-heat-marks", "aria-hidden": "true" });
    const part = element("div", { class: "cl-heat-part" });
    const progress = element("div", { class: "cl-heat-progress", "data-testid": "heat-progress" }, [part]);
    const stage = element("div", { class: "cl-heat-stage", tabindex: "0", role: "application", "data-testid": "heat-stage" }, [
      canvas,
      marks,
      progress,
    ]);
    const bar = element("canvas", { class: "cl-bar", "aria-hidden": "true" });
    const low = element("span", { "data-testid": "heat-minimum" });
    const zero = element("span", { text: "0" });
    const high = element("span", { "data-testid": "heat-maximum" });
    const legend = element("div", { class: "cl-heat-legend", "data-testid": "heat-legend" }, [
      element("div", { class: "cl-bar-box" }, [bar]),
      element("div", { class: "cl-heat-ends" }, [low, zero, high]),
    ]);
    const note = element("div", { class: "cl-quiet cl-heat-note", "data-testid": "heat-note" });
    const warning = element("div", { class: "cl-heat-warning", "data-testid": "heat-warning" });
    const node = element("div", { class: "cl-heat-tile", "data-testid": "heat-tile" }, [title, stage, legend, note, warning]);
    const view = { node, title, stage, canvas, marks, progress, part, legend, bar, low, zero, high, note, warning };
    return listen({ ...view, tile: null, quiet: "", enlarged: "", values: null });
  }

  function listen(view) {
    const { stage } = view;
    stage.onpointermove = (event) => {
      const box = stage.getBoundingClientRect();
      lookAt({
        row: clamp(Math.floor(((event.clientY - box.top) / box.height) * header.height), 0, header.height - 1),
        col: clamp(Math.floor(((event.clientX - box.left) / box.width) * header.width), 0, header.width - 1),
      });
    };
    stage.onpointerleave = () => lookAt(null);
    stage.onblur = () => lookAt(null);
    stage.onclick = () => pick(view);
    stage.onkeydown = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const step = event.shiftKey ? 8 : 1;
      const moves = { ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step] };
      if (event.key in moves) {
        const from = cursor ?? { row: Math.floor(header.height / 2), col: Math.floor(header.width / 2) };
        const [down, right] = cursor ? moves[event.key] : [0, 0];
        lookAt({
          row: clamp(from.row + down, 0, header.height - 1),
          col: clamp(from.col + right, 0, header.width - 1),
        });
        speak(view);
      } else if (event.key === "Enter" || event.key === " ") {
        pick(view);
      } else if (event.key === "Escape") {
        lookAt(null);
        stage.blur();
      } else {
        return;
      }
      event.preventDefault();
    };
    return view;
  }

  function pick(view) {
    if (!header.pickable || !view.tile) return;
    chosen = view.tile.id;
    picks += 1;
    mark();
    setState("pick", { id: chosen, count: picks });
  }

  function mark() {
    for (const view of views) {
      const isChosen = header.pickable && view.tile !== null && view.tile.id === chosen && views.length > 2;
      view.node.classList.toggle("cl-heat-chosen", isChosen);
      if (header.pickable && view.tile) view.stage.setAttribute("aria-current", String(isChosen));
    }
  }

  function fill(view, tile) {
    view.tile = tile;
    const title = tile ? tile.title : header.pictureTitle;
    view.title.textContent = title;
    view.title.title = title;
    view.quiet = tile ? tile.note : header.pictureNote;
    view.note.textContent = view.quiet;
    view.warning.textContent = tile ? tile.warning : "";
    view.warning.hidden = !view.warning.textContent;
    view.legend.hidden = !tile;
    view.progress.hidden = !tile || tile.done >= 1;
    view.part.style.width = tile ? `${100 * tile.done}%` : "0";
    view.stage.style.aspectRatio = `${header.width} / ${header.height}`;
    view.stage.classList.toggle("cl-heat-waiting", Boolean(tile && tile.height === 0));
    view.stage.classList.toggle("cl-heat-pickable", Boolean(tile && header.pickable));
    view.stage.dataset.tile = tile ? tile.id : "picture";
    const said = tile ? `${title}. ${view.quiet}. ${tile.warning}` : title;
    const keys = header.pickable && tile ? "Arrow keys read it, Enter chooses it" : "Arrow keys read it";
    view.stage.setAttribute("aria-label", `${said} ${keys}, Escape leaves.`);
    view.node.classList.toggle("cl-heat-apart", !tile && header.group > 1);
  }

  function arrange() {
    if (!header) return;
    const fitting = columnsIn(grid.clientWidth + GAP, header.columns, LEAST_WIDTH + GAP, header.group);
    if (fitting !== columns) {
      columns = fitting;
      grid.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    }
    painting.ask();
  }

  const observer = new ResizeObserver(arrange);
  observer.observe(grid);
  root.addEventListener("keydown", keepKey);

  return {
    update(component) {
      const message = unpack(component.data);
      header = message.header;
      setState = component.setStateValue;
      const { picture: pixels, tiles } = heatTiles(header, message.body);
      picture = pixels;
      // What the visitor has set here since goes before what Python has heard of.
      if (!look || header.heard >= changes) look = header.look;
      changes = Math.max(changes, header.heard);
      if (header.chosen) chosen = header.chosen;
      knobs.hidden = !header.hasKnobs;
      grid.setAttribute("role", "group");
      grid.setAttribute("aria-label", header.alt);
      grid.style.maxWidth = header.maxWidth ? `${header.maxWidth}px` : "";
      const shown = header.showsPicture ? [null, ...tiles] : tiles;
      while (views.length > shown.length) views.pop().node.remove();
      while (views.length < shown.length) {
        views.push(createTile());
        grid.append(views[views.length - 1].node);
      }
      shown.forEach((tile, index) => fill(views[index], tile));
      if (cursor && (cursor.row >= header.height || cursor.col >= header.width)) cursor = null;
      dress();
      mark();
      columns = 0;
      arrange();
    },
    destroy() {
      clearTimeout(speakLater);
      observer.disconnect();
      painting.stop();
      pointing.stop();
    },
  };
}

const NOTHING = { minimum: 0, maximum: 0, isSigned: false };

/**
 * A row of buttons of which one is pressed, with what it is about before it.
 *
 * @param {string} label
 * @param {string} testid
 * @param {(name: string) => void} chosen
 * @param {boolean} [isSpeaking] Whether the buttons say themselves what they are about.
 */
function createSwitch(label, testid, chosen, isSpeaking = false) {
  const buttons = element("div", { class: "cl-choice", role: "group", "aria-label": label, "data-testid": testid });
  const node = element("div", { class: "cl-heat-knob" }, isSpeaking ? [buttons] : [label, buttons]);
  let offered = "";
  return {
    node,
    /** @type {(entries: string[][], pressed: string) => void} */
    offer(entries, pressed) {
      node.hidden = entries.length < 2;
      const names = entries.map(([name]) => name).join();
      if (names !== offered) {
        offered = names;
        buttons.replaceChildren(
          ...entries.map(([name, text, title]) => {
            const button = element("button", { type: "button", text, title, "data-name": name });
            button.onclick = () => chosen(name);
            return button;
          }),
        );
      }
      for (const button of buttons.children) {
        button.setAttribute("aria-pressed", String(button.getAttribute("data-name") === pressed));
      }
    },
  };
}

/**
 * @param {any} component
 * @returns {() => void}
 */
export default function heatWall(component) {
  return liveView(instances, component, createHeatWall);
}
