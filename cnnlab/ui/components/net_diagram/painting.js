import { clamp } from "../shared/numbers.js";
import { sharpContext } from "../shared/stage.js";
import { BADGE, SIDE, badgeOf, badgeScale, boxOf, frameBadgeOf, placeWords, shareOf, stripScale, toPage } from "./looking.js";
import { SIGN, halfHeight, shapeText, titleOf } from "./math.js";

/** Height of the bars with their words. */
export const BARS = 66;
/** Height of the whole net in small, where only a part of it is in view. */
export const STRIP = 22;
const BAR_HEIGHT = 34;

/** @type {(colour: string, other: string, share: number) => string} Of "#rrggbb" colours; share 1 is the other. */
function mix(colour, other, share) {
  const read = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const [from, to] = [read(colour), read(other)];
  return `#${from.map((value, at) => Math.round(value + share * (to[at] - value)).toString(16).padStart(2, "0")).join("")}`;
}

/**
 * @param {CanvasRenderingContext2D} probe Knows how to read any colour of a theme.
 * @param {ReturnType<typeof import("../shared/stage.js").themeOf>} theme
 * @param {{id: string, colour: string}[]} families
 * @param {string} warning Colour of what went wrong.
 */
export function inksOf(probe, theme, families, warning) {
  const hex = (colour) => {
    probe.fillStyle = "#888888";
    probe.fillStyle = colour;
    return /^#[0-9a-f]{6}$/.test(probe.fillStyle) ? probe.fillStyle : "#888888";
  };
  const text = hex(theme.text);
  const background = hex(theme.background);
  const dark = parseInt(background.slice(1, 3), 16) < 128;
  const shades = (colour) => ({
    colour,
    front: dark ? mix(colour, "#000000", 0.12) : colour,
    top: mix(colour, "#ffffff", dark ? 0.22 : 0.5),
    side: dark ? mix(colour, background, 0.5) : mix(colour, "#ffffff", 0.68),
    line: dark ? mix(colour, "#000000", 0.55) : mix(colour, "#000000", 0.38),
  });
  const tones = new Map(families.map(({ id, colour }) => [id, shades(colour)]));
  const paper = mix(background, text, 0.3);
  tones.set("input", shades(paper));
  return {
    families: tones,
    dark,
    text,
    background,
    primary: hex(theme.primary),
    wrong: hex(warning || "#d33030"),
    quiet: mix(text, background, 0.28),
    line: mix(text, background, 0.42),
    faint: mix(text, background, 0.84),
    wash: mix(background, text, dark ? 0.05 : 0.035),
    skip: dark ? mix(tones.get("merge").colour, "#ffffff", 0.1) : mix(tones.get("merge").colour, "#000000", 0.12),
  };
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {object} scene What `layout` gives, and how it is looked at.
 * @param {import("./math.js").Unit[]} scene.units
 * @param {import("./math.js").Edge[]} scene.edges
 * @param {import("./math.js").Frame[]} scene.frames
 * @param {import("./looking.js").Box} scene.extent
 * @param {any[]} scene.nodes
 * @param {string | null} scene.measure Whose shares are drawn as bars.
 * @param {string} scene.measured What that is called.
 * @param {HTMLCanvasElement | null} scene.thumbnail Shown on the input.
 * @param {import("./looking.js").Eye} scene.eye
 * @param {{width: number, height: number}} scene.box
 * @param {ReturnType<typeof inksOf>} scene.ink
 * @param {string} scene.face Font family.
 * @param {{unit: number, part: number} | null} scene.cursor
 * @param {{unit: number, part: number} | null} scene.picked
 * @param {number} scene.wordsEnd No words below.
 * @param {boolean} scene.strip Whether the whole net is shown in small.
 */
export function paint(canvas, scene) {
  const { units, edges, frames, extent, nodes, measure, measured, thumbnail, eye, box, ink, face, cursor, picked, wordsEnd, strip } = scene;
  const context = sharpContext(canvas, box.width, box.height);
  const font = (size, weight = 400) => `${weight} ${size}px ${face}`;

  context.lineJoin = "round";
  context.lineCap = "round";
  context.save();
  context.beginPath();
  context.rect(0, 0, box.width, wordsEnd + 2);
  context.clip();
  for (const frame of frames) drawFrame(frame);
  const seen = units.filter(onPage);
  for (const unit of seen) drawUnit(unit);
  for (const edge of edges) drawEdge(edge);
  for (const unit of seen) drawSigns(unit);
  drawMarks();
  drawWords(seen);
  context.restore();
  if (measure) drawBars();
  if (strip) drawStrip();

  function onPage(unit) {
    const { left, right } = boxOf(eye, unit);
    return right > -40 && left < box.width + 40;
  }

  function trace(points, closed = true) {
    context.beginPath();
    points.forEach(([x, y], at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)));
    if (closed) context.closePath();
  }

  /** Corners of a cuboid's three visible faces, from its left edge. */
  function facesOf(unit, x, thick) {
    const { high, dx, dy } = unit.solid;
    const floor = unit.y + dy / 2 + high / 2;
    const at = (px, py) => toPage(eye, px, py);
    return {
      front: [at(x, floor - high), at(x + thick, floor - high), at(x + thick, floor), at(x, floor)],
      top: [at(x, floor - high), at(x + dx, floor - high - dy), at(x + thick + dx, floor - high - dy), at(x + thick, floor - high)],
      side: [at(x + thick, floor - high), at(x + thick + dx, floor - high - dy), at(x + thick + dx, floor - dy), at(x + thick, floor)],
      outline: [
        at(x, floor),
        at(x, floor - high),
        at(x + dx, floor - high - dy),
        at(x + thick + dx, floor - high - dy),
        at(x + thick + dx, floor - dy),
        at(x + thick, floor),
      ],
    };
  }

  function drawSolid(unit, x, thick, tones) {
    const faces = facesOf(unit, x, thick);
    context.lineWidth = 1;
    context.strokeStyle = tones.line;
    for (const name of ["side", "top", "front"]) {
      trace(faces[name]);
      context.fillStyle = tones[name];
      context.fill();
      context.stroke();
    }
    return faces;
  }

  function drawUnit(unit) {
    if (unit.type === "group") {
      drawGroup(unit);
      return;
    }
    unit.parts.forEach((part, place) => {
      if (unit.type === "sign" && place === 0) return;
      if (part.error) drawWrong(unit, part);
      else {
        const tones = ink.families.get(part.family);
        // What is seen face on has the colour of the block, whatever lies on it.
        const { side } = ink.families.get(unit.parts[unit.type === "sign" ? 1 : 0].family);
        const faces = drawSolid(unit, part.x, part.thick, { ...tones, side });
        if (place === 0 && unit.solid.cells > 1) drawCells(unit, faces);
        if (unit.type === "input" && thumbnail) drawThumbnail(faces.side);
      }
    });
  }

  function drawCells(unit, faces) {
    const [[left, top], [right], , [, floor]] = faces.front;
    context.strokeStyle = ink.families.get(unit.parts[0].family).line;
    context.lineWidth = 0.75;
    context.beginPath();
    for (let cell = 1; cell < unit.solid.cells; cell += 1) {
      const y = top + ((floor - top) * cell) / unit.solid.cells;
      context.moveTo(left, y);
      context.lineTo(right, y);
    }
    context.stroke();
  }

  function drawThumbnail([[x, y], [farX, farY], , [, floor]]) {
    const { height, width } = thumbnail;
    context.save();
    context.transform((farX - x) / width, (farY - y) / width, 0, (floor - y) / height, x, y);
    context.imageSmoothingEnabled = width > 40;
    context.drawImage(thumbnail, 0, 0);
    context.restore();
    trace([[x, y], [farX, farY], [farX, farY + floor - y], [x, floor]]);
    context.strokeStyle = ink.families.get("input").line;
    context.stroke();
  }

  function drawWrong(unit, part) {
    const faces = facesOf(unit, part.x, part.thick);
    context.save();
    trace(faces.outline);
    context.fillStyle = mix(ink.background, ink.wrong, 0.14);
    context.fill();
    context.setLineDash([4, 4]);
    context.lineWidth = 1.75;
    context.strokeStyle = ink.wrong;
    context.stroke();
    context.restore();
  }

  function drawGroup(unit) {
    const { thick } = unit.solid;
    // What follows and looks the same stands behind, as cards do.
    for (let copy = Math.min(unit.times - 1, 3); copy > 0; copy -= 1) {
      const shifted = { ...unit, y: unit.y - copy * 4 };
      const faces = facesOf(shifted, unit.x + copy * 4, thick);
      trace(faces.outline);
      context.fillStyle = mix(ink.background, ink.text, ink.dark ? 0.16 : 0.1);
      context.fill();
      context.strokeStyle = ink.line;
      context.lineWidth = 1;
      context.stroke();
    }
    let x = unit.x;
    const faces = facesOf(unit, unit.x, thick);
    for (const { family, share } of unit.stripes) {
      const tones = ink.families.get(family);
      const stripe = facesOf(unit, x, thick * share);
      for (const name of ["top", "front"]) {
        trace(stripe[name]);
        context.fillStyle = tones[name];
        context.fill();
      }
      x += thick * share;
    }
    trace(faces.side);
    context.fillStyle = ink.families.get(mainFamily(unit)).side;
    context.fill();
    context.strokeStyle = mix(ink.text, ink.background, ink.dark ? 0.5 : 0.25);
    context.lineWidth = 1;
    for (const name of ["side", "top", "front"]) {
      trace(faces[name]);
      context.stroke();
    }
  }

  function drawSigns(unit) {
    if (unit.type === "sign") {
      const radius = (SIGN / 2) * eye.scale;
      const [x, y] = toPage(eye, unit.parts[0].x + SIGN / 2, unit.y);
      const tones = ink.families.get(unit.parts[0].family);
      if (unit.parts.length > 1) {
        trace([[x, y], toPage(eye, unit.parts[1].x, unit.y)], false);
        context.strokeStyle = ink.line;
        context.lineWidth = 1.5;
        context.stroke();
      }
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.fillStyle = tones.top;
      context.fill();
      context.lineWidth = 1.5;
      context.strokeStyle = tones.line;
      context.stroke();
      context.fillStyle = "#000";
      context.font = font(clamp(17 * eye.scale, 5, 34), 600);
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(unit.symbol, x, y + 0.06 * radius);
    }
    if (unit.type === "group") drawBadge(...badgeOf(eye, unit), true);
  }

  /** Of what there is most in a closed group. */
  function mainFamily(unit) {
    const sums = new Map();
    for (const { family, share } of unit.stripes) sums.set(family, (sums.get(family) ?? 0) + share);
    return [...sums].sort((one, other) => other[1] - one[1])[0][0];
  }

  function drawBadge(x, y, closed) {
    const arm = 3.5 * badgeScale(eye);
    context.beginPath();
    context.arc(x, y, BADGE * badgeScale(eye), 0, 2 * Math.PI);
    context.fillStyle = ink.background;
    context.fill();
    context.lineWidth = 1;
    context.strokeStyle = ink.line;
    context.stroke();
    context.beginPath();
    context.moveTo(x - arm, y);
    context.lineTo(x + arm, y);
    if (closed) {
      context.moveTo(x, y - arm);
      context.lineTo(x, y + arm);
    }
    context.lineWidth = 1.5;
    context.strokeStyle = ink.text;
    context.stroke();
  }

  function drawFrame(frame) {
    const [left, top] = toPage(eye, frame.left, frame.top);
    const [right, bottom] = toPage(eye, frame.right, frame.bottom);
    if (right < 0 || left > box.width) return;
    context.beginPath();
    context.roundRect(left, top, right - left, bottom - top, 8);
    context.fillStyle = ink.wash;
    context.fill();
    context.lineWidth = 1;
    context.strokeStyle = ink.faint;
    context.stroke();
    drawBadge(...frameBadgeOf(eye, frame), false);
    const room = right - left - 30;
    context.font = font(11.5, 600);
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.fillStyle = ink.quiet;
    const words = cut(frame.label, room);
    const [x, y] = frameBadgeOf(eye, frame);
    if (words.length > 2 && eye.scale > 0.55) context.fillText(words, x + BADGE + 5, y + 0.5);
  }

  function drawEdge(edge) {
    const points = edge.points.map(([x, y]) => toPage(eye, x, y));
    const lit = cursor && (edge.from === cursor.unit || edge.to === cursor.unit);
    const colour = lit ? ink.primary : edge.type === "flow" ? ink.line : ink.skip;
    context.strokeStyle = colour;
    context.fillStyle = colour;
    context.lineWidth = edge.type !== "flow" || lit ? 1.75 : 1.4;
    context.beginPath();
    context.moveTo(...points[0]);
    for (let at = 1; at < points.length - 1; at += 1) {
      const [x, y] = points[at];
      const reach = (other) => Math.hypot(other[0] - x, other[1] - y) / 2;
      context.arcTo(x, y, ...points[at + 1], Math.min(8 * Math.max(eye.scale, 0.5), reach(points[at - 1]), reach(points[at + 1])));
    }
    const end = points[points.length - 1];
    context.lineTo(...end);
    context.stroke();
    if (edge.forks) {
      context.beginPath();
      context.arc(...points[0], 2.25, 0, 2 * Math.PI);
      context.fill();
    }
    if (edge.joins) return;
    const before = points[points.length - 2];
    const length = Math.hypot(end[0] - before[0], end[1] - before[1]);
    const size = clamp(5.5 * eye.scale, 3, 7);
    if (length < size) return;
    const [ux, uy] = [(end[0] - before[0]) / length, (end[1] - before[1]) / length];
    const [bx, by] = [end[0] - ux * size, end[1] - uy * size];
    trace([end, [bx - uy * size * 0.55, by + ux * size * 0.55], [bx + uy * size * 0.55, by - ux * size * 0.55]]);
    context.fill();
  }

  /** Of what is seen of a part: the slab on it hides its face. */
  function outlineOf(unit, place) {
    const part = unit.parts[place];
    if (!part) return facesOf(unit, unit.x, unit.solid.thick).outline;
    const { front, top, outline } = facesOf(unit, part.x, part.thick);
    return place === unit.parts.length - 1 ? outline : [front[3], front[0], top[1], top[2], top[3], front[2]];
  }

  function drawMarks() {
    const mark = (unit, place, colour, width) => {
      if (unit.type === "sign" && place === 0) {
        const [x, y] = toPage(eye, unit.parts[0].x + SIGN / 2, unit.y);
        context.beginPath();
        context.arc(x, y, (SIGN / 2) * eye.scale + 1, 0, 2 * Math.PI);
      } else {
        trace(outlineOf(unit, place));
      }
      context.lineWidth = width + 2;
      context.strokeStyle = ink.background;
      context.stroke();
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.stroke();
    };
    if (picked) mark(units[picked.unit], picked.part, ink.primary, 3);
    if (cursor) mark(units[cursor.unit], cursor.part, ink.text, 1.5);
  }

  // ---- words

  function cut(words, room) {
    if (context.measureText(words).width <= room) return words;
    let length = words.length - 1;
    while (length > 0 && context.measureText(`${words.slice(0, length)}…`).width > room) length -= 1;
    return length > 0 ? `${words.slice(0, length)}…` : "";
  }

  function drawWords(seen) {
    const [large, little] = eye.scale < 0.7 ? [11, 10] : eye.scale < 1.25 ? [12, 11] : [13, 12];
    const rankOf = (unit) => {
      if (unit.id === picked?.unit || unit.id === cursor?.unit) return 9;
      if (unit.id === 0 || unit.id === units.length - 1) return 5;
      if (unit.type === "group") return 4;
      return { convolution: 3, linear: 3, pooling: 2 }[unit.parts[0].family] ?? 1;
    };
    const shown = seen.filter((unit) => unit.type !== "sign");
    const texts = shown.map((unit) => {
      context.font = font(large, 600);
      const title = cut(titleOf(unit), 130);
      const titleWidth = context.measureText(title).width;
      context.font = font(little);
      const shape = unit.parts[0]?.error ? "" : shapeText(unit.shape);
      return { unit, title, shape, titleWidth, shapeWidth: context.measureText(shape).width };
    });
    const titles = frames.map((frame) => {
      const [x, y] = frameBadgeOf(eye, frame);
      return { left: x - BADGE, right: x + BADGE + 6.5 * frame.label.length, top: y - BADGE, bottom: y + BADGE };
    });
    const taken = [...seen.map((unit) => boxOf(eye, unit)), ...titles];
    const boxFor = ({ unit, titleWidth, shapeWidth }, lines) => {
      const { left, right, bottom } = boxOf(eye, unit);
      const middle = (left + right) / 2;
      const half = Math.max(titleWidth, lines > 1 ? shapeWidth : 0) / 2;
      const high = lines > 1 ? large + little + 5 : large + 3;
      const y = bottom + 5;
      return { left: middle - half, right: middle + half, top: y, bottom: y + high, rank: rankOf(unit), fixed: unit.above };
    };
    const both = texts.map((text) => boxFor(text, 2));
    const down = placeWords(both, taken, large + little + 6, wordsEnd);
    const placed = both
      .map(({ left, right, top, bottom }, place) => ({ left: left - 5, right: right + 5, top: top + down[place], bottom: bottom + down[place] }))
      .filter((_, place) => down[place] >= 0);
    const rest = texts.map((_, place) => place).filter((place) => down[place] < 0);
    const single = rest.map((place) => boxFor(texts[place], 1));
    const downSingle = placeWords(single, [...taken, ...placed], large + 4, wordsEnd);
    context.textAlign = "center";
    context.textBaseline = "top";
    const write = ({ unit, title, shape }, at, shift, lines) => {
      const middle = (at.left + at.right) / 2;
      if (shift > 0) {
        context.strokeStyle = ink.faint;
        context.lineWidth = 1;
        trace([[middle, at.top - 4], [middle, at.top + shift - 1]], false);
        context.stroke();
      }
      context.font = font(large, 600);
      haloed(title, middle, at.top + shift, unit.parts[0]?.error ? ink.wrong : unit.id === picked?.unit ? ink.primary : ink.text);
      if (lines < 2) return;
      context.font = font(little);
      haloed(shape, middle, at.top + shift + large + 3, ink.quiet);
    };
    texts.forEach((text, place) => {
      if (down[place] >= 0) write(text, both[place], down[place], 2);
    });
    rest.forEach((place, at) => {
      if (downSingle[at] >= 0) write(texts[place], single[at], downSingle[at], 1);
    });
    drawEnd();
  }

  /** Lines behind the words stop short of them. */
  function haloed(words, x, y, colour) {
    context.lineWidth = 4;
    context.strokeStyle = ink.background;
    context.strokeText(words, x, y);
    context.fillStyle = colour;
    context.fillText(words, x, y);
  }

  function drawEnd() {
    const last = units[units.length - 1];
    const [x, y] = toPage(eye, last.x + last.width, last.y);
    const message = last.members.length ? nodes[last.members.at(-1)].error : "";
    context.textAlign = "left";
    if (!message) {
      if (eye.scale < 0.7) return;
      context.font = font(11);
      context.fillStyle = ink.quiet;
      context.textBaseline = "bottom";
      context.fillText("output", x + 6 * eye.scale, y - 5);
      return;
    }
    context.font = font(12);
    context.fillStyle = ink.wrong;
    context.textBaseline = "middle";
    const lines = wrapped(message, Math.max(box.width - x - 24, 120), 6);
    lines.forEach((line, place) => context.fillText(line, x + 10, y + (place - (lines.length - 1) / 2) * 16));
  }

  function wrapped(words, room, most) {
    const lines = [];
    let line = "";
    for (const word of words.replaceAll(" × ", "\u00a0×\u00a0").split(/[ \n]+/)) {
      const longer = line ? `${line} ${word}` : word;
      if (line && context.measureText(longer).width > Math.min(room, 200)) {
        lines.push(line);
        line = word;
      } else line = longer;
    }
    lines.push(line);
    if (lines.length > most) lines.splice(most - 1, lines.length, `${lines[most - 1]} …`);
    return lines.map((one) => cut(one, Math.min(room, 220)));
  }

  // ---- bars and the strip

  function drawBars() {
    const shares = units.map((unit) => shareOf(unit, nodes, measure));
    const most = Math.max(...shares);
    const floor = box.height - (strip ? STRIP : 0) - 20;
    context.strokeStyle = ink.faint;
    context.lineWidth = 1;
    trace([[0, floor + 0.5], [box.width, floor + 0.5]], false);
    context.stroke();
    context.font = font(11);
    context.textBaseline = "top";
    context.textAlign = "left";
    context.fillStyle = ink.quiet;
    context.fillText(`Share of the net’s ${measured}`, SIDE, floor + 4);
    if (!(most > 0)) return;
    let free = -Infinity;
    let freeWords = -Infinity;
    context.textAlign = "center";
    context.textBaseline = "bottom";
    for (const unit of [...units].sort((one, other) => one.x - other.x)) {
      const share = shares[unit.id];
      if (!(share > 0)) continue;
      const { left, right } = boxOf(eye, unit);
      const wide = clamp((right - left) * 0.6, 3, 22);
      const x = Math.max((left + right - wide) / 2, free + 1);
      if (x > box.width || x + wide < 0) continue;
      const high = Math.max((BAR_HEIGHT * share) / most, 1.5);
      const family = unit.type === "group" ? heaviest(unit) : unit.parts[0].family;
      context.fillStyle = ink.families.get(family).front;
      context.fillRect(x, floor - high, wide, high);
      free = x + wide;
      const words = share >= 0.0995 ? `${Math.round(share * 100)} %` : share >= 0.001 ? `${(share * 100).toFixed(1)} %` : "";
      const half = context.measureText(words).width / 2;
      if (!words || x + wide / 2 - half < freeWords + 6) continue;
      context.fillStyle = ink.quiet;
      context.fillText(words, x + wide / 2, floor - high - 2);
      freeWords = x + wide / 2 + half;
    }
  }

  function heaviest(unit) {
    const sums = new Map();
    for (const member of unit.members) {
      const { family, shares } = nodes[member];
      sums.set(family, (sums.get(family) ?? 0) + (shares[measure] ?? 0));
    }
    return [...sums].sort((one, other) => other[1] - one[1])[0][0];
  }

  function drawStrip() {
    const ratio = stripScale(box, extent);
    const top = box.height - STRIP + 4;
    const high = STRIP - 8;
    const middle = top + high / 2;
    context.fillStyle = ink.wash;
    context.beginPath();
    context.roundRect(SIDE, top, box.width - 2 * SIDE, high, 4);
    context.fill();
    const tallest = Math.max(...units.map(halfHeight));
    for (const unit of units) {
      if (unit.above) continue;
      const half = Math.max((halfHeight(unit) / tallest) * (high / 2 - 1), 1.5);
      const family = unit.type === "group" ? unit.stripes[0].family : unit.parts[0].family;
      context.fillStyle = ink.families.get(family).colour;
      context.fillRect(SIDE + ratio * (unit.x - extent.left), middle - half, Math.max(ratio * unit.width, 1.5), 2 * half);
    }
    const left = SIDE + ratio * (-eye.x / eye.scale - extent.left);
    const wide = (ratio * box.width) / eye.scale;
    const from = clamp(left, SIDE, box.width - SIDE - 12);
    context.beginPath();
    context.roundRect(from, top, Math.min(left + wide, box.width - SIDE) - from, high, 4);
    context.fillStyle = `${ink.primary}22`;
    context.fill();
    context.strokeStyle = ink.primary;
    context.lineWidth = 1.25;
    context.stroke();
  }
}
