import { groupThousands } from "../shared/numbers.js";

// Where everything in the drawing of a net goes. World coordinates are CSS pixels at scale 1: x to the right along
// the flow, y down, 0 on the main line. Blocks are cuboids seen obliquely: thickness (channels) along the flow, rows
// upwards, columns receding to the upper right.

/**
 * @typedef {object} NetNode
 * @property {number} index
 * @property {string} label
 * @property {string} kind
 * @property {string} family
 * @property {string} symbol "+" or "×" for what is drawn as a sign in a circle, "" for a block.
 * @property {number[]} shape Without the batch.
 * @property {number[]} inputs Indices of nodes; −1 is the input of the net.
 * @property {string[]} scope Names of the containers around it, outermost first.
 * @property {string[]} kinds Their classes.
 * @property {Record<string, number>} shares
 * @property {string} [error]
 *
 * @typedef {{thick: number, high: number, dx: number, dy: number, cells: number}} Solid
 *   A cuboid on the page: front face `thick` × `high`, receding by (`dx`, −`dy`). `cells` is the length of a vector
 *   short enough for its numbers to be seen one by one, else 0.
 *
 * @typedef {{index: number, family: string, x: number, thick: number, error: boolean}} Part
 *   One node of a unit: the block itself or a slab on it. `x` is its left edge.
 *
 * @typedef {object} Unit What is drawn in one piece: a block with its slabs, a sign in a circle, a closed group.
 * @property {number} id
 * @property {"input" | "block" | "sign" | "group"} type
 * @property {number[]} members Positions in the list of nodes.
 * @property {Part[]} parts
 * @property {Solid} solid
 * @property {string} label
 * @property {string} symbol
 * @property {number[]} shape
 * @property {string[]} within Groups around it that are open, outermost first.
 * @property {string} group Of a closed group its id, else "".
 * @property {number} times How many equal closed groups follow one another here.
 * @property {boolean} skips A closed group that adds its input to its output.
 * @property {{family: string, share: number}[]} stripes What is in a closed group.
 * @property {number[]} from Units it reads.
 * @property {number} x Left edge.
 * @property {number} width With what recedes.
 * @property {number} y Of its centre.
 * @property {boolean} above On a branch over the main line.
 * @property {number} slot Left end of the room along the flow that it has for itself and its label.
 * @property {number} room That room.
 *
 * @typedef {{id: string, kind: string, path: string, first: number, last: number, parent: string, shapes: string}} Group
 *   A container that can be closed: nodes `first` to `last` of the list.
 *
 * @typedef {{from: number, to: number, type: "flow" | "branch" | "skip", points: [number, number][], forks: boolean, joins: boolean}} Edge
 *   One that forks starts on a line drawn by another edge, one that joins ends on such a line.
 * @typedef {{id: string, label: string, left: number, right: number, top: number, bottom: number, depth: number}} Frame
 */

const GAP = 28;
const FORK = 8;
const SLAB = 4.5;
const SLAB_GAP = 1.5;
/** Side of a sign in its circle. */
export const SIGN = 20;
const LANE_GAP = 12;
const BUS_GAP = 11;
const LABEL_ROOM = 34;
const FRAME_LEFT = 26;
const FRAME_RIGHT = 10;
const FRAME_TITLE = 28;
const BADGE_ROOM = 20;
const OUTPUT_LINE = 34;
const ERROR_ROOM = 230;
const SLABS = new Set(["activation", "normalisation", "dropout"]);
const PLAIN_CONTAINERS = new Set(["", "Sequential", "ModuleList", "ModuleDict"]);
const MANY_NODES = 40;
const CELLS_UP_TO = 16;
const MOST_STRIPES = 12;
const LONGEST_LABEL = 18;

/** @type {(size: unknown) => number} A size that can be drawn, whatever came. */
const whole = (size) => (typeof size === "number" && size >= 1 ? Math.min(size, 1e9) : 1);

/**
 * @param {number[]} shape Without the batch.
 * @returns {{channels: number, rows: number, cols: number, rank: number}} Leading axes count as channels.
 */
export function axesOf(shape) {
  const sizes = shape.map(whole);
  const [cols, rows] = [sizes.at(-1) ?? 1, sizes.at(-2) ?? 1];
  const channels = sizes.slice(0, -2).reduce((product, size) => Math.min(product * size, 1e9), 1);
  return { channels, rows, cols, rank: sizes.length };
}

