/** Node definitions as the server tells them, and what may be linked to what. */
import type { NodeDef as Described, OutputPort, Port } from "./api";
import { isRecord, type Json } from "./json";
import { sourceOf, wires, type Graph, type Subgraph, type Workflow, type WorkflowNode } from "./workflow";

export type Field = Readonly<Record<string, Json>>;

export type { OutputPort, Port };

/** `unknown`: the server does not know this type; the definition is read off the workflow. */
export type NodeDef = Described & { readonly unknown?: boolean };

export type Definitions = ReadonlyMap<string, NodeDef>;

/** By type and by old name. */
export function definitions(list: readonly NodeDef[]): Definitions {
  const byType = new Map<string, NodeDef>();
  for (const def of list) for (const alias of def.aliases) byType.set(alias, def);
  for (const def of list) byType.set(def.type, def);
  return byType;
}

const WIDER: Readonly<Record<string, readonly string[]>> = {
  INT: ["FLOAT", "NUMBER"],
  FLOAT: ["NUMBER"],
  BOOLEAN: ["INT", "FLOAT", "NUMBER"],
  STRING: ["COMBO"],
  COMBO: ["STRING"],
};

/** Whether an output of type `source` may be linked to an input of type `target`. */
export function fits(source: string, target: string): boolean {
  if (source === "*" || target === "*") return true;
  const targets = new Set(target.split("|"));
  return source.split("|").some((one) => targets.has(one) || (WIDER[one] ?? []).some((wide) => targets.has(wide)));
}

const BARE = {
  category: "", description: "", output_node: false, device: false, volatile: false, deprecated: false, experimental: false,
  aliases: [], pack: "", digest: "", example: "", more: null, checks: false,
};
const port = (name: string, type: string, more: Partial<Port> = {}): Port => ({
  name, type, required: false, default: null, field: null, lazy: false, list: false, grows: "", advanced: false, description: "", judged: [], ...more,
});
const output = (name: string, type: string): OutputPort => ({ name, type, list: false, description: "" });

export const INPUTS = "$inputs";
export const OUTPUTS = "$outputs";
const PREFIX = "subgraph/";

export const subgraphName = (type: string): string | null => (type.startsWith(PREFIX) ? type.slice(PREFIX.length) : null);
export const subgraphType = (name: string): string => PREFIX + name;

/** The field that a subgraph's input shows outside: that of the first inner input it feeds. */
function innerPort(defs: Definitions, workflow: Workflow, subgraph: Subgraph, name: string, nesting: number): Port | undefined {
  const wire = wires(subgraph).find((one) => one.node === INPUTS && one.output === name);
  const node = wire && subgraph.nodes[wire.target];
  return node && definitionOf(defs, workflow, wire.target, node, subgraph, nesting + 1).inputs.find((p) => p.name === wire.input);
}

function subgraphDef(defs: Definitions, workflow: Workflow, name: string, subgraph: Subgraph, nesting: number): NodeDef {
  return {
    ...BARE, type: subgraphType(name), title: name, category: "subgraph",
    inputs: subgraph.inputs.map((item) => {
      const inner = nesting < 8 ? innerPort(defs, workflow, subgraph, item.name, nesting) : undefined;
      return port(item.name, item.type, inner && { field: inner.field, default: item.default ?? inner.default, required: inner.required, description: inner.description });
    }),
    outputs: subgraph.outputs.map((item) => output(item.name, item.type)),
  };
}

/** The two nodes that stand for a subgraph's inputs and outputs while it is open. */
function borderDef(type: string, graph: Subgraph): NodeDef {
  return type === INPUTS
    ? { ...BARE, type, title: "Inputs", outputs: graph.inputs.map((item) => output(item.name, item.type)), inputs: [] }
    : { ...BARE, type, title: "Outputs", inputs: graph.outputs.map((item) => port(item.name, item.type)), outputs: [] };
}

