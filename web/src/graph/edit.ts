/** Every edit on a graph: takes one, returns another; what did not change stays the same object. */
import type { Json } from "./json";
import { widgetOf, type NodeDef } from "./schema";
import { linkTo, sourceOf, type Box, type Graph, type Position, type Workflow, type WorkflowNode } from "./workflow";

export const without = <T>(record: Readonly<Record<string, T>>, ...keys: string[]): Record<string, T> =>
  Object.fromEntries(Object.entries(record).filter(([key]) => !keys.includes(key)));

/** `record` with `key` set, or without it when `value` is undefined. */
function put<T extends object>(record: T, key: string, value: unknown): T {
  return value === undefined ? (without(record as Record<string, unknown>, key) as T) : { ...record, [key]: value };
}

export const boxOf = (graph: Graph, id: string): Box => graph.layout[id] ?? { position: [0, 0] };

function changeNode<G extends Graph>(graph: G, id: string, change: (node: WorkflowNode) => WorkflowNode): G {
  const node = graph.nodes[id];
  return node ? { ...graph, nodes: { ...graph.nodes, [id]: change(node) } } : graph;
}

export function changeBox<G extends Graph>(graph: G, id: string, key: keyof Box, value: unknown): G {
  return { ...graph, layout: { ...graph.layout, [id]: put(boxOf(graph, id), key, value) } };
}

/** `name`, or with the first number from 2 on that makes it free. */
export function unique(name: string, taken: (name: string) => boolean): string {
  let one = name;
  for (let count = 2; taken(one); count += 1) one = `${name}${count}`;
  return one;
}

/** A readable id that is not taken: `ksampler`, `ksampler2`. */
export function freshId(taken: Readonly<Record<string, unknown>>, type: string): string {
  const stem = type.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_+|_+$/g, "").replace(/\d+$/, "") || "node";
  return unique(stem, (one) => one in taken);
}

/** The literals a new node starts with; seeds are drawn anew for each run. */
export function addNode<G extends Graph>(graph: G, def: NodeDef, position: Position): { graph: G; id: string } {
  const id = freshId(graph.nodes, def.title.length < 24 ? def.type : def.type.slice(0, 24));
  const inputs: Record<string, Json> = {};
  for (const port of def.inputs) if (port.field && port.default !== null) inputs[port.name] = port.default;
  const draw = def.inputs.filter((port) => port.field && widgetOf(port.field).kind === "seed").map((port) => port.name);
  const box: Box = { position, ...(draw.length ? { draw } : {}) };
  return {
    graph: { ...graph, nodes: { ...graph.nodes, [id]: { type: def.type, inputs } }, layout: { ...graph.layout, [id]: box } },
    id,
  };
}

export function setValue<G extends Graph>(graph: G, id: string, input: string, value: Json | undefined): G {
  return changeNode(graph, id, (node) => ({ ...node, inputs: put(node.inputs, input, value) }));
}

export const setTitle = <G extends Graph>(graph: G, id: string, title: string): G =>
  changeNode(graph, id, (node) => put(node, "title", title.trim() || undefined));

export function setMode<G extends Graph>(graph: G, ids: Iterable<string>, mode: WorkflowNode["mode"]): G {
  let next = graph;
  for (const id of ids) next = changeNode(next, id, (node) => put(node, "mode", mode));
  return next;
}

/** Bypasses the nodes, or runs them again when all of them are bypassed. */
export function toggleMode<G extends Graph>(graph: G, ids: readonly string[], mode: "bypass" | "mute"): G {
  return setMode(graph, ids, ids.every((id) => graph.nodes[id]?.mode === mode) ? undefined : mode);
}

/** Lets nodes give the results kept under these keys, or compute again where there is none. */
export const setFrozen = <G extends Graph>(graph: G, keys: ReadonlyMap<string, string | undefined>): G =>
  [...keys].reduce((next, [id, key]) => changeNode(next, id, (node) => put(node, "frozen", key)), graph);