/**
 * Maps follow the square root of their sides, relative to the largest map of the net, which itself grows slowly:
 * 7 of 224 px is still a block, and a larger input is still a larger picture. Vectors follow the logarithm, and so do
 * maps of one pixel, which are vectors too.
 *
 * @param {number[]} shape
 * @param {number} largest Longest side of any map in the net.
 * @returns {Solid}
 */
export function solidOf(shape, largest) {
  const { channels, rows, cols, rank } = axesOf(shape);
  const tall = (length) => Math.min(14 + 9.5 * Math.log2(length), 170);
  const thick = (count) => Math.min(3 * count ** 0.37, 64);
  if (rank < 2 || (rank > 2 && rows * cols === 1)) {
    const length = rank < 2 ? cols : channels;
    return { thick: 9, high: tall(length), dx: 5, dy: 4, cells: length <= CELLS_UP_TO ? length : 0 };
  }
  // Tokens: as many as a vector is long, each as deep as a block is thick.
  if (rank === 2) return { thick: thick(cols), high: tall(rows), dx: 5, dy: 4, cells: 0 };
  const longest = 60 + 12 * Math.log2(Math.max(largest, 1));
  const side = (length) => Math.max(10, longest * Math.sqrt(length / Math.max(largest, 1)));
  return { thick: thick(channels), high: side(rows), dx: 0.3 * side(cols), dy: 0.2 * side(cols), cells: 0 };
}

/**
 * @param {number[]} shape
 * @returns {string} "6 × 28 × 28".
 */
export function shapeText(shape) {
  return shape.length ? shape.map((size) => groupThousands(String(size))).join(" × ") : "1 number";
}

/**
 * Containers worth closing: those of a class that occurs more than once, with at least two blocks inside, and their
 * neighbours. Where a net has none, repeated plain containers count whose layers are the same.
 *
 * @param {NetNode[]} nodes
 * @returns {Group[]} Outer before inner.
 */
export function groupsOf(nodes) {
  /** @type {(Group & {plain: boolean, layers: string})[]} */
  const runs = [];
  const deepest = nodes.reduce((most, node) => Math.max(most, node.scope.length), 0);
  const seen = new Map();
  for (let depth = 1; depth <= deepest; depth += 1) {
    const paths = nodes.map((node) => (node.scope.length >= depth ? node.scope.slice(0, depth).join(".") : ""));
    for (let first = 0; first < nodes.length; ) {
      const path = paths[first];
      let last = first;
      while (path && last + 1 < nodes.length && paths[last + 1] === path) last += 1;
      const run = nodes.slice(first, last + 1);
      if (path && run.filter((node) => !isSlab(node)).length > 1) {
        // A container that is called again is another group.
        const call = seen.get(path) ?? 0;
        seen.set(path, call + 1);
        const kind = nodes[first].kinds[depth - 1] ?? "";
        const id = call ? `${path}#${call}` : path;
        const shapes = run.map((node) => `${node.label} ${node.shape}`).join(" ");
        const layers = run.map((node) => node.kind).join(" ");
        runs.push({ id, kind, path, first, last, parent: "", shapes, layers, plain: PLAIN_CONTAINERS.has(kind) });
      }
      first = last + 1;
    }
  }
  const repeated = (some, look) => some.filter((run) => some.filter((other) => look(other) === look(run)).length > 1);
  const outside = (run) => run.path.split(".").slice(0, -1).join(".");
  const named = runs.filter((run) => !run.plain);
  const places = new Set(repeated(named, (run) => run.kind).map(outside));
  // What stands beside repeated blocks is one, too: the reductions between Inception's modules.
  const chosen = places.size ? named.filter((run) => places.has(outside(run))) : repeated(runs.filter((run) => run.plain), (run) => run.layers);
  return chosen.map(({ plain, layers, ...group }) => ({ ...group, parent: smallestAround(chosen, group)?.id ?? "" }));
}

/** @type {(group: Group) => string} */
const groupName = (group) => group.kind.replace(/^_+/, "") || group.path;

/** @type {(groups: Group[], group: Group) => Group | undefined} */
const smallestAround = (groups, group) =>
  groups
    .filter((other) => other.id !== group.id && other.first <= group.first && other.last >= group.last && group.path.startsWith(`${other.path}.`))
    .at(-1);

