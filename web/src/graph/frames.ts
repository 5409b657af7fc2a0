/** Frames: titled rectangles that carry the nodes lying in them. */
import { boxOf, setMode } from "./edit";
import { cornerOf, type Graph, type Group, type Position, type WorkflowNode } from "./workflow";

export type Sizes = ReadonlyMap<string, Position>;
const sizeOf = (sizes: Sizes, id: string): Position => sizes.get(id) ?? [260, 160];

/** The nodes whose middle lies in the frame. */
export function membersOf(graph: Graph, group: Group, sizes: Sizes): string[] {
  const [x, y, w, h] = group.bounds;
  return Object.keys(graph.nodes).filter((id) => {
    const [left, top] = boxOf(graph, id).position;
    const [width, height] = sizeOf(sizes, id);
    const [cx, cy] = [left + width / 2, top + height / 2];
    return cx >= x && cx <= x + w && cy >= y && cy <= y + h;
  });
}

export function changeFrame<G extends Graph>(graph: G, index: number, change: Partial<Group>): G {
  return { ...graph, groups: (graph.groups ?? []).map((group, i) => (i === index ? { ...group, ...change } : group)) };
}

export const removeFrames = <G extends Graph>(graph: G, indexes: readonly number[]): G => ({
  ...graph, groups: (graph.groups ?? []).filter((_, i) => !indexes.includes(i)),
});

/** A frame around nodes, with room for its title. */
export function addFrame<G extends Graph>(graph: G, ids: readonly string[], sizes: Sizes, title: string): G {
  if (!ids.length) return graph;
  const corners = ids.map((id) => [boxOf(graph, id).position, sizeOf(sizes, id)] as const);
  const [left, top] = cornerOf(corners.map(([position]) => position));
  const [right, bottom] = [Math.max(...corners.map(([p, s]) => p[0] + s[0])), Math.max(...corners.map(([p, s]) => p[1] + s[1]))];
  const bounds = [left - 24, top - 56, right - left + 48, bottom - top + 80] as const;
  return { ...graph, groups: [...(graph.groups ?? []), { title, bounds }] };
}

/** Bypasses everything in a frame; done again, it restores what was bypassed before. */
export function toggleFrame<G extends Graph>(graph: G, index: number, sizes: Sizes): G {
  const group = graph.groups?.[index];
  if (!group) return graph;
  if (group.modes) {
    const restored = Object.entries(group.modes).reduce<G>(
      (next, [id, mode]) => setMode(next, [id], mode === "" ? undefined : (mode as NonNullable<WorkflowNode["mode"]>)), graph,
    );
    const { modes: _modes, ...rest } = group;
    return { ...restored, groups: (restored.groups ?? []).map((one, i) => (i === index ? rest : one)) };
  }
  const ids = membersOf(graph, group, sizes);
  const modes = Object.fromEntries(ids.map((id) => [id, graph.nodes[id]?.mode ?? ""]));
  return changeFrame(setMode(graph, ids, "bypass"), index, { modes });
}
