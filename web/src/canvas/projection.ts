/** The graph as React Flow's nodes and edges; untouched ones keep their identity, so only changed cards render. */
import { definitionOf, outputOf, type Definitions } from "../graph/schema";
import { sources, wires, type Graph, type Wire, type Workflow } from "../graph/workflow";
import { current, useDocument } from "../state/document";
import { useSchema } from "../state/schema";
import { useView, type CardNode, type FrameNode, type ViewNode, type WireEdge } from "../state/view";
import { estimate, widthOf } from "./estimate";

/** What is drawn: a graph, read with the definitions and the workflow it belongs to. */
export interface Scene {
  readonly defs: Definitions;
  readonly workflow: Workflow;
  readonly graph: Graph;
}

/** From as many nodes on, only those in sight are drawn, and the others' sizes are told from their definitions. */
export const CULL_FROM = 60;

/** Nodes that differ between two scenes in themselves or in their place; null when more differs, and all must be looked at. */
export function touched(before: Scene | null, after: Scene): ReadonlySet<string> | null {
  if (before?.defs !== after.defs || before.workflow.subgraphs !== after.workflow.subgraphs || before.graph.groups !== after.graph.groups) return null;
  const ids = Object.keys(after.graph.nodes);
  if (ids.length !== Object.keys(before.graph.nodes).length) return null;
  const found = new Set<string>();
  for (const id of ids) {
    const node = before.graph.nodes[id];
    if (!node) return null;
    if (node !== after.graph.nodes[id] || before.graph.layout[id] !== after.graph.layout[id]) found.add(id);
  }
  return found;
}

/** A node that became another type is a new card: its sockets are others. */
function card({ defs, workflow, graph }: Scene, id: string, before: ViewNode | undefined, large: boolean): CardNode {
  const [node, box] = [graph.nodes[id], graph.layout[id]];
  const type = node?.type ?? "";
  const old = before?.type === "card" && before.data.type === type ? before : undefined;
  const [x, y] = box?.position ?? [0, 0];
  const width = widthOf(box);
  if (old?.position.x === x && old.position.y === y && old.style?.width === width) return old;
  const place = { position: { x, y }, style: width === undefined ? {} : { width } };
  if (old) return { ...old, ...place };
  const told = large && node ? estimate(definitionOf(defs, workflow, id, node, graph), node, box) : {};
  return { id, type: "card", data: { type }, dragHandle: ".card-title", selected: before?.selected ?? false, ...told, ...place };
}

function frame(index: number, graph: Graph, before: ViewNode | undefined): FrameNode {
  const [x, y, width, height] = graph.groups?.[index]?.bounds ?? [0, 0, 0, 0];
  if (before?.type === "frame" && before.position.x === x && before.position.y === y && before.width === width && before.height === height) return before;
  return {
    ...(before?.type === "frame" ? before : { id: `frame:${index}`, type: "frame" as const, data: { index }, dragHandle: ".frame-title", zIndex: -2000 }),
    position: { x, y }, width, height,
  };
}

/** The old list when nothing in it changed, so that nobody looks at it again. */
const sameOr = <T>(before: readonly T[], after: readonly T[]): readonly T[] =>
  before.length === after.length && after.every((one, index) => one === before[index]) ? before : after;

export function projectNodes(scene: Scene, before: readonly ViewNode[], only: ReadonlySet<string> | null = null): readonly ViewNode[] {
  if (only) return sameOr(before, before.map((node) => (only.has(node.id) ? card(scene, node.id, node, before.length > CULL_FROM) : node)));
  const known = new Map(before.map((node) => [node.id, node]));
  const ids = Object.keys(scene.graph.nodes);
  return sameOr(before, [
    ...(scene.graph.groups ?? []).map((_, index) => frame(index, scene.graph, known.get(`frame:${index}`))),
    ...ids.map((id) => card(scene, id, known.get(id), ids.length > CULL_FROM)),
  ]);
}

const edgeId = (wire: Wire): string => `${wire.target}:${wire.input}`;

function edge({ defs, workflow, graph }: Scene, wire: Wire, old: WireEdge | undefined): WireEdge | null {
  const node = graph.nodes[wire.node];
  if (!node) return null;
  const output = outputOf(definitionOf(defs, workflow, wire.node, node, graph), wire.output);
  const bends = graph.layout[wire.target]?.bends?.[wire.input];
  const [sourceHandle, type] = [output?.name ?? wire.output, output?.type ?? "*"];
  if (old && old.source === wire.node && old.sourceHandle === sourceHandle && old.data?.type === type && old.data.bends === bends) return old;
  return {
    id: edgeId(wire), type: "wire", source: wire.node, sourceHandle, target: wire.target, targetHandle: wire.input,
    data: { type, bends }, selected: old?.selected ?? false,
  };
}

/** Whether the links at these nodes are drawn as they are. */
function upToDate(scene: Scene, edges: readonly WireEdge[], only: ReadonlySet<string>): boolean {
  const near = edges.filter((one) => only.has(one.target) || only.has(one.source));
  const known = new Map(near.map((one) => [one.id, one]));
  const targets = new Set([...only, ...near.map((one) => one.target)]);
  let [left, same] = [near.length, true];
  for (const target of targets) {
    const node = scene.graph.nodes[target];
    for (const source of node ? sources(node) : []) {
      if (!only.has(target) && !only.has(source.node)) continue;
      const wire = { ...source, target };
      const old = known.get(edgeId(wire));
      same &&= edge(scene, wire, old) === (old ?? null);
      left -= old ? 1 : 0;
    }
  }
  return same && left === 0;
}

export function projectEdges(scene: Scene, before: readonly WireEdge[], only: ReadonlySet<string> | null = null): readonly WireEdge[] {
  if (only && upToDate(scene, before, only)) return before;
  const known = new Map(before.map((one) => [one.id, one]));
  return sameOr(before, wires(scene.graph).flatMap((wire) => edge(scene, wire, known.get(edgeId(wire))) ?? []));
}

/** Keeps the drawn graph in step with the document. */
export function startProjection(): void {
  let drawn: Scene | null = null;
  const project = () => {
    const { graph, workflow } = current();
    const scene = { defs: useSchema.getState().definitions, workflow, graph };
    const only = touched(drawn, scene);
    drawn = scene;
    const view = useView.getState();
    const [nodes, edges] = [projectNodes(scene, view.nodes, only), projectEdges(scene, view.edges, only)];
    if (nodes !== view.nodes || edges !== view.edges) useView.setState({ nodes, edges });
  };
  useDocument.subscribe((state, before) => {
    if (state.graph === before.graph) return;
    if (state.opened !== before.opened) {
      drawn = null;
      useView.setState({ nodes: [], edges: [] });
    }
    project();
  });
  useSchema.subscribe((state, before) => state.definitions !== before.definitions && project());
}