/**
 * @param {NetNode[]} nodes
 * @param {Group[]} groups
 * @returns {string[]} Ids of the groups open at first: all in a small net, and small ones inside others.
 */
export function openAtFirst(nodes, groups) {
  const sizes = new Map(groups.map((group) => [group.id, group.last - group.first + 1]));
  return groups
    .filter((group) => (group.parent ? sizes.get(group.parent) : nodes.length) <= MANY_NODES)
    .map((group) => group.id);
}

/** Cheap, one number from one number: drawn as a slab on the block before. @type {(node: NetNode) => boolean} */
const isSlab = (node) => !node.error && (SLABS.has(node.family) || (node.symbol !== "" && new Set(node.inputs).size < 2));

/**
 * @param {NetNode[]} nodes In the order of their calls.
 * @param {number[]} inputShape
 * @param {string[]} open Ids of the groups that are open.
 * @param {Group[]} [groups] What `groupsOf` gives, where it is known.
 * @returns {{units: Unit[], edges: Edge[], frames: Frame[], extent: {left: number, right: number, top: number, bottom: number}}}
 */
export function layout(nodes, inputShape, open, groups = groupsOf(nodes)) {
  const units = unitsOf(nodes, inputShape, groups, new Set(open));
  for (const unit of units) measure(unit);
  const chains = chainsOf(units, nodes);
  placeAlong(units, chains);
  const spans = spansOf(units);
  const { top, edges, frames } = stack(units, chains, groups, spans);
  const last = units[units.length - 1];
  for (const unit of units) if (unit.skips) edges.push(loopOf(unit));
  const stops = last.parts.some((one) => one.error);
  const end = last.x + last.width + (stops ? ERROR_ROOM : OUTPUT_LINE);
  if (!stops) edges.push({ from: last.id, to: -1, type: "flow", points: [[outOf(last), last.y], [end, last.y]], forks: false, joins: false });
  return {
    units,
    edges,
    frames,
    extent: {
      left: Math.min(...units.map((unit) => unit.slot), ...frames.map((frame) => frame.left)),
      right: Math.max(...units.map((unit) => unit.x + unit.width), end),
      top: -top,
      bottom: Math.max(...units.map(halfHeight), ...frames.map((frame) => frame.bottom)),
    },
  };
}

// ---- what is drawn in one piece

