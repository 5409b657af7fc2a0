/** What drags and drops on the canvas mean. */
import { applyEdgeChanges, applyNodeChanges, type Connection, type EdgeChange, type FinalConnectionState, type NodeChange } from "@xyflow/react";
import { fittingPort, insertInto, proposal, refusal, type Loose, type Proposal } from "../graph/connect";
import { connect, disconnect, move } from "../graph/edit";
import { changeFrame, membersOf } from "../graph/frames";
import { INPUTS, OUTPUTS, outputOf } from "../graph/schema";
import { promote } from "../graph/subgraph";
import { wires, type Graph, type Position } from "../graph/workflow";
import { current, edit } from "../state/document";
import { definitionIn, useSchema } from "../state/schema";
import { frameIndex, inGraph, isFrame, say, sizes, useView, type ViewNode, type WireEdge } from "../state/view";
import { t } from "../words";

type Ends = Pick<Connection, "source" | "target"> & { readonly sourceHandle?: string | null | undefined; readonly targetHandle?: string | null | undefined };
const toProposal = (ends: Ends): Proposal => ({
  node: ends.source, output: ends.sourceHandle ?? "", target: ends.target, input: ends.targetHandle ?? "",
});

function whyNot(link: Proposal) {
  const { workflow, graph } = current();
  return refusal(useSchema.getState().definitions, workflow, graph, link);
}

export const mayConnect = (ends: Ends): boolean => whyNot(toProposal(ends)) === null;

/** Makes a link, in place of the one whose end was `moved`, or says in one sentence why not. */
export function tryConnect(link: Proposal, moved?: WireEdge): void {
  const why = whyNot(link);
  if (why) return say(t(...why));
  edit((graph) => connect(moved ? unlink(graph, moved) : graph, link.node, link.output, link.target, link.input));
}

const unlink = (graph: Graph, edge: WireEdge): Graph => disconnect(graph, edge.target, edge.targetHandle ?? "");

export const connectEnds = (ends: Connection): void => tryConnect(toProposal(ends));

export function looseEnd(node: string, port: string, side: "source" | "target"): Loose | null {
  const def = definitionIn(node);
  const type = side === "source" ? def && outputOf(def, port)?.type : def?.inputs.find((one) => one.name === port)?.type;
  return type === undefined ? null : { node, port, side, type };
}

export const pointerOf = (event: MouseEvent | TouchEvent): Position => {
  const point = "changedTouches" in event ? event.changedTouches[0] : event;
  return [point?.clientX ?? 0, point?.clientY ?? 0];
};

/** A link was let go: over a socket that refuses it, over a card, or over empty canvas. */
export function dropLink(event: MouseEvent | TouchEvent, state: FinalConnectionState, loose: Loose | null): void {
  if (!loose || state.isValid) return;
  const [x, y] = pointerOf(event);
  const over = state.toHandle;
  if (over?.id && over.type !== loose.side) return tryConnect(proposal(loose, over.nodeId, over.id));
  if (over?.id) return say(t(loose.side === "source" ? "refused.bothOutputs" : "refused.bothInputs"));
  const card = document.elementFromPoint(x, y)?.closest<HTMLElement>(".react-flow__node-card")?.dataset.id;
  const def = card === undefined ? undefined : definitionIn(card);
  if (card === (loose.side === "target" ? INPUTS : OUTPUTS)) return edit((graph) => promote(graph, loose));
  if (card !== undefined && def) {
    const port = card === loose.node ? undefined : fittingPort(def, loose);
    if (port) tryConnect(proposal(loose, card, port.name));
    else if (card !== loose.node) say(t("refused.nothingFits", { type: loose.type, title: def.title }));
    return;
  }
  openPalette([x, y], loose);
}

let rest: Position | null = null;

/** Where the pointer rests on empty canvas; null when it is elsewhere. */
export const noteRest = (at: Position | null): void => { rest = at; };

/** Opens the search for a node: where the pointer rests on the canvas, else in its middle. */
export const openPaletteHere = (): void => openPalette(rest ?? [innerWidth / 2 - 180, innerHeight / 4]);

export function openPalette(screen: Position, loose: Loose | null = null): void {
  useView.setState({ palette: { screen, at: inGraph(screen), loose }, menu: null });
}

