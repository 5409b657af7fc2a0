/** Places nodes from left to right by what they need. */
import { wires, type Graph, type Position } from "./workflow";

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
  const corner = (pick: 0 | 1, all: Iterable<Position>) => Math.min(...[...all].map((position) => position[pick]));
  const placed = new Map<string, Position>();
  for (const id of ids) {
    const node = dagre.node(id) as { x: number; y: number; width: number; height: number };
    placed.set(id, [node.x - node.width / 2, node.y - node.height / 2]);
  }
  const before = ids.map((id) => graph.layout[id]?.position ?? ([0, 0] as const));
  const shift = [corner(0, before) - corner(0, placed.values()), corner(1, before) - corner(1, placed.values())] as const;
  for (const [id, [x, y]] of placed) placed.set(id, [Math.round((x + shift[0]) / 8) * 8, Math.round((y + shift[1]) / 8) * 8]);
  return placed;
}