/** @type {(nodes: NetNode[], inputShape: number[], groups: Group[], open: Set<string>) => Unit[]} */
function unitsOf(nodes, inputShape, groups, open) {
  const maps = [inputShape, ...nodes.map((node) => node.shape)].filter((shape) => shape.length > 2).map(axesOf);
  const largest = maps.reduce((most, { rows, cols }) => Math.max(most, rows, cols), 1);
  const at = new Map(nodes.map((node, position) => [node.index, position]));
  // Only what came before can be read; anything else in the list is no edge.
  const reads = nodes.map((node, position) => [
    ...new Set(node.inputs.map((index) => (index === -1 ? -1 : (at.get(index) ?? NaN))).filter((source) => source < position)),
  ]);
  const readers = new Array(nodes.length).fill(0);
  for (const sources of reads) for (const source of sources) if (source >= 0) readers[source] += 1;

  const shapeOf = (source) => (source < 0 ? inputShape : nodes[source].shape);

  const around = nodes.map((_, position) => groups.filter((group) => group.first <= position && position <= group.last));
  const unitOf = new Array(nodes.length).fill(0);
  /** @type {(type: Unit["type"], members: number[], rest: Partial<Unit>) => Unit} */
  const unit = (type, members, rest) => ({
    id: 0,
    type,
    members,
    parts: [],
    solid: solidOf(rest.shape ?? [], largest),
    label: "",
    symbol: "",
    shape: [],
    within: [],
    group: "",
    times: 1,
    skips: false,
    stripes: [],
    from: [],
    x: 0,
    width: 0,
    y: 0,
    above: false,
    slot: 0,
    room: 0,
    ...rest,
  });
  const units = [unit("input", [], { label: "Input", shape: inputShape, parts: [part(-1, "input", false)] })];

  for (let position = 0; position < nodes.length; position += 1) {
    const node = nodes[position];
    const closed = around[position].find((group) => !open.has(group.id));
    const within = around[position].filter((group) => open.has(group.id)).map((group) => group.id);
    const sources = reads[position];
    const base = sources.length === 1 && sources[0] >= 0 ? units[unitOf[sources[0]]] : null;
    if (closed) {
      const members = range(closed.first, closed.last);
      const inside = members.map((member) => nodes[member]);
      for (const member of members) unitOf[member] = units.length;
      const outer = closed.parent ? within.slice(0, within.indexOf(closed.parent) + 1) : [];
      units.push(
        unit("group", members, {
          label: groupName(closed),
          shape: nodes[closed.last].shape,
          within: outer,
          group: closed.id,
          skips: addsItsInput(closed, nodes, reads),
          stripes: stripesOf(inside),
          from: [...new Set(members.flatMap((member) => reads[member]).filter((source) => source < closed.first))].map((source) =>
            source < 0 ? 0 : unitOf[source],
          ),
        }),
      );
      position = closed.last;
    } else if (
      base &&
      isSlab(node) &&
      base.type !== "group" &&
      readers[sources[0]] === 1 &&
      base.members.at(-1) === sources[0] &&
      base.within.join() === within.join() &&
      String(node.shape) === String(base.shape)
    ) {
      base.members.push(position);
      base.parts.push(part(node.index, node.family, false));
      unitOf[position] = unitOf[sources[0]];
    } else {
      const sign = node.symbol !== "" && sources.length > 1 && !node.error;
      unitOf[position] = units.length;
      units.push(
        unit(sign ? "sign" : "block", [position], {
          label: node.label || node.kind,
          symbol: sign ? node.symbol : "",
          shape: node.shape,
          within,
          parts: [part(node.index, node.family, Boolean(node.error))],
          // What never came is drawn as large as what arrived.
          ...(node.error && !node.shape.length && { solid: solidOf(sources.length ? shapeOf(sources[0]) : inputShape, largest) }),
          from: sources.map((source) => (source < 0 ? 0 : unitOf[source])),
        }),
      );
      const made = units[units.length - 1];
      // On its own a slab is still a slab.
      if (isSlab(node)) made.solid = { ...made.solid, thick: axesOf(node.shape).rank > 1 ? SLAB + 1 : made.solid.thick };
    }
  }
  for (const made of units) made.from = [...new Set(made.from)];
  return stacked(units, nodes, groups);
}

/** @type {(index: number, family: string, error: boolean) => Part} */
const part = (index, family, error) => ({ index, family, x: 0, thick: 0, error });

/** @type {(first: number, last: number) => number[]} */
const range = (first, last) => Array.from({ length: last - first + 1 }, (_, step) => first + step);

/** @type {(group: Group, nodes: NetNode[], reads: number[][]) => boolean} */
function addsItsInput(group, nodes, reads) {
  // What the shortcut holds is little: its sum has a short way back to the outside, and a long one.
  const inside = (source) => source >= group.first;
  return range(group.first, group.last).some((position) => {
    if (nodes[position].symbol !== "+" || reads[position].length < 2) return false;
    return reads[position].some((source) => !inside(source) || waysOut(source, group.first, reads) <= 2);
  });
}

/** @type {(position: number, first: number, reads: number[][]) => number} Nodes on the way back to before `first`. */
function waysOut(position, first, reads) {
  let steps = 0;
  while (position >= first && steps < 4) {
    if (reads[position].length !== 1) return 4;
    [position] = reads[position];
    steps += 1;
  }
  return steps;
}

/** @type {(inside: NetNode[]) => {family: string, share: number}[]} */
function stripesOf(inside) {
  // Among many blocks slabs would be hairlines, and a dozen stands for more.
  const blocks = inside.filter((node) => !isSlab(node));
  const shown = blocks.length > 6 ? blocks.slice(0, MOST_STRIPES) : inside;
  const widths = shown.map((node) => (isSlab(node) ? 1 : 3));
  const total = widths.reduce((sum, width) => sum + width, 0);
  return shown.map((node, place) => ({ family: node.family, share: widths[place] / total }));
}

