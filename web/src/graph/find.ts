/** Finds nodes by title, id, type or value. */
import { definitionOf, type Definitions } from "./schema";
import { sourceOf, type Graph, type Workflow } from "./workflow";

export interface Hit {
  readonly node: string;
  readonly title: string;
  /** The value that matched, with its input's name; empty when the title, id or type did. */
  readonly where: string;
}

export function titleOf(defs: Definitions, workflow: Workflow, graph: Graph, id: string): string {
  const node = graph.nodes[id];
  return node ? node.title || definitionOf(defs, workflow, id, node, graph).title : id;
}

export function find(defs: Definitions, workflow: Workflow, graph: Graph, query: string): Hit[] {
  const wanted = query.trim().toLowerCase();
  return Object.entries(graph.nodes).flatMap(([id, node]): Hit[] => {
    const title = titleOf(defs, workflow, graph, id);
    if (!wanted || [title, id, node.type].some((text) => text.toLowerCase().includes(wanted))) return [{ node: id, title, where: "" }];
    const value = Object.entries(node.inputs).find(
      ([, literal]) => !sourceOf(literal) && typeof literal !== "object" && String(literal).toLowerCase().includes(wanted),
    );
    return value ? [{ node: id, title, where: `${value[0]}: ${String(value[1]).slice(0, 80)}` }] : [];
  });
}

/** How well a definition answers a search; 0 is not at all. */
export function score(query: string, ...texts: readonly string[]): number {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return 1;
  let total = 0;
  for (const word of words) {
    const best = Math.max(...texts.map((text, index) => one(word, text) / (index + 1)));
    if (best === 0) return 0;
    total += best;
  }
  return total;
}

function one(word: string, text: string): number {
  const lower = text.toLowerCase();
  const initials = text.replace(/[^A-Z]/g, "").toLowerCase();
  if (lower === word) return 10;
  if (lower.startsWith(word)) return 8;
  if (lower.split(/[^a-z0-9]+/).some((part) => part.startsWith(word))) return 6;
  if (initials.startsWith(word)) return 5;
  return lower.includes(word) ? 4 : 0;
}
