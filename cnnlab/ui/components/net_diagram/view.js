import { unpack } from "../shared/bytes.js";
import { clamp } from "../shared/numbers.js";
import { element, icon, keepKey, liveView, oncePerFrame, themeOf } from "../shared/stage.js";
import { BADGE, SIDE, badgeOf, boxOf, fit, frameBadgeOf, partAt, placePanel, shareOf, stripScale, toPage } from "./looking.js";
import { groupsOf, layout, openAtFirst, shapeText, titleOf } from "./math.js";
import { BARS, STRIP, inksOf, paint } from "./painting.js";

const instances = new WeakMap();

// Open groups by net: they outlive the view, so that coming back to a page shows what was left.
const openByNet = new Map();

const LEAST = 0.45;
const MOST_AT_FIRST = 1.6;
const MOST = 4;
const TOP = 12;
const WORDS = 36;
const WORDS_IN_ROWS = 66;
const CROWDED = 0.9;
const TAP_SLACK = 5;
const ICONS = { fit: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10", plus: "M8 3.5v9M3.5 8h9", minus: "M3.5 8h9" };

function createDiagram(root) {
  const legend = element("div", { class: "cl-families", "data-testid": "net-legend" });
  const button = (name, words, content) => {
    const made = element("button", { type: "button", class: "cl-button", title: words, "aria-label": words, "data-testid": `net-${name}` });
    made.append(content);
    return made;
  };
  const closeAll = element("button", { type: "button", class: "cl-button cl-wordy", text: "Collapse all", "data-testid": "net-collapse" });
  const openAll = element("button", { type: "button", class: "cl-button cl-wordy", text: "Expand all", "data-testid": "net-expand" });
  const smaller = button("smaller", "Zoom out (−)", icon(ICONS.minus));
  const larger = button("larger", "Zoom in (+)", icon(ICONS.plus));
  const all = button("fit", "Show the whole net (0)", icon(ICONS.fit));
  const tools = element("div", { class: "cl-tools" }, [closeAll, openAll, smaller, larger, all]);
  const canvas = element("canvas", { "aria-hidden": "true" });
  const stage = element(
    "div",
    { class: "cl-stage", tabindex: "0", role: "application", "aria-roledescription": "diagram of a net", "data-testid": "net-stage" },
    [canvas],
  );
  const panel = element("div", { class: "cl-panel", "aria-hidden": "true", "data-testid": "net-panel" });
  const area = element("div", { class: "cl-area" }, [stage, panel]);
  const heard = element("div", { class: "cl-heard", "aria-live": "polite", "data-testid": "net-heard" });
  root.append(element("div", { class: "cl-head" }, [legend, tools]), area, heard);
  panel.hidden = true;

  let header = null;
  let thumbnail = null;
  let byIndex = new Map();
  let groups = [];
  let open = new Set();
  let drawn = { units: [], edges: [], frames: [], extent: { left: 0, right: 1, top: 0, bottom: 1 } };
  // Unit of each node, by the node's index.
  let unitOf = new Map();
  let eye = { scale: 1, x: 0, y: 0 };
  let fitted = true;
  let box = { width: 0, height: 0 };
  let theme = themeOf(root);
  let ink = null;
  let cursor = null;
  let pick = null;
  let picks = 0;
  let pressed = null;
  let told = "";
  let setState = () => {};
  let speakLater = 0;
  let gone = false;
  const pointers = new Map();
  const drawing = oncePerFrame(draw);

  // ---- from data to places

  function arrange() {
    drawn = layout(header.nodes, header.inputShape, [...open], groups);
    unitOf = new Map(drawn.units.flatMap((unit) => unit.members.map((member) => [header.nodes[member].index, unit.id])));
    if (cursor && !drawn.units[cursor.unit]?.parts[cursor.part] && drawn.units[cursor.unit]?.type !== "group") cursor = null;
    stage.dataset.units = String(drawn.units.length);
    const closable = groups.length > 0;
    closeAll.hidden = openAll.hidden = !closable;
    closeAll.disabled = groups.every((group) => !open.has(group.id));
    openAll.disabled = groups.every((group) => open.has(group.id));
  }

  const across = (width) => (width - 2 * SIDE) / (drawn.extent.right - drawn.extent.left);
  const tooWide = (width) => across(width) < LEAST;
  // Where words are wider than their blocks are apart, they stand in rows.
  const wordsNow = () => (across(area.clientWidth) < CROWDED && !tooWide(area.clientWidth) ? WORDS_IN_ROWS : WORDS);
  const margins = (strip = isWide()) => ({ top: TOP, bottom: wordsNow() + (header.measure ? BARS : 0) + (strip ? STRIP : 0), side: SIDE });
  const whole = () => fit(box, drawn.extent, margins(tooWide(box.width)), LEAST, MOST_AT_FIRST);

  /** As high as the whole net needs at the width there is. */
  function reserve(mayShrink) {
    const width = area.clientWidth;
    if (!width || !header) return;
    const { extent } = drawn;
    const scale = tooWide(width) ? 1 : Math.min(across(width), MOST_AT_FIRST);
    const { top, bottom } = margins(tooWide(width));
    const wanted = clamp(Math.ceil(scale * (extent.bottom - extent.top) + top + bottom), 200, header.maxHeight);
    const height = mayShrink ? wanted : Math.max(wanted, box.height);
    stage.style.height = `${height}px`;
    box = { width, height };
  }

  function showAll() {
    eye = whole();
    fitted = true;
    drawing.ask();
  }

  function look(next) {
    const { extent } = drawn;
    const { top, bottom } = margins();
    const keep = (value, low, high) => clamp(value, Math.min(low, high), Math.max(low, high));
    eye = {
      scale: next.scale,
      x: keep(next.x, SIDE - next.scale * extent.left, box.width - SIDE - next.scale * extent.right),
      y: keep(next.y, top - next.scale * extent.top, box.height - bottom - next.scale * extent.bottom),
    };
    fitted = false;
    drawing.ask();
  }

  function zoom(factor, x = box.width / 2, y = box.height / 2) {
    const smallest = Math.min(fit(box, drawn.extent, margins(), 0, MOST_AT_FIRST).scale, LEAST);
    const scale = clamp(eye.scale * factor, smallest, MOST);
    const ratio = scale / eye.scale;
    look({ scale, x: x - (x - eye.x) * ratio, y: y - (y - eye.y) * ratio });
  }

  const isWide = () => eye.scale * (drawn.extent.right - drawn.extent.left) > box.width - 2 * SIDE + 1;

  function bringIntoView(unit) {
    const { left, right, top, bottom } = boxOf(eye, unit);
    const room = { left: SIDE + 20, right: box.width - SIDE - 20, top: TOP, bottom: box.height - margins().bottom };
    let { x, y } = eye;
    if (left < room.left) x += room.left - left;
    else if (right > room.right) x -= right - room.right;
    if (top < room.top) y += room.top - top;
    else if (bottom > room.bottom) y -= bottom - room.bottom;
    if (x !== eye.x || y !== eye.y) look({ scale: eye.scale, x, y });
  }

  // ---- groups

  function toggle(id) {
    const place = () => {
      const unit = drawn.units.find((one) => one.group === id) ?? drawn.units.find((one) => one.within.includes(id));
      return unit ? toPage(eye, unit.x, 0)[0] : 0;
    };
    const before = place();
    if (open.has(id)) open.delete(id);
    else open.add(id);
    rearrange(() => look({ ...eye, x: eye.x + before - place() }));
  }

  function toggleAll(ids) {
    open.clear();
    for (const id of ids) open.add(id);
    rearrange(showAll);
  }

  function rearrange(otherwise) {
    cursor = null;
    const wasFitted = fitted;
    arrange();
    reserve(true);
    if (wasFitted && !tooWide(box.width)) showAll();
    else otherwise();
    tell();
  }

  function draw() {
    if (gone || !header || !box.width) return;
    const { nodes, measure, measured } = header;
    const strip = isWide();
    const wordsEnd = box.height - margins(strip).bottom + wordsNow();
    const picked = targetOf(pick);
    paint(canvas, { ...drawn, nodes, measure, measured, thumbnail, eye, box, ink, face: theme.font, cursor, picked, wordsEnd, strip });
    stage.dataset.scale = eye.scale.toFixed(3);
    stage.dataset.input = header.inputShape.join(" × ");
  }

  function slideTo(x) {
    const world = drawn.extent.left + (x - SIDE) / stripScale(box, drawn.extent);
    look({ ...eye, x: box.width / 2 - eye.scale * world });
  }

  // ---- cursor, pick, panel

  /** Where a node is drawn, be it inside a closed group. */
  function targetOf(index) {
    const id = index === null ? undefined : unitOf.get(index);
    if (id === undefined) return null;
    const place = drawn.units[id].parts.findIndex((part) => part.index === index);
    return { unit: id, part: Math.max(place, 0) };
  }

  const nodeAt = (target) => {
    const unit = drawn.units[target.unit];
    if (unit.type === "group") return header.nodes[unit.members.at(-1)];
    return byIndex.get(unit.parts[target.part].index) ?? null;
  };

  function point(next) {
    if (next?.unit === cursor?.unit && next?.part === cursor?.part) return;
    cursor = next;
    tell();
    drawing.ask();
  }

  function tell() {
    panel.hidden = !cursor;
    if (!cursor) {
      told = "";
      delete stage.dataset.at;
      return;
    }
    const unit = drawn.units[cursor.unit];
    const node = nodeAt(cursor);
    stage.dataset.at = node ? node.name : "input";
    const words = JSON.stringify([header.net, cursor, unit.members, node?.lines]);
    if (words !== told) {
      told = words;
      panel.replaceChildren(...panelOf(unit, node));
    }
    const target = boxOf(eye, unit);
    const size = { width: panel.offsetWidth, height: panel.offsetHeight };
    const spot = placePanel(box, size, target);
    panel.style.transform = `translate(${Math.round(spot.left)}px, ${Math.round(spot.top)}px)`;
    speak(unit, node);
  }

  function panelOf(unit, node) {
    const swatch = element("span", { class: "cl-swatch" });
    const family = unit.type === "group" ? null : unit.parts[cursor.part].family;
    swatch.style.background = family ? ink.families.get(family).colour : ink.line;
    const title = unit.type === "group" ? titleOf(unit) : (node?.label ?? "Input");
    const name = unit.type === "group" ? unit.group : (node?.name ?? "");
    const parts = [element("div", { class: "cl-panel-title" }, [swatch, title, element("span", { class: "cl-quiet", text: name })])];
    if (node?.error) parts.push(element("div", { class: "cl-panel-error", text: node.error }));
    const lines = unit.type === "group" ? groupLines(unit) : (node?.lines ?? [["Shape", shapeText(header.inputShape)]]);
    const grid = element("dl", { class: "cl-lines" });
    for (const [label, value] of lines) grid.append(element("dt", { text: label }), element("dd", { text: value }));
    parts.push(grid);
    if (unit.type === "group") {
      parts.push(
        element("div", { class: "cl-inside", text: insideOf(unit) }),
        element("div", { class: "cl-quiet", text: "Double-click or press Space to look inside." }),
      );
    }
    return parts;
  }

  function groupLines(unit) {
    const lines = [["Output", shapeText(unit.shape)]];
    if (header.measure) lines.push([`Share of ${header.measured}`, `${(100 * shareOf(unit, header.nodes, header.measure)).toFixed(1)} %`]);
    return lines;
  }

  function insideOf(unit) {
    const inside = unit.members.slice(0, unit.members.length / unit.times).map((member) => header.nodes[member]);
    const labels = inside.map((node) => node.label || node.kind);
    return labels.length > 12 ? `${labels.slice(0, 11).join(" → ")} → … (${labels.length})` : labels.join(" → ");
  }

  function speak(unit, node) {
    clearTimeout(speakLater);
    speakLater = setTimeout(() => {
      const title = unit.type === "group" ? `${titleOf(unit)}, closed group` : (node?.label ?? "Input");
      const picked = node && node.index === pick ? ", picked" : "";
      heard.textContent = `${title}: ${node?.error || shapeText(unit.type === "group" ? unit.shape : (node?.shape ?? header.inputShape))}${picked}`;
    }, 200);
  }

  function choose(index) {
    pick = index;
    picks += 1;
    // The count makes a second pick of the same node a new one.
    setState("pick", { index, net: header.net, count: picks });
    stage.dataset.pick = String(index);
    drawing.ask();
  }

  function leave() {
    clearTimeout(speakLater);
    heard.textContent = "";
    point(null);
  }

  // ---- hands

  const placeOf = (event) => {
    const now = stage.getBoundingClientRect();
    return [event.clientX - now.left, event.clientY - now.top];
  };
  const under = (x, y) => partAt(drawn.units, (x - eye.x) / eye.scale, (y - eye.y) / eye.scale);
  const near = ([x, y], px, py) => Math.hypot(px - x, py - y) <= BADGE + 5;

  function badgeAt(x, y) {
    const frame = drawn.frames.findLast((one) => near(frameBadgeOf(eye, one), x, y));
    if (frame) return frame.id;
    return drawn.units.find((unit) => unit.type === "group" && near(badgeOf(eye, unit), x, y))?.group ?? "";
  }

  stage.onpointerdown = (event) => {
    if (!header || event.button !== 0) return;
    const [x, y] = placeOf(event);
    pointers.set(event.pointerId, [x, y]);
    stage.setPointerCapture(event.pointerId);
    const strip = isWide() && y > box.height - STRIP;
    pressed = { x, y, from: eye, moved: false, strip, spread: 0 };
    if (strip) slideTo(x);
    else if (event.pointerType !== "mouse") point(under(x, y));
  };
  stage.onpointermove = (event) => {
    if (!header) return;
    const [x, y] = placeOf(event);
    if (pointers.has(event.pointerId)) pointers.set(event.pointerId, [x, y]);
    if (pressed && pointers.size === 2) pinch();
    else if (pressed?.strip) slideTo(x);
    else if (pressed && pointers.size === 1) {
      if (!pressed.moved && Math.hypot(x - pressed.x, y - pressed.y) > TAP_SLACK) {
        pressed.moved = true;
        point(null);
        stage.classList.add("cl-held");
      }
      if (pressed.moved) look({ ...pressed.from, x: pressed.from.x + x - pressed.x, y: pressed.from.y + y - pressed.y });
    } else if (!pressed) {
      const hit = under(x, y);
      stage.classList.toggle("cl-clickable", Boolean(hit && nodeAt(hit)) || badgeAt(x, y) !== "");
      point(hit);
    }
  };
  function pinch() {
    const [[ax, ay], [bx, by]] = pointers.values();
    const spread = Math.max(Math.hypot(ax - bx, ay - by), 1);
    if (pressed.spread) zoom(spread / pressed.spread, (ax + bx) / 2, (ay + by) / 2);
    pressed.spread = spread;
    pressed.moved = true;
    point(null);
  }
  stage.onpointerup = (event) => {
    pointers.delete(event.pointerId);
    stage.classList.remove("cl-held");
    const tapped = pressed && !pressed.moved && !pressed.strip;
    // The finger that stays would jump: its place was another one's.
    if (pressed && pointers.size === 1) {
      const [[x, y]] = pointers.values();
      pressed = { ...pressed, x, y, from: eye, spread: 0 };
      return;
    }
    pressed = null;
    if (!tapped) return;
    const [x, y] = placeOf(event);
    const group = badgeAt(x, y);
    if (group) {
      toggle(group);
      return;
    }
    const hit = under(x, y);
    const node = hit && nodeAt(hit);
    if (node) choose(node.index);
  };
  stage.onpointercancel = (event) => {
    pointers.delete(event.pointerId);
    pressed = null;
    stage.classList.remove("cl-held");
  };
  stage.onpointerleave = (event) => {
    if (event.pointerType === "mouse" && !pressed) leave();
  };
  stage.ondblclick = (event) => {
    const [x, y] = placeOf(event);
    if (badgeAt(x, y)) return;
    const hit = under(x, y);
    if (hit) {
      if (drawn.units[hit.unit].group) toggle(drawn.units[hit.unit].group);
      return;
    }
    const [wx, wy] = [(x - eye.x) / eye.scale, (y - eye.y) / eye.scale];
    const frame = drawn.frames.findLast((one) => one.left <= wx && wx <= one.right && one.top <= wy && wy <= one.bottom);
    if (frame) toggle(frame.id);
  };
  function wheel(event) {
    const [x, y] = placeOf(event);
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      zoom(Math.exp(-clamp(event.deltaY, -25, 25) * 0.01), x, y);
      return;
    }
    // Without a key the wheel scrolls the page; sideways there is nothing to scroll but the net.
    const across = event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX;
    if (!isWide() || Math.abs(across) <= Math.abs(event.shiftKey ? 0 : event.deltaY)) return;
    event.preventDefault();
    look({ ...eye, x: eye.x - across });
  }
  stage.addEventListener("wheel", wheel, { passive: false });

  stage.onfocus = () => {
    if (cursor || !header || !stage.matches(":focus-visible")) return;
    step(0);
  };
  stage.onblur = leave;

  /** All that can be visited, in the order of the calls. */
  const targets = () =>
    drawn.units.flatMap((unit) =>
      unit.type === "group" ? [{ unit: unit.id, part: 0 }] : unit.parts.map((_, place) => ({ unit: unit.id, part: place })),
    );

  function step(by, to) {
    const all = targets();
    const from = cursor ?? targetOf(pick) ?? all[0];
    const at = all.findIndex((target) => target.unit === from.unit && target.part === from.part);
    const next = all[clamp(to ?? at + by, 0, all.length - 1)];
    bringIntoView(drawn.units[next.unit]);
    point(next);
  }

  stage.onkeydown = (event) => {
    keepKey(event);
    if (!header || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowRight") step(1);
    else if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "Home") step(0, 0);
    else if (event.key === "End") step(0, Infinity);
    else if (event.key === "+" || event.key === "=") zoom(1.25);
    else if (event.key === "-" || event.key === "\u2212") zoom(0.8);
    else if (event.key === "0") showAll();
    else if (event.key === "Enter" && cursor) {
      const node = nodeAt(cursor);
      if (node) choose(node.index);
    } else if (event.key === " " && cursor) {
      const unit = drawn.units[cursor.unit];
      const group = unit.group || unit.within.at(-1);
      const first = unit.members[0];
      if (group) {
        toggle(group);
        const again = drawn.units.find((one) => one.members.includes(first));
        if (again) point({ unit: again.id, part: 0 });
      }
    } else if (event.key === "Escape") {
      leave();
      stage.blur();
    } else return;
    event.preventDefault();
    if (cursor) tell();
  };

  closeAll.onclick = () => toggleAll([]);
  openAll.onclick = () => toggleAll(groups.map((group) => group.id));
  smaller.onclick = () => zoom(0.8);
  larger.onclick = () => zoom(1.25);
  all.onclick = showAll;

  const observer = new ResizeObserver(() => {
    if (!header || area.clientWidth === box.width) return;
    reserve(true);
    if (fitted) showAll();
    else look(eye);
    tell();
  });
  observer.observe(area);

  // ---- data

  function readThumbnail(body) {
    const [height, width] = header.thumbnail;
    if (!height || body.length !== 3 * height * width) return null;
    const rgba = new Uint8ClampedArray(4 * height * width).fill(255);
    for (let at = 0; at < height * width; at += 1) rgba.set(body.subarray(3 * at, 3 * at + 3), 4 * at);
    const made = element("canvas", { width, height });
    made.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
    return made;
  }

  function showLegend() {
    const occurring = new Set(header.nodes.map((node) => node.family));
    legend.replaceChildren(
      ...header.families
        .filter(({ id }) => occurring.has(id))
        .map(({ label, colour }) => {
          const swatch = element("span", { class: "cl-swatch" });
          swatch.style.background = colour;
          return element("span", { class: "cl-family" }, [swatch, label]);
        }),
    );
  }

  return {
    update(component) {
      const message = unpack(component.data);
      const before = header;
      header = message.header;
      setState = component.setStateValue;
      theme = themeOf(root);
      const warning = getComputedStyle(root).getPropertyValue("--st-red-color").trim();
      ink = inksOf(canvas.getContext("2d"), theme, header.families, warning);
      thumbnail = readThumbnail(message.body);
      byIndex = new Map(header.nodes.map((node) => [node.index, node]));
      groups = groupsOf(header.nodes);
      const another = before?.net !== header.net;
      if (!openByNet.has(header.net)) openByNet.set(header.net, new Set(openAtFirst(header.nodes, groups)));
      open = openByNet.get(header.net);
      if (another) {
        cursor = null;
        pick = null;
      }
      if (!before) picks = header.heard;
      // A pick that Python has not heard of yet is newer than what it says.
      if (another || header.heard === picks) pick = header.pick;
      if (pick === null) delete stage.dataset.pick;
      else stage.dataset.pick = String(pick);
      stage.setAttribute(
        "aria-label",
        `${header.alt}. Left and right arrow go from layer to layer, Enter picks, Space opens and closes a group, plus, minus and 0 zoom, Escape leaves.`,
      );
      showLegend();
      arrange();
      reserve(another);
      if (another || fitted) showAll();
      else look(eye);
      tell();
      // Drawn at once: waiting for the next frame would show old blocks under a new legend.
      drawing.stop();
      draw();
    },
    destroy() {
      gone = true;
      clearTimeout(speakLater);
      observer.disconnect();
      drawing.stop();
    },
  };
}

/**
 * @param {any} component
 * @returns {() => void}
 */
export default function netDiagram(component) {
  return liveView(instances, component, createDiagram);
}