/** Equal closed groups in a row become one, drawn once. @type {(units: Unit[], nodes: NetNode[], groups: Group[]) => Unit[]} */
function stacked(units, nodes, groups) {
  const looks = new Map(groups.map((group) => [group.id, `${group.kind} ${group.shapes}`]));
  const readers = units.map(() => 0);
  for (const unit of units) for (const source of unit.from) readers[source] += 1;
  const place = new Array(units.length).fill(0);
  /** @type {Unit[]} */
  const kept = [];
  units.forEach((unit, position) => {
    const before = kept[kept.length - 1];
    const follows =
      unit.type === "group" &&
      before.type === "group" &&
      unit.from.length === 1 &&
      unit.from[0] === position - 1 &&
      readers[position - 1] === 1 &&
      before.within.join() === unit.within.join() &&
      looks.get(before.group) === looks.get(unit.group);
    if (follows) {
      before.members.push(...unit.members);
      before.times += 1;
    } else {
      unit.from = unit.from.map((source) => place[source]);
      unit.id = kept.length;
      kept.push(unit);
    }
    place[position] = kept.length - 1;
  });
  return kept;
}

/** Sizes along the flow. @type {(unit: Unit) => void} */
function measure(unit) {
  const { solid } = unit;
  const slabs = Math.max(0, unit.parts.length - 1) * (SLAB + SLAB_GAP);
  if (unit.type === "group") solid.thick = Math.min(Math.max(solid.thick * 1.2, 30), 60);
  const body = unit.type === "sign" ? SIGN : solid.thick;
  const bare = unit.type === "sign" && unit.parts.length === 1;
  unit.width = body + slabs + (bare ? 0 : solid.dx) + (unit.type === "sign" && !bare ? SLAB_GAP * 2 : 0);
  const words = unit.type === "sign" ? 0 : Math.max(6.7 * Math.min(titleOf(unit).length, LONGEST_LABEL), 5.9 * shapeText(unit.shape).length);
  unit.room = Math.max(unit.width + GAP, words + 12);
}

/** @type {(unit: Unit) => string} */
export const titleOf = (unit) => (unit.times > 1 ? `${unit.label} × ${unit.times}` : unit.label);

/** @type {(unit: Unit) => number} */
export const halfHeight = (unit) =>
  unit.type === "sign" && unit.parts.length === 1 ? SIGN / 2 : (unit.solid.high + unit.solid.dy) / 2;

/** @type {(unit: Unit) => number} */
const wordsUnder = (unit) => (unit.type === "sign" ? 0 : LABEL_ROOM);

// ---- lines of units: the main one and its branches

/** @type {(units: Unit[], nodes: NetNode[]) => number[][]} The main line first, then branches, the longest first. */
function chainsOf(units, nodes) {
  const weights = units.map((unit) => Math.max(unit.members.length, 1));
  const longest = (allowed, end, sources) => {
    const reach = new Array(units.length).fill(-1);
    const back = new Array(units.length).fill(-1);
    for (const unit of units) {
      if (!allowed(unit.id)) continue;
      reach[unit.id] = weights[unit.id];
      for (const source of sources(unit)) {
        if (!allowed(source) || reach[source] + weights[unit.id] <= reach[unit.id]) continue;
        reach[unit.id] = reach[source] + weights[unit.id];
        back[unit.id] = source;
      }
    }
    let at = end ?? reach.indexOf(Math.max(...reach));
    const chain = [];
    for (; at >= 0; at = back[at]) chain.unshift(at);
    return chain;
  };
  const taken = new Set();
  const free = (id) => !taken.has(id);
  const chains = [];
  const take = (chain) => {
    for (const id of chain) taken.add(id);
    chains.push(chain);
  };
  take(longest(free, units.length - 1, (unit) => carriers(unit, units)));
  // The input is always in the picture, and before all else.
  if (free(0)) chains[0].unshift(0);
  taken.add(0);
  while (taken.size < units.length) take(longest(free, undefined, (unit) => unit.from));
  return chains;
}

/**
 * Where a small tensor weighs or shifts a large one (a gate), the line follows the large one, however long the way to
 * the small one.
 *
 * @type {(unit: Unit, units: Unit[]) => number[]}
 */
function carriers(unit, units) {
  if (unit.type !== "sign") return unit.from;
  const equal = unit.from.filter((source) => String(units[source].shape) === String(unit.shape));
  return equal.length ? equal : unit.from;
}

