/** Swaps a node for one of another type, keeping the links and values that fit. */
import type { Json } from "./json";
import { definitionOf, fits, outputOf, widgetOf, type Definitions, type NodeDef } from "./schema";
import { linkTo, sourceOf, wires, type Graph, type Workflow } from "./workflow";
import { disconnect } from "./edit";

export interface Replacement<G extends Graph> {
  readonly graph: G;
  readonly kept: number;
  /** Inputs and outputs whose link or value is lost. */
  readonly lost: readonly string[];
}

export function replaceNode<G extends Graph>(defs: Definitions, workflow: Workflow, graph: G, id: string, def: NodeDef): Replacement<G> {
  const node = graph.nodes[id];
  if (!node) return { graph, kept: 0, lost: [] };
  const before = definitionOf(defs, workflow, id, node, graph);
  const inputs: Record<string, Json> = {};
  const lost: string[] = [];
  let kept = 0;
  for (const port of def.inputs) if (port.field && port.default !== null) inputs[port.name] = port.default;
  for (const [name, value] of Object.entries(node.inputs)) {
    const source = sourceOf(value);
    const origin = source && graph.nodes[source.node];
    const type = source && origin ? (outputOf(definitionOf(defs, workflow, source.node, origin, graph), source.output)?.type ?? "*") : null;
    const free = (port: NodeDef["inputs"][number]) => !sourceOf(inputs[port.name]);
    const port = type !== null
      ? (def.inputs.find((one) => one.name === name && fits(type, one.type)) ?? def.inputs.find((one) => free(one) && one.type === type))
      : def.inputs.find((one) => one.name === name && one.field && sameKind(before, one.name, one.field, value));
    if (port) inputs[port.name] = value;
    if (port) kept += 1;
    else lost.push(name);
  }
  let next: G = { ...graph, nodes: { ...graph.nodes, [id]: { ...node, type: def.type, inputs } } };
  for (const wire of wires(graph).filter((one) => one.node === id)) {
    const type = outputOf(before, wire.output)?.type ?? "*";
    const output = def.outputs.find((one) => one.name === wire.output && fits(one.type, type)) ?? def.outputs.find((one) => fits(one.type, type));
    const target = next.nodes[wire.target];
    if (output && target) {
      kept += 1;
      const relinked = { ...target, inputs: { ...target.inputs, [wire.input]: linkTo(id, output.name) } };
      next = { ...next, nodes: { ...next.nodes, [wire.target]: relinked } };
    } else {
      lost.push(wire.output);
      next = disconnect(next, wire.target, wire.input);
    }
  }
  return { graph: next, kept, lost };
}

function sameKind(before: NodeDef, name: string, field: NonNullable<NodeDef["inputs"][number]["field"]>, value: Json): boolean {
  const old = before.inputs.find((port) => port.name === name)?.field;
  if (old && !before.unknown) return widgetOf(old).kind === widgetOf(field).kind;
  const expected: Record<string, string> = { integer: "number", number: "number", string: "string", boolean: "boolean" };
  return expected[String(field.type)] === typeof value;
}

/** Types to offer instead of a node: those that keep most come first. */
export function replacements(defs: Definitions, workflow: Workflow, graph: Graph, id: string): { def: NodeDef; kept: number; lost: readonly string[] }[] {
  return [...new Set(defs.values())]
    .filter((def) => def.type !== graph.nodes[id]?.type)
    .map((def) => ({ def, ...replaceNode(defs, workflow, graph, id, def) }))
    .sort((a, b) => a.lost.length - b.lost.length || b.kept - a.kept);
}
