import { unpack } from "../shared/bytes.js";
import { paletteOf, tintCode } from "../shared/colour.js";
import { formatNumber, groupThousands } from "../shared/numbers.js";
import { element, keepKey, liveView, oncePerFrame, sharpContext } from "../shared/stage.js";
import {
  ROW_FILTERS,
  boundFor,
  boundOfRow,
  cellUnder,
  channelAt,
  cornerOf,
  drawnSize,
  filterOf,
  moved,
  placeCard,
  positionOf,
  reductionOf,
  shareText,
  sheetOf,
  sizeOf,
  tileAt,
  valueText,
  wallGrids,
  wallRows,
} from "./math.js";

const instances = new WeakMap();

const SCALES = { map: "Each map", layer: "Each layer", net: "Whole net" };
const SCALES_OF_ONE = { map: "Each map", layer: "Whole layer" };
const SCALE_WORDS = {
  map: "Each map on its own scale, −max to max",
  layer: "Each layer on its own scale, given as ±",
  net: "One scale for the whole net",
};
const LABEL_WIDTH = 184;
const MORE_WIDTH = 44;
const NARROW = 640;
const CARD_SIDE = 168;
const TAP_ROOM = 8;

function createWall(root) {
  const scaleChoice = createChoice("Colour scale", "map-wall-scale", (name) => {
    scale = name;
    dressLegend();
    repaint();
  });
  const filterChoice = createChoice("Layers shown", "map-wall-filter", (name) => {
    filter = name;
    sift();
  });
  const low = element("span", { "data-testid": "map-wall-minimum" });
  const high = element("span", { "data-testid": "map-wall-maximum" });
  const bar = element("canvas", { class: "cl-bar", width: "256", height: "1", "aria-hidden": "true" });
  const legendWords = element("div", { class: "cl-quiet", "data-testid": "map-wall-legend-words" });
  const alienSwatch = element("span", { class: "cl-swatch", "aria-hidden": "true" });
  const alienNote = element("div", { class: "cl-quiet", "data-testid": "map-wall-alien" }, [alienSwatch, "NaN or ∞"]);
  const legend = element("div", { class: "cl-wall-legend", "data-testid": "map-wall-legend" }, [
    element("div", { class: "cl-wall-bar" }, [low, bar, high]),
    element("div", { class: "cl-wall-zero", "aria-hidden": "true", text: "0" }),
    legendWords,
    alienNote,
  ]);
  const head = element("div", { class: "cl-wall-head" }, [
    element("div", { class: "cl-wall-choices" }, [scaleChoice.node, filterChoice.node]),
    legend,
  ]);
  const list = element("div", {
    class: "cl-wall-list",
    tabindex: "0",
    role: "application",
    "aria-roledescription": "wall of feature maps",
    "data-testid": "map-wall-list",
  });
  const cursorFrame = element("div", { class: "cl-map-frame", "data-testid": "map-wall-cursor" });
  const pickFrame = element("div", { class: "cl-map-frame cl-map-picked", "data-testid": "map-wall-picked" });
  const cardTitle = element("div", { class: "cl-card-title", "data-testid": "map-wall-card-title" });
  const cardMap = element("canvas", { "data-testid": "map-wall-card-map" });
  const cardFacts = element("dl", { class: "cl-card-facts", "data-testid": "map-wall-card-facts" });
  const cardValue = element("div", { class: "cl-card-value", "data-testid": "map-wall-card-value" });
  const cardNote = element("div", { class: "cl-quiet" });
  // In the top layer nothing can cut it off, wherever the wall stands.
  const card = element("div", { class: "cl-card", popover: "manual", "aria-hidden": "true", "data-testid": "map-wall-card" }, [
    cardTitle,
    cardMap,
    cardValue,
    cardFacts,
    cardNote,
  ]);
  const heard = element("div", { class: "cl-heard", "aria-live": "polite", "data-testid": "map-wall-heard" });
  root.append(head, list, card, heard);

  const scratch = document.createElement("canvas");
  let header = null;
  let palette = null;
  /** One entry a layer: the row, its place on the page, and what has been drawn of it. */
  let lines = [];
  let shape = "";
  let scale = "";
  let givenScale = "";
  let filter = "all";
  let netBound = 0;
  let version = 0;
  let dense = 1;
  let cursor = null;
  let pick = null;
  let picks = 0;
  let pressed = null;
  let carded = "";
  let cardSize = { words: "", width: 0, height: 0 };
  let speakLater = 0;
  let setState = () => {};
  const painting = oncePerFrame(paintVisible);
  const pointing = oncePerFrame(showCursor);
  const seen = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        const line = lines.find((other) => other.maps === entry.target);
        if (!line) continue;
        line.visible = entry.isIntersecting;
        if (line.visible) continue;
        // A long wall would otherwise keep every layer it ever showed as a bitmap.
        line.canvas.width = line.canvas.height = 0;
        line.painted = -1;
      }
      painting.ask();
    },
    { root: list, rootMargin: "160px 0px" },
  );

  // ---- rows

  function createLine() {
    const name = element("div", { class: "cl-row-name" });
    const facts = element("div", { class: "cl-quiet" });
    const dead = element("span", { class: "cl-row-dead" });
    const reach = element("span", { class: "cl-quiet" });
    const canvas = element("canvas", { "aria-hidden": "true" });
    const maps = element("div", { class: "cl-row-maps" }, [canvas]);
    const more = element("div", { class: "cl-row-more cl-quiet" });
    const label = element("div", { class: "cl-row-label" }, [name, facts, element("div", {}, [reach, dead])]);
    const node = element("div", { class: "cl-row", "data-testid": "map-wall-row" }, [label, maps, more]);
    return { row: null, grid: null, bound: 0, visible: false, painted: -1, node, name, facts, dead, reach, canvas, maps, more };
  }

  function build(rows) {
    const nextShape = JSON.stringify(rows.map((row) => [row.index, row.name, row.kind, row.count, row.height, row.width]));
    if (nextShape !== shape) {
      shape = nextShape;
      for (const line of lines) seen.unobserve(line.maps);
      leave();
      lines = rows.map(createLine);
      list.replaceChildren(...lines.map((line) => line.node));
      for (const line of lines) seen.observe(line.maps);
    }
    lines.forEach((line, at) => {
      const row = rows[at];
      line.row = row;
      line.bound = boundOfRow(row);
      line.node.dataset.index = row.index;
      line.name.textContent = row.name;
      line.name.title = row.name;
      line.facts.textContent = [row.kind, row.shape.map((side) => formatNumber(side)).join(" × ")].filter(Boolean).join(" · ");
      line.facts.title = line.facts.textContent;
      line.reach.textContent = `± ${formatNumber(line.bound)}`;
      line.reach.title = "The largest magnitude shown in this row";
      const troubles = [];
      // A unit of a vector has one number a picture: that this is zero says little.
      if (row.numDead) troubles.push(`${row.numDead} of ${row.numChannels} ${row.values ? "zero" : "dead"}`);
      if (row.numNotFinite) troubles.push(`${row.numNotFinite} of ${row.numChannels} not finite`);
      line.dead.textContent = troubles.map((trouble) => ` · ${trouble}`).join("");
      line.dead.classList.toggle("cl-quiet", Boolean(row.values) && !row.numNotFinite);
      line.dead.title = row.numDead && !row.values ? "A dead channel is zero everywhere: for this image it tells nothing" : "";
      const hidden = row.numChannels - row.count;
      line.more.textContent = hidden > 0 ? `+${groupThousands(String(hidden))}` : "";
      line.more.title = hidden > 0 ? `The first ${row.count} of ${groupThousands(String(row.numChannels))} are shown` : "";
    });
    netBound = Math.max(0, ...lines.map((line) => line.bound));
  }

  const shownLines = () => lines.filter((line) => !line.node.hidden);
  const lineOf = (index) => lines.find((line) => line.row.index === index);

  function sift() {
    const groups = new Set(lines.map((line) => filterOf(line.row.kind)));
    const offered = Object.keys(ROW_FILTERS).filter((name) => name === "all" || groups.has(name));
    // A choice that leaves everything or nothing is none.
    const useful = groups.size > 1 && offered.length > 1;
    if (!useful || !offered.includes(filter)) filter = "all";
    filterChoice.offer(useful ? offered.map((name) => [name, ROW_FILTERS[name]]) : [], filter);
    for (const line of lines) line.node.hidden = filter !== "all" && filterOf(line.row.kind) !== filter;
    if (cursor && cursor.line.node.hidden) leave();
    painting.ask();
  }

  // ---- where things are

  function measure() {
    const inner = list.clientWidth;
    if (!inner || !header) return;
    const narrow = header.wrap || inner < NARROW;
    root.classList.toggle("cl-narrow", narrow);
    dense = window.devicePixelRatio || 1;
    const width = inner - 20 - (narrow ? 0 : LABEL_WIDTH + MORE_WIDTH);
    const grids = wallGrids(
      lines.map((line) => line.row),
      width,
      dense,
      header.wrap,
    );
    lines.forEach((line, at) => {
      line.grid = grids[at];
      const size = sizeOf(line.grid);
      line.maps.style.width = line.canvas.style.width = `${size.width / dense}px`;
      line.maps.style.height = line.canvas.style.height = `${size.height / dense}px`;
    });
    repaint();
  }

  function repaint() {
    version += 1;
    carded = "";
    markPick();
    painting.ask();
    pointing.ask();
  }

  // ---- colours

  function paintVisible() {
    if (!palette) return;
    for (const line of lines) {
      if (!line.visible || line.node.hidden || line.painted === version || !line.grid) continue;
      line.painted = version;
      if (line.row.values) paintVector(line);
      else paintMaps(line);
    }
  }

  function blank(line) {
    const size = sizeOf(line.grid);
    line.canvas.width = Math.max(1, size.width);
    line.canvas.height = Math.max(1, size.height);
    return line.canvas.getContext("2d");
  }

  const boundAt = (line, at) => boundFor(line.row, at, scale, line.bound, netBound);

  function paintMaps(line) {
    const { row, grid } = line;
    const context = blank(line);
    onSheet(line, 0, row.count, grid.columns);
    const size = drawnSize(grid.side, row.height, row.width);
    context.imageSmoothingEnabled = size.width < row.width;
    context.imageSmoothingQuality = "high";
    context.strokeStyle = "rgb(110 110 110 / 0.7)";
    context.lineWidth = dense;
    for (let at = 0; at < row.count; at += 1) {
      const { x, y } = cornerOf(grid, at);
      const left = (at % grid.columns) * row.width;
      const top = Math.floor(at / grid.columns) * row.height;
      context.drawImage(scratch, left, top, row.width, row.height, x, y, size.width, size.height);
      // Struck out: a dead channel is not a weak one.
      if (!isDead(row, at)) continue;
      context.beginPath();
      context.moveTo(x, y + size.height);
      context.lineTo(x + size.width, y);
      context.stroke();
    }
  }

  const isDead = (row, at) => row.stats[at].minimum === 0 && row.stats[at].maximum === 0;

  function onSheet(line, from, count, columns) {
    const bounds = Array.from({ length: count }, (_, map) => boundAt(line, from + map));
    const sheet = sheetOf(line.row, from, count, columns, bounds, palette.rgb, header.alien);
    scratch.width = sheet.width;
    scratch.height = sheet.height;
    scratch.getContext("2d").putImageData(new ImageData(sheet.rgba, sheet.width, sheet.height), 0, 0);
  }

  function paintVector(line) {
    const { row, grid } = line;
    const context = blank(line);
    for (let at = 0; at < row.count; at += 1) {
      const { x, y } = cornerOf(grid, at);
      const value = row.values[at];
      context.fillStyle = Number.isFinite(value)
        ? palette.css[tintCode(value, boundAt(line, at))]
        : `rgb(${header.alien.join(" ")})`;
      context.fillRect(x, y, grid.side, grid.side);
    }
  }

  function dressLegend() {
    if (!palette) return;
    const context = bar.getContext("2d");
    palette.css.forEach((colour, at) => {
      context.fillStyle = colour;
      context.fillRect(at, 0, 1, 1);
    });
    const isOneLayer = lines.length === 1 && scale !== "map";
    const isShared = isOneLayer || scale === "net";
    low.textContent = isShared ? formatNumber(-netBound) : "−max";
    high.textContent = isShared ? formatNumber(netBound) : "max";
    legendWords.textContent = isOneLayer ? "One scale for the whole layer" : SCALE_WORDS[scale];
    alienNote.hidden = !lines.some((line) => line.row.numNotFinite);
    alienSwatch.style.background = `rgb(${header.alien.join(" ")})`;
  }

  // ---- what is looked at and what is picked

  function place(frame, line, at) {
    const corner = cornerOf(line.grid, at);
    const size = line.row.values
      ? { width: line.grid.side, height: line.grid.side }
      : drawnSize(line.grid.side, line.row.height, line.row.width);
    frame.style.left = `${corner.x / dense}px`;
    frame.style.top = `${corner.y / dense}px`;
    frame.style.width = `${size.width / dense}px`;
    frame.style.height = `${size.height / dense}px`;
    if (frame.parentNode !== line.maps) line.maps.append(frame);
    frame.hidden = false;
  }

  function markPick() {
    pickFrame.hidden = true;
    for (const line of lines) line.node.classList.toggle("cl-row-picked", Boolean(pick) && line.row.index === pick.layer);
    const line = pick && lineOf(pick.layer);
    const at = line ? positionOf(line.row, pick.channel) : -1;
    if (at >= 0 && line.grid) place(pickFrame, line, at);
  }

  function lookAt(line, at, cell = null) {
    cursor = { line, at, cell };
    pointing.ask();
  }

  function leave() {
    cursor = null;
    clearTimeout(speakLater);
    heard.textContent = "";
    pointing.ask();
  }

  function showCursor() {
    if (!cursor || !cursor.line.grid || !palette) {
      cursorFrame.hidden = true;
      carded = "";
      if (card.matches(":popover-open")) card.hidePopover();
      return;
    }
    const { line, at, cell } = cursor;
    place(cursorFrame, line, at);
    if (!card.matches(":popover-open")) card.showPopover();
    const name = `${line.row.index},${at}`;
    if (carded !== name) fillCard(line, at);
    showCell(line.row, at, cell);
    const words = `${cardTitle.textContent}|${cardFacts.textContent}|${cardMap.hidden}|${cardValue.hidden}`;
    if (words !== cardSize.words) cardSize = { words, width: card.offsetWidth, height: card.offsetHeight };
    if (carded === name) return;
    carded = name;
    const box = cursorFrame.getBoundingClientRect();
    const spot = placeCard({ width: window.innerWidth, height: window.innerHeight }, box, cardSize);
    card.style.transform = `translate(${Math.round(spot.left)}px, ${Math.round(spot.top)}px)`;
    speak();
  }

  function factsOf(line, at) {
    const { row } = line;
    if (row.values) return [];
    const { minimum, maximum, mean, zeros } = row.stats[at];
    return [
      ["min", formatNumber(minimum)],
      ["mean", formatNumber(mean)],
      ["max", formatNumber(maximum)],
      ["zeros", shareText(zeros)],
    ];
  }

  const titleOf = (row, at) =>
    `${row.name}, ${row.values ? "unit" : "channel"} ${channelAt(row, at)} of ${groupThousands(String(row.numChannels))}`;

  function fillCard(line, at) {
    const { row } = line;
    cardTitle.textContent = titleOf(row, at);
    cardFacts.replaceChildren(
      ...factsOf(line, at).flatMap(([term, text]) => [element("dt", { text: term }), element("dd", { text })]),
    );
    cardMap.hidden = Boolean(row.values);
    const reduction = reductionOf(row);
    const dead = !row.values && isDead(row, at);
    cardNote.textContent = dead
      ? "Dead: zero everywhere, for this image."
      : reduction > 1
        ? `Each square is the mean of ${reduction} × ${reduction}.`
        : "";
    cardNote.hidden = !cardNote.textContent;
  }

  function showCell(row, at, cell) {
    if (row.values) {
      cardValue.hidden = false;
      cardValue.textContent = formatNumber(row.values[at], 4);
      return;
    }
    // An arrow key leads to a map, not to a cell of it.
    cardValue.hidden = !cell;
    if (cell) {
      cardValue.textContent = `${valueText(row, at, cell.row * row.width + cell.col)} at row ${cell.row}, column ${cell.col}`;
    }
    const line = cursor.line;
    const most = Math.max(row.height, row.width);
    const zoom = most > CARD_SIDE ? CARD_SIDE / most : Math.floor(CARD_SIDE / most);
    onSheet(line, at, 1, 1);
    const context = sharpContext(cardMap, row.width * zoom, row.height * zoom);
    context.imageSmoothingEnabled = zoom < 1;
    context.drawImage(scratch, 0, 0, row.width * zoom, row.height * zoom);
    if (!cell) return;
    const side = Math.max(zoom, 5);
    const x = (cell.col + 0.5) * zoom - side / 2;
    const y = (cell.row + 0.5) * zoom - side / 2;
    for (const [thick, colour] of [
      [3, "rgb(0 0 0 / 0.75)"],
      [1.5, "#fff"],
    ]) {
      context.lineWidth = thick;
      context.strokeStyle = colour;
      context.strokeRect(x, y, side, side);
    }
  }

  function speak() {
    clearTimeout(speakLater);
    // Only where the cursor rests: a screen reader cannot follow every map on the way.
    speakLater = setTimeout(() => {
      if (!cursor) return;
      const { line, at } = cursor;
      const facts = line.row.values
        ? formatNumber(line.row.values[at], 4)
        : factsOf(line, at)
            .map(([term, text]) => `${term} ${text}`)
            .join(", ");
      const isPick = pick && pick.layer === line.row.index && pick.channel === channelAt(line.row, at);
      heard.textContent = `${titleOf(line.row, at)}: ${facts}${isPick ? ", picked" : ""}`;
    }, 200);
  }

  // ---- hands

  function under(event) {
    const maps = event.target.closest?.(".cl-row-maps");
    const line = maps && lines.find((other) => other.maps === maps);
    if (!line || !line.grid) return null;
    const box = maps.getBoundingClientRect();
    const x = (event.clientX - box.left) * dense;
    const y = (event.clientY - box.top) * dense;
    const at = tileAt(line.grid, x, y);
    if (at < 0) return null;
    return { line, at, cell: line.row.values ? null : cellUnder(line.row, line.grid, at, x, y) };
  }

  function choose({ line, at }) {
    pick = { layer: line.row.index, channel: channelAt(line.row, at) };
    picks += 1;
    // The count makes a second click on the same map a new pick.
    setState("pick", { ...pick, count: picks });
    markPick();
    speak();
  }

  list.onpointermove = (event) => {
    if (pressed && Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > TAP_ROOM) pressed.moved = true;
    const found = under(event);
    if (found) lookAt(found.line, found.at, found.cell);
    else if (event.pointerType === "mouse") leave();
  };
  list.onpointerdown = (event) => {
    if (event.button !== 0) return;
    pressed = { x: event.clientX, y: event.clientY, moved: false };
  };
  list.onpointerup = (event) => {
    const tapped = pressed && !pressed.moved;
    pressed = null;
    const found = tapped && under(event);
    if (!found) {
      if (event.pointerType !== "mouse") leave();
      return;
    }
    lookAt(found.line, found.at, found.cell);
    choose(found);
  };
  list.onpointercancel = () => {
    pressed = null;
    leave();
  };
  list.onpointerleave = (event) => {
    if (event.pointerType === "mouse") leave();
  };
  list.onscroll = () => {
    // What is under the pointer has moved away; after an arrow key the cursor moved along.
    if (!cursor) return;
    if (list.matches(":focus-visible")) repoint();
    else leave();
  };
  list.onwheel = leave;
  list.onfocus = () => {
    if (cursor || !list.matches(":focus-visible")) return;
    goTo(home());
  };
  list.onblur = leave;

  function repoint() {
    carded = "";
    pointing.ask();
  }

  function home() {
    const shown = shownLines();
    const row = pick ? shown.findIndex((line) => line.row.index === pick.layer) : -1;
    const at = row >= 0 ? Math.max(0, positionOf(shown[row].row, pick.channel)) : 0;
    return { row: Math.max(0, row), at };
  }

  function goTo({ row, at }) {
    const line = shownLines()[row];
    if (!line || !line.grid) return;
    lookAt(line, at);
    const corner = cornerOf(line.grid, at).y / dense;
    const top = line.maps.getBoundingClientRect().top - list.getBoundingClientRect().top + corner;
    const bottom = top + line.grid.side / dense;
    const edge = 28;
    if (top < edge) list.scrollTop += top - edge;
    else if (bottom > list.clientHeight - edge) list.scrollTop += bottom - list.clientHeight + edge;
    repoint();
  }

  list.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== list) return;
    const shown = shownLines();
    if (/^Arrow|^Home$|^End$/.test(event.key)) {
      if (!shown.length || !shown[0].grid) return;
      const row = cursor ? shown.indexOf(cursor.line) : -1;
      const grids = shown.map((line) => line.grid);
      goTo(row < 0 ? home() : moved(grids, { row, at: cursor.at }, event.key, event.shiftKey));
    } else if ((event.key === "Enter" || event.key === " ") && cursor) {
      choose(cursor);
    } else if (event.key === "Escape") {
      leave();
      list.blur();
    } else {
      return;
    }
    event.preventDefault();
  };
  root.addEventListener("keydown", keepKey);

  const observer = new ResizeObserver(measure);
  observer.observe(list);

  return {
    update(component) {
      const message = unpack(component.data);
      header = message.header;
      setState = component.setStateValue;
      palette = paletteOf(header.lut);
      list.setAttribute("aria-label", `${header.alt}. Arrow keys move between maps, Enter picks, Escape leaves.`);
      list.style.maxHeight = `${header.maxHeight}px`;
      if (header.scale !== givenScale) scale = givenScale = header.scale;
      // Python names a pick only where it differs from what the visitor picked here.
      if (header.selected) pick = { layer: header.selected[0], channel: header.selected[1] };
      build(wallRows(header, message.body));
      // In a single layer, the whole net is that layer.
      if (lines.length === 1 && scale === "net") scale = "layer";
      scaleChoice.offer(Object.entries(lines.length === 1 ? SCALES_OF_ONE : SCALES), scale);
      sift();
      dressLegend();
      measure();
    },
    destroy() {
      leave();
      seen.disconnect();
      observer.disconnect();
      painting.stop();
      pointing.stop();
      if (card.matches(":popover-open")) card.hidePopover();
    },
  };
}

/**
 * A row of buttons of which one is pressed.
 *
 * @param {string} label
 * @param {string} testid
 * @param {(name: string) => void} chosen
 */
function createChoice(label, testid, chosen) {
  const node = element("div", { class: "cl-choice", role: "group", "aria-label": label, "data-testid": testid });
  const buttons = new Map();
  const choose = (name) => {
    for (const [other, button] of buttons) button.setAttribute("aria-pressed", String(other === name));
  };
  return {
    node,
    choose,
    /** @type {(entries: [string, string][], name: string) => void} */
    offer(entries, name) {
      node.hidden = entries.length === 0;
      if (entries.map(([key]) => key).join() !== [...buttons.keys()].join()) {
        buttons.clear();
        for (const [key, text] of entries) {
          const button = element("button", { type: "button", text, "data-name": key });
          button.onclick = () => {
            choose(key);
            chosen(key);
          };
          buttons.set(key, button);
        }
        node.replaceChildren(...buttons.values());
      }
      choose(name);
    },
  };
}

/**
 * @param {any} component
 * @returns {() => void}
 */
export default function mapWall(component) {
  return liveView(instances, component, createWall);
}
