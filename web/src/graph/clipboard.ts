/** Parts of a graph as JSON text: copied, pasted, also between windows. */
import { boxOf, disconnect, freshId } from "./edit";
import { isRecord, parseJson, writeJson, type Json } from "./json";
import { clean } from "./file";
import { cornerOf, linkTo, sourceOf, type Box, type Graph, type Position, type WorkflowNode } from "./workflow";

export function copy(graph: Graph, ids: readonly string[]): string {
  const inside = ids.filter((id) => graph.nodes[id] && !id.startsWith("$"));
  return writeJson({
    graphflow: 1,
    part: true,
    nodes: Object.fromEntries(inside.map((id) => [id, graph.nodes[id]])),
    layout: Object.fromEntries(inside.map((id) => [id, boxOf(graph, id)])),
  });
}

/** The part in a text; null when the text is something else. */
export function readPart(text: string): Graph | null {
  try {
    const json = parseJson(text);
    return isRecord(json) && json.graphflow === 1 ? clean(json) : null;
  } catch {
    return null;
  }
}

/** Adds a part with fresh ids, its upper left corner at `at`. Links from outside it stay only with `keepLinks`. */
export function paste<G extends Graph>(graph: G, part: Graph, at: Position, keepLinks = false): { graph: G; ids: string[] } {
  const [left, top] = cornerOf(Object.keys(part.nodes).map((id) => boxOf(part, id).position));
  const renamed = new Map<string, string>();
  const taken: Record<string, unknown> = { ...graph.nodes };
  for (const [id, node] of Object.entries(part.nodes)) {
    const fresh = freshId(taken, /^[\w.:-]+$/.test(id) ? id : node.type);
    taken[fresh] = true;
    renamed.set(id, fresh);
  }
  const nodes: Record<string, WorkflowNode> = { ...graph.nodes };
  const layout: Record<string, Box> = { ...graph.layout };
  const strangers: [string, string][] = [];
  for (const [id, node] of Object.entries(part.nodes)) {
    const fresh = renamed.get(id) as string;
    const inputs: Record<string, Json> = {};
    for (const [name, value] of Object.entries(node.inputs)) {
      const source = sourceOf(value);
      const inner = source && renamed.get(source.node);
      inputs[name] = source && inner ? linkTo(inner, source.output) : value;
      if (source && !inner && !(keepLinks && graph.nodes[source.node])) strangers.push([fresh, name]);
    }
    const box = boxOf(part, id);
    nodes[fresh] = { ...node, inputs };
    layout[fresh] = { ...box, position: [Math.round(at[0] + box.position[0] - left), Math.round(at[1] + box.position[1] - top)] };
  }
  const added = strangers.reduce<G>((next, [id, name]) => disconnect(next, id, name), { ...graph, nodes, layout });
  return { graph: added, ids: [...renamed.values()] };
}
