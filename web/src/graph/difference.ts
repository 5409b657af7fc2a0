/** What changed between two workflows; moves and sizes do not count. */
import { sameJson, type Json } from "./json";
import type { Workflow } from "./workflow";

export interface Change {
  readonly input: string;
  readonly before: Json | undefined;
  readonly after: Json | undefined;
}

export interface Difference {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: Readonly<Record<string, readonly Change[]>>;
}

export function difference(before: Workflow, after: Workflow): Difference {
  const changed: Record<string, Change[]> = {};
  for (const [id, node] of Object.entries(after.nodes)) {
    const old = before.nodes[id];
    if (!old) continue;
    const names = new Set([...Object.keys(old.inputs), ...Object.keys(node.inputs)]);
    const changes = [...names]
      .filter((name) => !sameJson(old.inputs[name], node.inputs[name]))
      .map((name): Change => ({ input: name, before: old.inputs[name], after: node.inputs[name] }));
    for (const key of ["type", "mode", "title"] as const)
      if (old[key] !== node[key]) changes.push({ input: key, before: old[key], after: node[key] });
    if (changes.length) changed[id] = changes;
  }
  return {
    added: Object.keys(after.nodes).filter((id) => !before.nodes[id]),
    removed: Object.keys(before.nodes).filter((id) => !after.nodes[id]),
    changed,
  };
}

export const isSame = (found: Difference): boolean =>
  !found.added.length && !found.removed.length && !Object.keys(found.changed).length;
