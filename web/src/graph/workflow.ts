/** The workflow document: what is saved, undone, compared, sent and embedded in pictures. Unknown keys are kept. */
import { isRecord, type Json } from "./json";

export type Position = readonly [number, number];

/** The upper left corner around all positions. */
export const cornerOf = (all: readonly Position[]): Position => [Math.min(...all.map(([x]) => x)), Math.min(...all.map(([, y]) => y))];

export interface WorkflowNode {
  readonly type: string;
  readonly inputs: Readonly<Record<string, Json>>;
  readonly title?: string;
  readonly mode?: "bypass" | "mute";
  /** Key of a kept result: the node gives that, whatever its inputs say. */
  readonly frozen?: string;
}

/** Where a node stands, and what only the editor needs to know of it. */
export interface Box {
  readonly position: Position;
  readonly size?: Position;
  readonly collapsed?: boolean;
  readonly color?: string;
  /** Values that come back when an input is unlinked. */
  readonly values?: Readonly<Record<string, Json>>;
  /** Seeds that are drawn anew for each run. */
  readonly draw?: readonly string[];
  /** Points that an input's link passes through. */
  readonly bends?: Readonly<Record<string, readonly Position[]>>;
}

export interface Group {
  readonly title: string;
  readonly bounds: readonly [number, number, number, number];
  readonly color?: string;
  /** A text written in the frame. */
  readonly note?: string;
  /** While the frame is bypassed: the modes its nodes had before. */
  readonly modes?: Readonly<Record<string, string>>;
}

export interface Graph {
  readonly nodes: Readonly<Record<string, WorkflowNode>>;
  readonly layout: Readonly<Record<string, Box>>;
  readonly groups?: readonly Group[];
}

export interface SubgraphPort {
  readonly name: string;
  readonly type: string;
  readonly from?: string;
  /** What an input gives when the node outside says nothing. */
  readonly default?: Json;
}

export interface Subgraph extends Graph {
  readonly inputs: readonly SubgraphPort[];
  readonly outputs: readonly SubgraphPort[];
}

/** An input shown in the form view. */
export interface FormItem {
  readonly node: string;
  readonly input: string;
  readonly label?: string;
  readonly group?: string;
}

export interface Workflow extends Graph {
  readonly graphflow: 1;
  readonly name: string;
  readonly description: string;
  readonly groups: readonly Group[];
  readonly subgraphs: Readonly<Record<string, Subgraph>>;
  readonly form?: readonly FormItem[];
}

export const EMPTY: Workflow = {
  graphflow: 1, name: "", description: "", nodes: {}, layout: {}, groups: [], subgraphs: {},
};

export interface Source {
  readonly node: string;
  readonly output: string;
}

/** Where a link comes from; ids may hold dots, so the last dot separates. Null for a literal. */
export function sourceOf(value: Json | undefined): Source | null {
  if (!isRecord(value) || typeof value.from !== "string" || Object.keys(value).length !== 1) return null;
  const dot = value.from.lastIndexOf(".");
  return dot < 0 ? { node: value.from, output: "0" } : { node: value.from.slice(0, dot), output: value.from.slice(dot + 1) };
}

export const linkTo = (node: string, output: string): { from: string } => ({ from: `${node}.${output}` });

const known = new WeakMap<WorkflowNode, readonly (Source & { readonly input: string })[]>();

/** A node's incoming links; found once, since a node never changes. */
export function sources(node: WorkflowNode): readonly (Source & { readonly input: string })[] {
  const found = known.get(node);
  if (found) return found;
  const links = Object.entries(node.inputs).flatMap(([input, value]) => {
    const source = sourceOf(value);
    return source ? [{ ...source, input }] : [];
  });
  known.set(node, links);
  return links;
}

export interface Wire extends Source {
  readonly target: string;
  readonly input: string;
}

/** Every link of a graph. */
export function wires(graph: Graph): Wire[] {
  return Object.entries(graph.nodes).flatMap(([target, node]) => sources(node).map((source) => ({ ...source, target })));
}

/** The nodes that `ids` need, themselves included; `ends` says of a node that it needs nothing. */
export function ancestors(graph: Graph, ids: Iterable<string>, ends: (node: WorkflowNode) => boolean = () => false): Set<string> {
  const seen = new Set<string>();
  const pending = [...ids];
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    const node = graph.nodes[id];
    if (!node || seen.has(id)) continue;
    seen.add(id);
    if (!ends(node)) for (const source of sources(node)) pending.push(source.node);
  }
  return seen;
}

/** The nodes that depend on `ids`, themselves included. */
export function descendants(graph: Graph, ids: Iterable<string>): Set<string> {
  const next = new Map<string, string[]>();
  for (const wire of wires(graph)) next.set(wire.node, [...(next.get(wire.node) ?? []), wire.target]);
  const seen = new Set<string>();
  const pending = [...ids];
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    if (seen.has(id)) continue;
    seen.add(id);
    pending.push(...(next.get(id) ?? []));
  }
  return seen;
}

/** Ids so that each node comes after those it needs; members of a cycle keep their order. */
export function inOrder(graph: Graph): string[] {
  const done = new Set<string>();
  const order: string[] = [];
  for (const root of Object.keys(graph.nodes)) {
    const stack: [string, boolean][] = [[root, false]];
    for (let top = stack.pop(); top; top = stack.pop()) {
      const [id, ready] = top;
      if (ready) order.push(id);
      if (ready || done.has(id) || !graph.nodes[id]) continue;
      done.add(id);
      stack.push([id, true]);
      for (const { node } of sources(graph.nodes[id]).toReversed()) if (!done.has(node)) stack.push([node, false]);
    }
  }
  return order;
}