/** A definition read off the workflow, for a node of a type nobody here knows. */
function guess(id: string, node: WorkflowNode, graph: Graph): NodeDef {
  const names = new Set(wires(graph).filter((wire) => wire.node === id).map((wire) => wire.output));
  return {
    ...BARE, type: node.type, title: node.type, unknown: true,
    inputs: Object.entries(node.inputs).map(([name, value]) => port(name, "*", sourceOf(value) ? {} : { field: {}, default: value })),
    outputs: [...names].map((name) => output(name, "*")),
  };
}

/** The definition of a node; of a subgraph, its border or an unknown type, one made up from the workflow. */
export function definitionOf(
  defs: Definitions, workflow: Workflow, id: string, node: WorkflowNode, graph: Graph = workflow, nesting = 0,
): NodeDef {
  const described = defs.get(node.type);
  if (described) return described;
  if (node.type === INPUTS || node.type === OUTPUTS) return borderDef(node.type, graph as Subgraph);
  const name = subgraphName(node.type);
  const subgraph = name === null ? undefined : workflow.subgraphs[name];
  if (name !== null && subgraph) return subgraphDef(defs, workflow, name, subgraph, nesting);
  return guess(id, node, graph);
}

/** The output a link names, by name or by index. */
export function outputOf(def: NodeDef, name: string): OutputPort | undefined {
  return def.outputs.find((one) => one.name === name) ?? (/^\d+$/.test(name) ? def.outputs[Number(name)] : undefined);
}

/** The inputs a card shows: of a group that grows, those in use and the first free one. */
export function shownPorts(def: NodeDef, node: WorkflowNode): readonly Port[] {
  const offered = new Set<string>();
  return def.inputs.filter((port) => {
    if (!port.grows || node.inputs[port.name] !== undefined) return true;
    const first = !offered.has(port.grows);
    offered.add(port.grows);
    return first;
  });
}

export interface Widget {
  readonly kind: "number" | "slider" | "seed" | "text" | "multiline" | "choice" | "toggle" | "color" | "image" | "file" | "json";
  readonly whole?: boolean;
  readonly min?: number;
  readonly max?: number;
  readonly step?: number;
  readonly choices?: readonly Json[];
  readonly folder?: string;
  readonly extra?: readonly string[];
  readonly media?: string;
}

const numeric = (value: Json | undefined): number | undefined =>
  typeof value === "number" ? value : typeof value === "bigint" ? Number(value) : undefined;

function numberWidget(field: Field, whole: boolean): Widget {
  const min = numeric(field.minimum) ?? numeric(field.exclusiveMinimum);
  const max = numeric(field.maximum) ?? numeric(field.exclusiveMaximum);
  const step = numeric(field.step) ?? numeric(field.multipleOf) ?? (whole ? 1 : 0.01);
  const bounds = { whole, step, ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) };
  if (field.widget === "seed") return { kind: "seed", ...bounds };
  const short = min !== undefined && max !== undefined && max - min <= 100 && !(whole && max - min > 64);
  return { kind: field.widget === "slider" || short ? "slider" : "number", ...bounds };
}

/** How a literal is edited, from its JSON schema. */
export function widgetOf(field: Field): Widget {
  const options = Array.isArray(field.anyOf) ? (field.anyOf as readonly Json[]).filter(isRecord) : [];
  const some = options.find((one) => one.type !== "null");
  if (some) return widgetOf({ ...field, anyOf: null, ...some });
  if (typeof field.folder === "string") {
    const extra = Array.isArray(field.extra) ? (field.extra as readonly Json[]).map(String) : [];
    if (field.folder !== "input") return { kind: "choice", folder: field.folder, extra };
    const media = typeof field.media === "string" ? field.media : "";
    return { kind: media === "image" || media === "" ? "image" : "file", folder: "input", media, extra };
  }
  if (Array.isArray(field.enum)) return { kind: "choice", choices: field.enum as readonly Json[] };
  if (field.widget === "color") return { kind: "color", whole: field.type === "integer" };
  if (field.type === "boolean") return { kind: "toggle" };
  if (field.type === "integer" || field.type === "number") return numberWidget(field, field.type === "integer");
  if (field.type !== "string") return { kind: "json" };
  return { kind: field.widget === "multiline" ? "multiline" : "text" };
}