/** Every unit after all that it reads; what has time waits in the middle of it. @type {(units: Unit[], chains: number[][]) => void} */
function placeAlong(units, chains) {
  const readers = readersOf(units);
  const distance = (from, to) => {
    const leaves = from.within.filter((group) => !to.within.includes(group)).length;
    const enters = to.within.filter((group) => !from.within.includes(group)).length;
    return leaves * FRAME_RIGHT + enters * FRAME_LEFT;
  };
  for (const unit of units.slice(1)) {
    // What reads nothing, such as a parameter that is added, comes after the input, too.
    const sources = unit.from.length ? unit.from : [0];
    unit.slot = Math.max(...sources.map((source) => units[source].slot + units[source].room + distance(units[source], unit)));
  }
  for (const chain of [...chains.slice(1)].reverse()) {
    const inside = new Set(chain);
    let slack = Infinity;
    for (const id of chain) {
      for (const reader of readers[id]) {
        if (inside.has(reader)) continue;
        slack = Math.min(slack, units[reader].slot - units[id].slot - units[id].room - distance(units[id], units[reader]));
      }
    }
    if (!Number.isFinite(slack) || slack <= 0) continue;
    const waits = units[chain[0]].from.length ? slack / 2 : slack;
    for (const id of chain) units[id].slot += waits;
  }
  for (const unit of units) {
    unit.x = unit.slot + (unit.room - unit.width) / 2;
    const body = unit.type === "sign" ? SIGN : unit.solid.thick;
    let left = unit.x;
    unit.parts.forEach((one, place) => {
      one.x = left;
      one.thick = place === 0 ? body : SLAB;
      left += one.thick + SLAB_GAP * (place === 0 && unit.type === "sign" ? 3 : 1);
    });
  }
}

/** The way around a closed group, drawn as if it were open. @type {(unit: Unit) => Edge} */
function loopOf(unit) {
  const [left, right] = [unit.x - FORK - 4, unit.x + unit.width + FORK];
  const y = unit.y - halfHeight(unit) - BUS_GAP / 2;
  return { from: unit.id, to: unit.id, type: "skip", points: [[left, unit.y], [left, y], [right, y], [right, unit.y]], forks: true, joins: true };
}

/** @type {(units: Unit[]) => number[][]} */
function readersOf(units) {
  const readers = units.map(() => /** @type {number[]} */ ([]));
  for (const unit of units) for (const source of unit.from) readers[source].push(unit.id);
  return readers;
}

/** Left and right end of each open group. @type {(units: Unit[]) => Map<string, {left: number, right: number}>} */
function spansOf(units) {
  const spans = new Map();
  for (const unit of units) {
    for (const [depth, group] of unit.within.entries()) {
      const span = spans.get(group) ?? { left: Infinity, right: -Infinity, depth };
      // Around the groups inside it that begin or end here, too.
      const inner = unit.within.length - 1 - depth;
      span.left = Math.min(span.left, unit.slot - FRAME_LEFT / 2 - inner * FRAME_LEFT);
      span.right = Math.max(span.right, unit.slot + unit.room - 2 + inner * FRAME_RIGHT);
      spans.set(group, span);
    }
  }
  return spans;
}

/** Where a line leaves a unit: the middle of its last face. @type {(unit: Unit) => number} */
const outOf = (unit) => unit.x + unit.width - (unit.type === "sign" && unit.parts.length === 1 ? 0 : unit.solid.dx / 2);

