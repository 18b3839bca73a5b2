import { unpack } from "../shared/bytes.js";
import { paletteOf } from "../shared/colour.js";
import { createLegend } from "../shared/legend.js";
import { clamp } from "../shared/numbers.js";
import { element, keepKey, liveView, oncePerFrame, sharpContext, themeOf } from "../shared/stage.js";
import {
  LOUPE_PIXELS,
  cellTexts,
  frameIn,
  fromCommon,
  loupeCell,
  mappingOf,
  pixelAt,
  placeLoupe,
  toCommon,
  toRgba,
  valueOfCode,
  windowOf,
} from "./math.js";

const instances = new WeakMap();

// Pictures that move their magnifiers together, by the name of their group. All pictures of a page share this
// module, so they find one another here without a word to Python.
const groups = new Map();

const GRID_FROM = 12;
const NUMBERS_FROM = 28;
// Where a pixel is this large already, squares of 12 px magnify nothing.
const LOUPE_BELOW = 16;
const TAP_SLACK = 8;
// Title and legend keep this much, however thin the picture is.
const TEXT_WIDTH = 240;

function createPicture(root) {
  const title = element("div", { class: "cl-title" });
  const pixels = element("canvas", { class: "cl-pixels", "aria-hidden": "true" });
  const grid = element("canvas", { class: "cl-over", "aria-hidden": "true" });
  const marks = element("canvas", { class: "cl-over", "aria-hidden": "true" });
  const glass = element("canvas", { "aria-hidden": "true", "data-testid": "picture-loupe-pixels" });
  const place = element("div", { "data-testid": "picture-loupe-place" });
  const value = element("div", { class: "cl-value", "data-testid": "picture-loupe-value" });
  const loupe = element("div", { class: "cl-loupe", "data-testid": "picture-loupe", "aria-hidden": "true" }, [
    glass,
    place,
    value,
  ]);
  const stage = element(
    "div",
    {
      class: "cl-stage",
      tabindex: "0",
      role: "application",
      "aria-roledescription": "picture with a magnifier",
      "data-testid": "picture-stage",
    },
    [pixels, grid, marks],
  );
  const heard = element("div", { class: "cl-heard", "aria-live": "polite", "data-testid": "picture-heard" });
  // The stage may fill a part of the area only: pictures that are compared keep one scale, and nothing moves when one
  // of them shrinks.
  const area = element("div", { class: "cl-area" }, [stage, loupe]);
  const frame = element("div", { class: "cl-frame" }, [title, area]);
  root.append(frame, heard);
  const legend = createLegend(frame, "picture-legend");
  loupe.hidden = true;

  let header = null;
  let mapping = mappingOf({});
  let planes = null;
  let painted = { digest: "", lut: "", height: 0, width: 0, sameScale: false };
  let palette = null;
  let theme = themeOf(root);
  let group = null;
  let cursor = null;
  let framed = null;
  // Size of the picture on the page, kept because asking for it between two drawings lays out the page.
  let box = { width: 0, height: 0 };
  let areaBox = box;
  let panel = { width: 0, height: 0 };
  let panelSize = "";
  let pick = null;
  let pressed = null;
  let picks = 0;
  let setState = () => {};
  let speakLater = 0;
  let gone = false;
  const drawing = oncePerFrame(drawMarks);

  const self = { follow, hide, reserve, mappingNow: () => mapping, sizeNow: () => painted };

  // ---- the picture itself

  function paint() {
    const { height, width } = header;
    const count = height * width;
    if (!planes || planes.length !== count * header.planes) return;
    reserve();
    if (header.digest !== painted.digest || header.lut !== painted.lut || width !== painted.width) {
      palette = header.lut ? paletteOf(header.lut) : null;
      colour(height, width);
    }
    painted = { digest: header.digest, lut: header.lut, height, width, sameScale: header.sameScale };
    for (const other of comrades()) other.reserve();
    stage.dataset.digest = header.digest;
    if (cursor && !pixelAt(cursor, height, width)) hide();
    if (pick && !pixelAt(pick, height, width)) pick = null;
    drawGrid();
    drawing.ask();
  }

  function colour(height, width) {
    if (pixels.width !== width) pixels.width = width;
    if (pixels.height !== height) pixels.height = height;
    const rgba = toRgba(planes, height * width, palette && palette.rgb);
    pixels.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
  }

  function reserve() {
    const { height, width, maxHeight } = header;
    const sizes = [header, ...comrades().map((other) => other.sizeNow())];
    const areaHeight = Math.max(...sizes.map((size) => size.height));
    const areaWidth = Math.max(...sizes.map((size) => size.width));
    area.style.aspectRatio = `${areaWidth} / ${areaHeight}`;
    stage.style.width = `${(100 * width) / areaWidth}%`;
    stage.style.height = `${(100 * height) / areaHeight}%`;
    const widest = Math.max(1, (maxHeight * areaWidth) / areaHeight);
    area.style.maxWidth = `${widest}px`;
    frame.style.maxWidth = `${Math.max(TEXT_WIDTH, widest)}px`;
  }

  /** The other pictures drawn to the same scale as this one. */
  const comrades = () =>
    header.sameScale && group ? [...group].filter((other) => other !== self && other.sizeNow().sameScale) : [];

  const cellNow = () => ({ x: box.width / painted.width, y: box.height / painted.height });

  function drawGrid() {
    if (!painted.width || !box.width) return;
    const cell = cellNow();
    const dense = window.devicePixelRatio || 1;
    pixels.style.imageRendering = cell.x * dense < 1 ? "auto" : "pixelated";
    const context = sharpContext(grid, box.width, box.height);
    if (cell.x < GRID_FROM) return;
    context.fillStyle = "rgb(128 128 128 / 0.55)";
    for (let col = 1; col < painted.width; col += 1) context.fillRect(Math.round(col * cell.x), 0, 1, box.height);
    for (let row = 1; row < painted.height; row += 1) context.fillRect(0, Math.round(row * cell.y), box.width, 1);
    if (cell.x < NUMBERS_FROM || header.planes !== 1) return;
    const size = clamp(cell.x * 0.32, 9, 14);
    context.font = `${size}px ${theme.font}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const room = Math.floor((cell.x - 3) / (size * 0.57));
    const texts = cellTexts(planes, header.legend, room);
    for (let row = 0; row < painted.height; row += 1) {
      for (let col = 0; col < painted.width; col += 1) {
        const code = planes[row * painted.width + col];
        context.fillStyle = palette.ink[code];
        context.fillText(texts[code], (col + 0.5) * cell.x, (row + 0.5) * cell.y);
      }
    }
  }

  // ---- cursor, pick, magnifier

  function outline(context, left, top, width, height, colour) {
    // Dark under light: seen on every colour.
    context.lineWidth = 3;
    context.strokeStyle = "rgb(0 0 0 / 0.75)";
    context.strokeRect(left, top, width, height);
    context.lineWidth = 1.5;
    context.strokeStyle = colour;
    context.strokeRect(left, top, width, height);
  }

  function outlinePixel(context, cell, at, colour, least = 7) {
    const side = Math.max(cell.x, least);
    const tall = Math.max(cell.y, least);
    const x = (at.col + 0.5) * cell.x;
    const y = (at.row + 0.5) * cell.y;
    outline(context, x - side / 2, y - tall / 2, side, tall, colour);
  }

  function drawMarks() {
    if (gone || !painted.width || !box.width) return;
    const cell = cellNow();
    const context = sharpContext(marks, box.width, box.height);
    if (framed) {
      outline(context, framed.left * cell.x, framed.top * cell.y, framed.cols * cell.x, framed.rows * cell.y, theme.primary);
    }
    loupe.hidden = !cursor;
    if (cursor && cell.x < 6) {
      const half = LOUPE_PIXELS / 2;
      const left = (cursor.col + 0.5 - half) * cell.x;
      const top = (cursor.row + 0.5 - half) * cell.y;
      outline(context, left, top, LOUPE_PIXELS * cell.x, LOUPE_PIXELS * cell.y, "rgb(255 255 255 / 0.8)");
    }
    if (cursor && cell.x >= 3) outlinePixel(context, cell, cursor, "#fff");
    if (pick) {
      outlinePixel(context, cell, pick, theme.primary, 11);
      stage.dataset.pick = `${pick.row},${pick.col}`;
    } else {
      delete stage.dataset.pick;
    }
    if (cursor) drawLoupe(cell);
  }

  function words() {
    const index = cursor.row * painted.width + cursor.col;
    const count = painted.width * painted.height;
    const at = `row ${cursor.row}, column ${cursor.col}`;
    if (header.planes === 1) return { at, text: valueOfCode(planes[index], header.legend).text };
    const channels = [planes[index], planes[count + index], planes[2 * count + index]];
    const texts = channels.map((code) => (header.legend ? valueOfCode(code, header.legend).text : String(code)));
    return { at, text: ["R", "G", "B"].map((name, channel) => `${name} ${texts[channel]}`).join("  ") };
  }

  function drawLoupe(cell) {
    const magnifies = cell.x < LOUPE_BELOW;
    glass.hidden = !magnifies;
    if (magnifies) {
      const side = loupeCell(areaBox.width, areaBox.height);
      const whole = side * LOUPE_PIXELS;
      const context = sharpContext(glass, whole, whole);
      const half = (LOUPE_PIXELS - 1) / 2;
      const count = painted.width * painted.height;
      for (let down = 0; down < LOUPE_PIXELS; down += 1) {
        for (let across = 0; across < LOUPE_PIXELS; across += 1) {
          const row = cursor.row + down - half;
          const col = cursor.col + across - half;
          if (row < 0 || col < 0 || row >= painted.height || col >= painted.width) continue;
          const index = row * painted.width + col;
          context.fillStyle =
            header.planes === 1
              ? palette.css[planes[index]]
              : `rgb(${planes[index]} ${planes[count + index]} ${planes[2 * count + index]})`;
          context.fillRect(across * side, down * side, side, side);
        }
      }
      context.fillStyle = "rgb(128 128 128 / 0.45)";
      for (let line = 1; line < LOUPE_PIXELS; line += 1) {
        context.fillRect(line * side, 0, 1, whole);
        context.fillRect(0, line * side, whole, 1);
      }
      if (framed) {
        const left = (framed.left - cursor.col + half) * side;
        const top = (framed.top - cursor.row + half) * side;
        outline(context, left, top, framed.cols * side, framed.rows * side, theme.primary);
      }
      outline(context, half * side, half * side, side, side, "#fff");
    }
    const { at, text } = words();
    place.textContent = at;
    value.textContent = text;
    // Asking for the size lays out the page; it depends on the lengths of the words alone.
    const size = `${at.length},${text.length},${magnifies},${box.width},${box.height}`;
    if (size !== panelSize) {
      panelSize = size;
      panel = { width: loupe.offsetWidth, height: loupe.offsetHeight };
    }
    const point = { x: (cursor.col + 0.5) * cell.x, y: (cursor.row + 0.5) * cell.y };
    const spot = placeLoupe(areaBox, panel, point, 14 + Math.max(cell.x, cell.y) / 2);
    loupe.style.transform = `translate(${Math.round(spot.left)}px, ${Math.round(spot.top)}px)`;
  }

  function speak() {
    clearTimeout(speakLater);
    // Only where the cursor rests: a screen reader cannot follow every pixel on the way.
    speakLater = setTimeout(() => {
      if (!cursor) return;
      const { at, text } = words();
      heard.textContent = `${at}: ${text.replace("≈", "about")}${pick && pick.row === cursor.row && pick.col === cursor.col ? ", picked" : ""}`;
    }, 200);
  }

  // ---- moving together

  function lookAt(next) {
    cursor = next;
    framed = null;
    speak();
    drawing.ask();
    if (!group) return;
    const common = toCommon(mapping, next);
    let frameCommon = mapping.windowRows > 0 ? windowOf(mapping, next) : null;
    if (!frameCommon) {
      // Of several pictures with a window, the finest: the one whose window is nearest to this place.
      const looking = [...group].filter((other) => other.mappingNow().windowRows > 0);
      looking.sort((one, other) => one.mappingNow().scaleRow - other.mappingNow().scaleRow);
      if (looking.length) {
        const theirs = looking[0].mappingNow();
        const size = looking[0].sizeNow();
        const pixel = pixelAt(fromCommon(theirs, common), size.height, size.width);
        if (pixel) frameCommon = windowOf(theirs, pixel);
      }
    }
    for (const other of group) {
      if (other !== self) other.follow(common, frameCommon);
    }
    if (frameCommon && !(mapping.windowRows > 0)) framed = frameIn(mapping, frameCommon);
  }

  function follow(common, frameCommon) {
    if (!painted.width) return;
    cursor = pixelAt(fromCommon(mapping, common), painted.height, painted.width);
    framed = frameCommon && !(mapping.windowRows > 0) ? frameIn(mapping, frameCommon) : null;
    drawing.ask();
  }

  function hide() {
    cursor = null;
    framed = null;
    drawing.ask();
  }

  function leave() {
    hide();
    clearTimeout(speakLater);
    heard.textContent = "";
    if (!group) return;
    for (const other of group) if (other !== self) other.hide();
  }

  function join(name) {
    const next = name ? (groups.get(name) ?? new Set()) : null;
    if (next === group) return;
    quit();
    group = next;
    if (!group) return;
    group.add(self);
    group.name = name;
    groups.set(name, group);
  }

  function quit() {
    if (!group) return;
    group.delete(self);
    if (group.size === 0) groups.delete(group.name);
    group = null;
  }

  // ---- hands

  function under(event) {
    const now = stage.getBoundingClientRect();
    const col = Math.floor(((event.clientX - now.left) / now.width) * painted.width);
    const row = Math.floor(((event.clientY - now.top) / now.height) * painted.height);
    return { row: clamp(row, 0, painted.height - 1), col: clamp(col, 0, painted.width - 1) };
  }

  function choose(at) {
    pick = at;
    picks += 1;
    // The count makes a second click into the same pixel a new pick.
    setState("pick", { ...at, count: picks });
    speak();
    drawing.ask();
  }

  stage.onpointermove = (event) => {
    if (!painted.width) return;
    if (pressed && Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > TAP_SLACK) pressed.moved = true;
    lookAt(under(event));
  };
  stage.onpointerdown = (event) => {
    if (!painted.width || event.button !== 0) return;
    pressed = { x: event.clientX, y: event.clientY, moved: false };
    lookAt(under(event));
  };
  stage.onpointerup = (event) => {
    if (!pressed) return;
    const tapped = !pressed.moved;
    pressed = null;
    if (tapped) choose(under(event));
    else if (event.pointerType !== "mouse") leave();
  };
  stage.onpointercancel = () => {
    pressed = null;
    leave();
  };
  stage.onpointerleave = (event) => {
    // A finger that lifts "leaves" too, but what it tapped stays in view.
    if (event.pointerType === "mouse") {
      pressed = null;
      leave();
    }
  };

  stage.onfocus = () => {
    if (cursor || !painted.width || !stage.matches(":focus-visible")) return;
    lookAt(pick ?? { row: Math.floor(painted.height / 2), col: Math.floor(painted.width / 2) });
  };
  stage.onblur = leave;

  const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  stage.onkeydown = (event) => {
    keepKey(event);
    if (!painted.width || event.ctrlKey || event.metaKey || event.altKey) return;
    const move = moves[event.key];
    if (move) {
      const far = event.shiftKey ? 10 : 1;
      const from = cursor ?? pick ?? { row: Math.floor(painted.height / 2), col: Math.floor(painted.width / 2) };
      lookAt({
        row: clamp(from.row + far * move[0], 0, painted.height - 1),
        col: clamp(from.col + far * move[1], 0, painted.width - 1),
      });
    } else if ((event.key === "Enter" || event.key === " ") && cursor) {
      choose(cursor);
    } else if ((event.key === "Delete" || event.key === "Backspace") && pick) {
      choose(null);
    } else if (event.key === "Escape") {
      leave();
      stage.blur();
    } else {
      return;
    }
    event.preventDefault();
  };

  const observer = new ResizeObserver(() => {
    box = { width: stage.clientWidth, height: stage.clientHeight };
    areaBox = { width: area.clientWidth, height: area.clientHeight };
    drawGrid();
    drawing.ask();
  });
  observer.observe(stage);
  observer.observe(area);

  return {
    update(component) {
      const message = unpack(component.data);
      const first = header === null;
      header = message.header;
      setState = component.setStateValue;
      theme = themeOf(root);
      mapping = mappingOf(header.mapping);
      // Afterwards the browser knows best: what Python sends may be older than the last click.
      if (first) pick = header.pick ? { row: header.pick[0], col: header.pick[1] } : null;
      title.textContent = header.title;
      title.hidden = !header.title;
      stage.setAttribute("aria-label", `${header.alt}. Arrow keys look around, Enter picks, Escape leaves.`);
      const known = header.lut ? paletteOf(header.lut) : null;
      const given = header.legend;
      legend.update(
        given && known
          ? { ...given, zeroInside: given.zeroInside && given.minimum < 0 && given.maximum > 0, colours: known.css, ink: theme.text }
          : null,
      );
      join(header.link);
      if (header.digest !== painted.digest || header.height !== painted.height || header.width !== painted.width) {
        planes = message.body;
      }
      paint();
    },
    destroy() {
      gone = true;
      leave();
      quit();
      observer.disconnect();
      legend.stop();
      drawing.stop();
    },
  };
}

/**
 * @param {any} component
 * @returns {() => void}
 */
export default function picture(component) {
  return liveView(instances, component, createPicture);
}