/** The end of a link was dragged off its socket and let go. */
export function dropReconnected(edge: WireEdge, event: MouseEvent | TouchEvent, state: FinalConnectionState): void {
  if (state.isValid || document.elementFromPoint(...pointerOf(event))?.closest(".react-flow__node")) return;
  edit((graph) => unlink(graph, edge));
}

export const reconnect = (edge: WireEdge, ends: Connection): void => tryConnect(toProposal(ends), edge);

/** Moves, selects and measures; what was measured takes the place of what was estimated. */
export function takeNodeChanges(changes: NodeChange<ViewNode>[]): void {
  const measured = new Set(changes.flatMap((change) => (change.type === "dimensions" ? [change.id] : [])));
  useView.setState((view) => {
    const nodes = applyNodeChanges(changes, view.nodes as ViewNode[]);
    for (const node of nodes) if (node.handles && measured.has(node.id)) delete node.handles;
    return { nodes };
  });
}

export function takeEdgeChanges(changes: EdgeChange<WireEdge>[]): void {
  useView.setState((view) => ({ edges: applyEdgeChanges(changes.filter((change) => change.type !== "remove"), view.edges as WireEdge[]) }));
}

/** While a frame is dragged, the nodes lying in it go along. */
let carried: ReadonlyMap<string, Position> = new Map();
let carrier: { id: string; from: Position } | null = null;

export function startDrag(node: ViewNode): void {
  carrier = null;
  if (!isFrame(node.id)) return;
  const { graph } = current();
  const group = graph.groups?.[frameIndex(node.id)];
  if (!group) return;
  carrier = { id: node.id, from: [node.position.x, node.position.y] };
  carried = new Map(membersOf(graph, group, sizes()).map((id) => [id, graph.layout[id]?.position ?? [0, 0]]));
}

export function whileDragging(node: ViewNode): void {
  if (carrier?.id !== node.id) return;
  const [dx, dy] = [node.position.x - carrier.from[0], node.position.y - carrier.from[1]];
  useView.setState((view) => ({
    nodes: view.nodes.map((one) => {
      const start = carried.get(one.id);
      return start ? { ...one, position: { x: start[0] + dx, y: start[1] + dy } } : one;
    }),
  }));
}

/** A drag ends: one edit for everything that moved; a lone node over a link is put into it. */
export function endDrag(event: MouseEvent | TouchEvent, dragged: readonly ViewNode[]): void {
  const moved = new Map<string, Position>();
  const frames = dragged.filter((node) => isFrame(node.id));
  for (const node of useView.getState().nodes)
    if (dragged.some((one) => one.id === node.id) || (carrier && carried.has(node.id))) moved.set(node.id, [node.position.x, node.position.y]);
  carrier = null;
  const only = dragged.length === 1 ? dragged[0] : undefined;
  const link = only && !isFrame(only.id) ? linkUnder(event, only.id) : null;
  edit((graph) => {
    const cards = new Map([...moved].filter(([id, [x, y]]) => {
      const before = graph.layout[id]?.position;
      return !isFrame(id) && (before?.[0] !== x || before[1] !== y);
    }));
    if (!cards.size && !frames.length) return graph;
    const placed = frames.reduce((next, node) => {
      const bounds = next.groups?.[frameIndex(node.id)]?.bounds;
      return bounds ? changeFrame(next, frameIndex(node.id), { bounds: [Math.round(node.position.x), Math.round(node.position.y), bounds[2], bounds[3]] }) : next;
    }, move(graph, cards));
    return (link && only && insertInto(useSchema.getState().definitions, current().workflow, placed, only.id, link)) || placed;
  });
}

function linkUnder(event: MouseEvent | TouchEvent, id: string): Proposal | null {
  if (wires(current().graph).some((wire) => wire.node === id || wire.target === id)) return null;
  const box = document.querySelector(`.react-flow__node[data-id="${CSS.escape(id)}"]`)?.getBoundingClientRect();
  const points: Position[] = [pointerOf(event), ...(box ? [[box.x + box.width / 2, box.y + box.height / 2] as const] : [])];
  for (const [x, y] of points)
    for (const element of document.elementsFromPoint(x, y)) {
      const edge = element.closest<HTMLElement>(".react-flow__edge")?.dataset.id;
      const wire = edge && wires(current().graph).find((one) => `${one.target}:${one.input}` === edge);
      if (wire) return wire;
    }
  return null;
}
