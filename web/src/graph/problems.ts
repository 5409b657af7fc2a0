/** What is wrong before a run, by node and input. */
import type { Problem } from "./api";
import { sameJson, type Json } from "./json";
import { definitionOf, fits, outputOf, widgetOf, type Definitions, type Port, type Widget } from "./schema";
import { ancestors, sourceOf, type Graph, type Workflow, type WorkflowNode } from "./workflow";

/** Found here, `message` is empty and `code` is the key of a sentence; found by the server, it is the sentence. */
export type { Problem };

export type Choices = (folder: string) => readonly string[] | undefined;

const problem = (node: string | null, input: string | null, code: string, details: Record<string, Json> = {}): Problem => ({
  node, input, message: "", code, details,
});

/** Names that look most like `name`. */
export function nearest(name: string, names: readonly string[]): string[] {
  const grams = (text: string) => new Set(Array.from({ length: Math.max(text.length - 1, 1) }, (_, i) => text.toLowerCase().slice(i, i + 2)));
  const wanted = grams(name);
  const scored = names.map((one) => {
    const own = grams(one);
    const shared = [...own].filter((gram) => wanted.has(gram)).length;
    return { one, score: shared / Math.max(own.size + wanted.size - shared, 1) };
  });
  return scored.filter((item) => item.score > 0.2).sort((a, b) => b.score - a.score).slice(0, 3).map((item) => item.one);
}

function ofLiteral(id: string, port: Port, value: Json, choices: Choices): Problem | null {
  if (!port.field) return problem(id, port.name, "needs_link", { type: port.type });
  const widget = widgetOf(port.field);
  const { min, max, choices: offered }: Partial<Widget> = port.judged.includes("value") ? {} : widget; // else the node says what fits
  if (min !== undefined && Number(value) < min) return problem(id, port.name, "too_small", { min });
  if (max !== undefined && Number(value) > max) return problem(id, port.name, "too_large", { max });
  const names = widget.folder ? choices(widget.folder) : undefined;
  if (names && typeof value === "string" && !widget.extra?.includes(value) && !names.includes(value) && widget.kind === "choice")
    return problem(id, port.name, "missing_file", { name: value, nearest: nearest(value, names) });
  if (offered && !offered.some((choice) => sameJson(choice, value)))
    return problem(id, port.name, "unknown_choice", { name: String(value), nearest: nearest(String(value), offered.map(String)) });
  return null;
}

function ofInput(defs: Definitions, workflow: Workflow, graph: Graph, id: string, port: Port, choices: Choices): Problem | null {
  const value = graph.nodes[id]?.inputs[port.name];
  const source = sourceOf(value);
  if (source) {
    const node = graph.nodes[source.node];
    const output = node && outputOf(definitionOf(defs, workflow, source.node, node, graph), source.output);
    if (!output) return problem(id, port.name, "broken_link", { from: source.node });
    return port.judged.includes("link") || fits(output.type, port.type) ? null : problem(id, port.name, "wrong_type", { from: output.type, to: port.type });
  }
  if (value !== undefined && value !== null) return ofLiteral(id, port, value, choices);
  return port.required && (port.default === null || port.default === undefined)
    ? problem(id, port.name, port.field ? "needs_value" : "needs_link", { type: port.type })
    : null;
}

const isFrozen = (node: WorkflowNode): boolean => node.frozen !== undefined && !node.mode;

/** The nodes that a run computes: everything the outputs (or `targets`) need. */
export function needed(defs: Definitions, workflow: Workflow, targets?: readonly string[]): Set<string> {
  const outputs = targets ?? Object.keys(workflow.nodes).filter((id) => defs.get(workflow.nodes[id]?.type ?? "")?.output_node);
  const active = outputs.filter((id) => workflow.nodes[id] && !workflow.nodes[id].mode);
  return ancestors(workflow, active, isFrozen);
}

/** Every problem of what a run would compute; an empty list means: run it. */
export function problems(defs: Definitions, workflow: Workflow, choices: Choices, targets?: readonly string[]): Problem[] {
  const ids = needed(defs, workflow, targets);
  if (!ids.size) return [problem(null, null, "no_output")];
  const found: Problem[] = [];
  for (const id of Object.keys(workflow.nodes)) {
    const node = workflow.nodes[id];
    if (!node || !ids.has(id) || node.mode || isFrozen(node)) continue;
    const def = definitionOf(defs, workflow, id, node);
    if (def.unknown) found.push(problem(id, null, "unknown_node", { type: node.type, nearest: nearest(node.type, [...defs.keys()]) }));
    else
      for (const port of def.inputs) {
        const one = ofInput(defs, workflow, workflow, id, port, choices);
        if (one) found.push(one);
      }
  }
  return found;
}
