/** Places nodes from left to right by what they need. */
import { boxOf } from "./edit";
import { cornerOf, wires, type Graph, type Position } from "./workflow";

/** New positions of `ids`, around the same upper left corner; `sizes` as drawn. Dagre is loaded when first wanted. */
export async function arranged(
  graph: Graph, ids: readonly string[], sizes: ReadonlyMap<string, Position>,
): Promise<Map<string, Position>> {
  const { Graph: DagreGraph, layout } = await import("@dagrejs/dagre");
  const dagre = new DagreGraph().setGraph({ rankdir: "LR", nodesep: 32, ranksep: 72 }).setDefaultEdgeLabel(() => ({}));
  const chosen = new Set(ids);
  for (const id of ids) {
    const [width, height] = sizes.get(id) ?? [260, 160];
    dagre.setNode(id, { width, height });
  }
  for (const wire of wires(graph)) if (chosen.has(wire.node) && chosen.has(wire.target)) dagre.setEdge(wire.node, wire.target);
  layout(dagre);
  const placed = new Map<string, Position>();
  for (const id of ids) {
    const node = dagre.node(id) as { x: number; y: number; width: number; height: number };
    placed.set(id, [node.x - node.width / 2, node.y - node.height / 2]);
  }
  const [before, after] = [cornerOf(ids.map((id) => boxOf(graph, id).position)), cornerOf([...placed.values()])];
  const onGrid = (value: number) => Math.round(value / 8) * 8;
  for (const [id, [x, y]] of placed) placed.set(id, [onGrid(x + before[0] - after[0]), onGrid(y + before[1] - after[1])]);
  return placed;
}