export function toggleCollapsed<G extends Graph>(graph: G, ids: readonly string[]): G {
  const collapsed = ids.every((id) => boxOf(graph, id).collapsed) ? undefined : true;
  return ids.reduce((next, id) => changeBox(next, id, "collapsed", collapsed), graph);
}

export function setColor<G extends Graph>(graph: G, ids: readonly string[], color: string | undefined): G {
  return ids.reduce((next, id) => changeBox(next, id, "color", color), graph);
}

export function move<G extends Graph>(graph: G, positions: ReadonlyMap<string, Position>): G {
  const layout: Record<string, Box> = { ...graph.layout };
  for (const [id, [x, y]] of positions) layout[id] = { ...boxOf(graph, id), position: [Math.round(x), Math.round(y)] };
  return { ...graph, layout };
}

/** Links an output to an input. The literal that was there comes back when the input is unlinked. */
export function connect<G extends Graph>(graph: G, node: string, output: string, target: string, input: string): G {
  const before = graph.nodes[target]?.inputs[input];
  const linked = setValue(graph, target, input, linkTo(node, output));
  if (before === undefined || sourceOf(before)) return linked;
  return changeBox(linked, target, "values", { ...boxOf(graph, target).values, [input]: before });
}

export function disconnect<G extends Graph>(graph: G, target: string, input: string): G {
  if (!sourceOf(graph.nodes[target]?.inputs[input])) return graph;
  const box = boxOf(graph, target);
  const next = setValue(graph, target, input, box.values?.[input]);
  const values = without(box.values ?? {}, input);
  const bends = without(box.bends ?? {}, input);
  const cleaned = box.values ? changeBox(next, target, "values", Object.keys(values).length ? values : undefined) : next;
  return box.bends ? changeBox(cleaned, target, "bends", Object.keys(bends).length ? bends : undefined) : cleaned;
}

/** Removes nodes and every link to them. */
export function remove<G extends Graph>(graph: G, ids: Iterable<string>): G {
  const gone = new Set(ids);
  let next: G = { ...graph, nodes: without(graph.nodes, ...gone), layout: without(graph.layout, ...gone) };
  for (const [id, node] of Object.entries(next.nodes))
    for (const [input, value] of Object.entries(node.inputs)) {
      const source = sourceOf(value);
      if (source && gone.has(source.node)) next = disconnect(next, id, input);
    }
  return next;
}

/** Whether an input's seed is drawn anew for each run. */
export const isDrawn = (graph: Graph, id: string, input: string): boolean => Boolean(graph.layout[id]?.draw?.includes(input));

export function setDrawn<G extends Graph>(graph: G, id: string, input: string, drawn: boolean): G {
  const rest = (boxOf(graph, id).draw ?? []).filter((name) => name !== input);
  const draw = drawn ? [...rest, input] : rest;
  return changeBox(graph, id, "draw", draw.length ? draw : undefined);
}

/** Draws every seed that is not fixed, those inside subgraphs too; `random` gives whole numbers. */
export function drawSeeds(workflow: Workflow, random: () => number): Workflow {
  const subgraphs = Object.entries(workflow.subgraphs).map(([name, inner]) => [name, drawn(inner, random)] as const);
  const next = drawn(workflow, random);
  return subgraphs.some(([name, inner]) => inner !== workflow.subgraphs[name]) ? { ...next, subgraphs: Object.fromEntries(subgraphs) } : next;
}

function drawn<G extends Graph>(graph: G, random: () => number): G {
  let next = graph;
  for (const [id, box] of Object.entries(graph.layout))
    for (const input of box.draw ?? [])
      if (graph.nodes[id] && !sourceOf(graph.nodes[id].inputs[input])) next = setValue(next, id, input, random());
  return next;
}

/** Turns every link point of an input into `points`; none is a straight link. */
export function setBends<G extends Graph>(graph: G, target: string, input: string, points: readonly Position[]): G {
  const bends = { ...without(boxOf(graph, target).bends ?? {}, input), ...(points.length ? { [input]: points } : {}) };
  return changeBox(graph, target, "bends", Object.keys(bends).length ? bends : undefined);
}
