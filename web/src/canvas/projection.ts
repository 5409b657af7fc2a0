/** The graph as React Flow's nodes and edges; untouched ones keep their identity, so only changed cards render. */
import type { Definitions } from "../graph/schema";
import { definitionOf, outputOf } from "../graph/schema";
import type { Graph, Workflow } from "../graph/workflow";
import { wires } from "../graph/workflow";
import { current, useDocument } from "../state/document";
import { useSchema } from "../state/schema";
import type { CardNode, FrameNode, ViewNode, WireEdge } from "../state/view";
import { useView } from "../state/view";

const NO_DATA: Record<string, never> = {};

function card(id: string, graph: Graph, before: ViewNode | undefined): CardNode {
  const box = graph.layout[id];
  const [x, y] = box?.position ?? [0, 0];
  const width = box?.size && !box.collapsed ? Math.min(Math.max(box.size[0], 220), 900) : undefined;
  if (before?.type === "card" && before.position.x === x && before.position.y === y && before.style?.width === width) return before;
  return {
    ...(before?.type === "card" ? before : { id, type: "card" as const, data: NO_DATA, dragHandle: ".card-title" }),
    position: { x, y }, style: width === undefined ? {} : { width },
  };
}

function frame(index: number, graph: Graph, before: ViewNode | undefined): FrameNode {
  const [x, y, width, height] = graph.groups?.[index]?.bounds ?? [0, 0, 0, 0];
  if (before?.type === "frame" && before.position.x === x && before.position.y === y && before.width === width && before.height === height) return before;
  return {
    ...(before?.type === "frame" ? before : { id: `frame:${index}`, type: "frame" as const, data: { index }, dragHandle: ".frame-title", zIndex: -1 }),
    position: { x, y }, width, height,
  };
}

export function projectNodes(graph: Graph, before: readonly ViewNode[]): readonly ViewNode[] {
  const known = new Map(before.map((node) => [node.id, node]));
  return sameOr(before, [
    ...(graph.groups ?? []).map((_, index) => frame(index, graph, known.get(`frame:${index}`))),
    ...Object.keys(graph.nodes).map((id) => card(id, graph, known.get(id))),
  ]);
}

/** The old list when nothing in it changed, so that nobody looks at it again. */
const sameOr = <T>(before: readonly T[], after: readonly T[]): readonly T[] =>
  before.length === after.length && after.every((one, index) => one === before[index]) ? before : after;

export function projectEdges(defs: Definitions, workflow: Workflow, graph: Graph, before: readonly WireEdge[]): readonly WireEdge[] {
  const known = new Map(before.map((edge) => [edge.id, edge]));
  const after = wires(graph).flatMap((wire): WireEdge[] => {
    const node = graph.nodes[wire.node];
    if (!node) return [];
    const output = outputOf(definitionOf(defs, workflow, wire.node, node, graph), wire.output);
    const bends = graph.layout[wire.target]?.bends?.[wire.input];
    const id = `${wire.target}:${wire.input}`;
    const old = known.get(id);
    const [sourceHandle, type] = [output?.name ?? wire.output, output?.type ?? "*"];
    if (old && old.source === wire.node && old.sourceHandle === sourceHandle && old.data?.type === type && old.data.bends === bends) return [old];
    return [{
      id, type: "wire" as const, source: wire.node, sourceHandle, target: wire.target, targetHandle: wire.input,
      data: { type, bends }, selected: old?.selected ?? false,
    }];
  });
  return sameOr(before, after);
}

/** Keeps the drawn graph in step with the document. */
export function startProjection(): void {
  const project = () => {
    const { graph, workflow } = current();
    const defs = useSchema.getState().definitions;
    const view = useView.getState();
    const [nodes, edges] = [projectNodes(graph, view.nodes), projectEdges(defs, workflow, graph, view.edges)];
    if (nodes !== view.nodes || edges !== view.edges) useView.setState({ nodes, edges });
  };
  useDocument.subscribe((state, before) => {
    if (state.graph === before.graph) return;
    if (state.opened !== before.opened) useView.setState({ nodes: [], edges: [] });
    project();
  });
  useSchema.subscribe((state, before) => state.definitions !== before.definitions && project());
}