/** Branches on top of what they span, short ones first. */
function stack(units, chains, groups, spans) {
  const readers = readersOf(units);
  const chainOf = new Map(chains.flatMap((chain, line) => chain.map((id) => [id, line])));
  const pairs = chains.flatMap((chain) => chain.slice(1).map((id, place) => [id, chain[place]]));
  // The input stands at the head of the main line also where nothing reads it.
  const next = new Map(pairs.filter(([id, before]) => units[id].from.includes(before)));
  const firsts = new Set(chains.slice(1).map((chain) => chain[0]));
  const lasts = new Set(chains.slice(1).map((chain) => chain[chain.length - 1]));
  const forkOf = (from, to) => {
    // A line that feeds one open group only forks inside its frame.
    const entered = to.within.find((group) => !from.within.includes(group));
    const alone = entered && readers[from.id].every((id) => units[id].within.includes(entered));
    return alone ? spans.get(entered).left + FORK : from.x + from.width + FORK;
  };
  const joinOf = (to) => (to.type === "sign" ? to.x + SIGN / 2 : to.x - FORK - 4);

  // The skyline: how high each stretch is built already.
  const roofs = units
    .filter((unit) => chainOf.get(unit.id) === 0)
    .map((unit) => ({ left: unit.x, right: unit.x + unit.width, top: halfHeight(unit) + (unit.type === "group" ? BADGE_ROOM : 0) }));
  const roof = (left, right) =>
    roofs.reduce((most, one) => (one.left < right && left < one.right ? Math.max(most, one.top) : most), 0);

  /** @type {{left: number, right: number, order: number, put: () => void}[]} */
  const jobs = [];
  for (const chain of chains.slice(1)) {
    const ids = new Set(chain);
    let left = Infinity;
    let right = -Infinity;
    for (const id of chain) {
      const unit = units[id];
      left = Math.min(left, unit.x, ...unit.from.filter((source) => !ids.has(source)).map((source) => forkOf(units[source], unit)));
      right = Math.max(right, unit.x + unit.width, ...readers[id].filter((reader) => !ids.has(reader)).map((reader) => joinOf(units[reader])));
    }
    jobs.push({
      left,
      right,
      order: 0,
      put() {
        const below = Math.max(...chain.map((id) => halfHeight(units[id]) + wordsUnder(units[id])));
        const y = roof(left, right) + LANE_GAP + below;
        for (const id of chain) {
          const unit = units[id];
          unit.y = -y;
          unit.above = true;
          roofs.push({ left: unit.x, right: unit.x + unit.width, top: y + halfHeight(unit) + (unit.type === "group" ? BADGE_ROOM : 0) });
        }
        roofs.push({ left, right, top: y });
      },
    });
  }
  const heights = new Map();
  for (const from of units) {
    const over = readers[from.id].map((id) => units[id]).filter((to) => !isDirect(from, to));
    if (!over.length) continue;
    const left = Math.min(...over.map((to) => forkOf(from, to)));
    const right = Math.max(...over.map(joinOf));
    jobs.push({
      left,
      right,
      order: 1,
      put() {
        const y = roof(left, right) + BUS_GAP;
        heights.set(from.id, -y);
        roofs.push({ left, right, top: y });
      },
    });
  }
  /** @type {Frame[]} */
  const frames = [];
  for (const [id, { left, right, depth }] of spans) {
    const group = groups.find((one) => one.id === id);
    jobs.push({
      left,
      right,
      order: 2,
      put() {
        const inside = units.filter((unit) => unit.within.includes(id));
        const top = roof(left + 6, right - 6) + FRAME_TITLE;
        // A group on a branch does not reach down to the main line.
        const bottom = Math.max(...inside.map((unit) => unit.y + halfHeight(unit) + wordsUnder(unit))) + 8;
        frames.push({ id, label: groupName(group), left, right, top: -top, bottom, depth });
        roofs.push({ left, right, top: top + 4 });
      },
    });
  }
  function isDirect(from, to) {
    return next.get(to.id) === from.id || firsts.has(to.id) || lasts.has(from.id);
  }
  jobs.sort((one, other) => one.right - one.left - (other.right - other.left) || one.order - other.order);
  for (const job of jobs) job.put();

  /** @type {Edge[]} */
  const edges = [];
  const goesOn = new Set(next.values());
  for (const to of units) {
    for (const source of to.from) {
      const from = units[source];
      const start = [outOf(from), from.y];
      const fork = forkOf(from, to);
      const join = joinOf(to);
      // Where the line of the source does not go on, nothing else leads to the fork.
      const leaves = goesOn.has(source) ? [[fork, from.y]] : [start, [fork, from.y]];
      const enters = [join, to.type === "sign" ? to.y + (from.y > to.y ? 1 : -1) * (SIGN / 2) : to.y];
      const edge = { from: source, to: to.id, forks: false, joins: false };
      if (next.get(to.id) === source) {
        edges.push({ ...edge, type: "flow", points: points(start, [to.x, to.y]) });
      } else if (firsts.has(to.id)) {
        edges.push({ ...edge, type: "branch", points: points(...leaves, [fork, to.y], [to.x, to.y]), forks: true });
      } else if (lasts.has(source)) {
        edges.push({ ...edge, type: "branch", points: points(start, [join, from.y], enters), joins: to.type !== "sign" });
      } else {
        const y = heights.get(source);
        edges.push({ ...edge, type: "skip", points: points(...leaves, [fork, y], [join, y], enters), forks: true, joins: to.type !== "sign" });
      }
    }
  }
  frames.sort((one, other) => one.depth - other.depth);
  return { top: Math.max(...roofs.map((one) => one.top)), edges, frames };
}

/** @type {(...places: any[]) => [number, number][]} */
const points = (...places) => places;
