/** What menus and keys do to the selection. */
import { arranged } from "../graph/arrange";
import { copy, paste, readPart } from "../graph/clipboard";
import { fittingPort, join, type Loose } from "../graph/connect";
import * as edits from "../graph/edit";
import { addFrame, removeFrames } from "../graph/frames";
import { INPUTS, type NodeDef, OUTPUTS } from "../graph/schema";
import { makeSubgraph, unpack } from "../graph/subgraph";
import { cornerOf, type Position } from "../graph/workflow";
import { current, edit, editWorkflow } from "../state/document";
import { useSchema } from "../state/schema";
import { inGraph, select, selectedFrames, selection, sizes, useView } from "../state/view";
import { t } from "../words";
import { toggleFrozen } from "./freeze";

const BORDER = new Set<string>([INPUTS, OUTPUTS]);
const movable = (): string[] => selection().filter((id) => !BORDER.has(id));
const ifAny = (change: (ids: string[]) => void) => (): void => {
  const ids = movable();
  if (ids.length) change(ids);
};

/** Adds a node, joined to a loose end when there is one, and selects it. */
export function addAt(def: NodeDef, at: Position, loose: Loose | null): void {
  let added = "";
  edit((graph) => {
    const { graph: next, id } = edits.addNode(graph, def, [Math.round(at[0] / 8) * 8, Math.round(at[1] / 8) * 8]);
    added = id;
    const port = loose && fittingPort(def, loose);
    return loose && port ? join(next, loose, id, port.name) : next;
  });
  select([added]);
}

export function removeSelected(): void {
  const [ids, frames, wires] = [movable(), selectedFrames(), useView.getState().edges.filter((edge) => edge.selected)];
  if (!ids.length && !frames.length && !wires.length) return;
  edit((graph) => {
    const unlinked = wires.reduce((next, edge) => edits.disconnect(next, edge.target, edge.targetHandle ?? ""), graph);
    return edits.remove(frames.length ? removeFrames(unlinked, frames) : unlinked, ids);
  });
}

export const copied = (): string | null => (movable().length ? copy(current().graph, movable()) : null);

/** Where a paste goes: the middle of the canvas. */
function middle(): Position {
  const box = document.querySelector(".canvas")?.getBoundingClientRect();
  return inGraph([(box?.x ?? 0) + (box?.width ?? 0) / 2 - 130, (box?.y ?? 0) + (box?.height ?? 0) / 3]);
}

/** Adds the nodes in a text; false when there are none. */
export function pasteText(text: string, keepLinks: boolean, at: Position = middle()): boolean {
  const part = readPart(text);
  if (!part || !Object.keys(part.nodes).length) return false;
  let added: string[] = [];
  edit((graph) => {
    const next = paste(graph, part, at, keepLinks);
    added = next.ids;
    return next.graph;
  });
  select(added);
  return true;
}

export const duplicate = ifAny((ids) => {
  const part = readPart(copy(current().graph, ids));
  const [left, top] = cornerOf(ids.map((id) => edits.boxOf(current().graph, id).position));
  if (part) pasteText(copy(part, ids), true, [left + 40, top + 40]);
});

export const bypass = ifAny((ids) => edit((graph) => edits.toggleMode(graph, ids, "bypass")));
export const mute = ifAny((ids) => edit((graph) => edits.toggleMode(graph, ids, "mute")));
export const freeze = ifAny((ids) => void toggleFrozen(ids));
export const collapse = ifAny((ids) => edit((graph) => edits.toggleCollapsed(graph, ids)));
export const tint = (color: string) => ifAny((ids) => edit((graph) => edits.setColor(graph, ids, color || undefined)))();
export const rename = ifAny(([id]) => useView.setState({ renaming: id ?? null }));
export const frame = ifAny((ids) => edit((graph) => addFrame(graph, ids, sizes(), t("frame.new"))));
export const replace = ifAny(([id]) => useView.setState({ dialog: { kind: "replace", node: id ?? "" } }));
export const connectFrom = ifAny(([id]) => useView.setState({ dialog: { kind: "connect", node: id ?? "" } }));

export function nudge(dx: number, dy: number): void {
  const ids = selection();
  if (!ids.length) return;
  edit((graph) => {
    const moved = ids.map((id): [string, Position] => {
      const [x, y] = edits.boxOf(graph, id).position;
      return [id, [x + dx, y + dy]];
    });
    return edits.move(graph, new Map(moved));
  }, "nudge");
}

/** Arranges the selection, or everything when fewer than two nodes are selected. */
export async function arrange(): Promise<void> {
  const { graph } = current();
  const chosen = selection();
  const ids = chosen.length > 1 ? chosen : Object.keys(graph.nodes);
  if (!ids.length) return;
  const positions = await arranged(graph, ids, sizes());
  edit((next) => edits.move(next, positions));
  if (chosen.length < 2) requestAnimationFrame(() => void useView.getState().flow?.fitView({ padding: 0.1, maxZoom: 1, duration: 200 }));
}

export const subgraph = ifAny((ids) => {
  let made = "";
  editWorkflow((workflow) => {
    const next = makeSubgraph(useSchema.getState().definitions, workflow, current().path, ids, t("subgraph.new"));
    made = next.id;
    return next.workflow;
  });
  select([made]);
});

export const unpackSelected = ifAny((ids) =>
  editWorkflow((workflow) => ids.reduce((next, id) => unpack(next, current().path, id), workflow)),
);
