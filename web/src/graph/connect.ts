/** What may be linked, and why not. */
import { connect } from "./edit";
import { definitionOf, fits, outputOf, type Definitions, type NodeDef, type OutputPort, type Port } from "./schema";
import { ancestors, type Graph, type Workflow } from "./workflow";

export interface Proposal {
  readonly node: string;
  readonly output: string;
  readonly target: string;
  readonly input: string;
}

/** A refusal: the key of a sentence and what stands in it. */
export type Refusal = readonly ["refused.self" | "refused.cycle" | "refused.type" | "refused.gone", Record<string, string>];

/** Why a link may not be made; null when it may. */
export function refusal(defs: Definitions, workflow: Workflow, graph: Graph, link: Proposal): Refusal | null {
  const source = graph.nodes[link.node];
  const target = graph.nodes[link.target];
  if (!source || !target) return ["refused.gone", {}];
  if (link.node === link.target) return ["refused.self", {}];
  const from = outputOf(definitionOf(defs, workflow, link.node, source, graph), link.output);
  const to = definitionOf(defs, workflow, link.target, target, graph).inputs.find((port) => port.name === link.input);
  if (!from || !to) return ["refused.gone", {}];
  if (!fits(from.type, to.type)) return ["refused.type", { from: from.type, to: to.type, input: to.name }];
  if (ancestors(graph, [link.node]).has(link.target)) return ["refused.cycle", {}];
  return null;
}

/** The end of a link that is being dragged. */
export interface Loose {
  readonly node: string;
  readonly port: string;
  readonly side: "source" | "target";
  readonly type: string;
}

/** The first port of a definition that a loose end can be joined to. */
export function fittingPort(def: NodeDef, loose: Loose): Port | OutputPort | undefined {
  const ports: readonly (Port | OutputPort)[] = loose.side === "source" ? def.inputs : def.outputs;
  const fitting = ports.filter((port) => (loose.side === "source" ? fits(loose.type, port.type) : fits(port.type, loose.type)));
  return fitting.find((port) => port.type === loose.type) ?? fitting[0];
}

/** Joins a loose end to a port of another node. */
export function join<G extends Graph>(graph: G, loose: Loose, node: string, port: string): G {
  return loose.side === "source" ? connect(graph, loose.node, loose.port, node, port) : connect(graph, node, port, loose.node, loose.port);
}

export function proposal(loose: Loose, node: string, port: string): Proposal {
  return loose.side === "source"
    ? { node: loose.node, output: loose.port, target: node, input: port }
    : { node, output: port, target: loose.node, input: loose.port };
}

/** Every place of the graph that a loose end can be joined to, in the graph's order. */
export function openPlaces(defs: Definitions, workflow: Workflow, graph: Graph, loose: Loose): { node: string; port: string }[] {
  return Object.entries(graph.nodes).flatMap(([id, node]) => {
    const def = definitionOf(defs, workflow, id, node, graph);
    const ports: readonly (Port | OutputPort)[] = loose.side === "source" ? def.inputs : def.outputs;
    return ports
      .filter((port) => !refusal(defs, workflow, graph, proposal(loose, id, port.name)))
      .map((port) => ({ node: id, port: port.name }));
  });
}

/** Puts a node into a link when both of its sides fit; null when they do not. */
export function insertInto<G extends Graph>(defs: Definitions, workflow: Workflow, graph: G, id: string, link: Proposal): G | null {
  const [node, source, target] = [graph.nodes[id], graph.nodes[link.node], graph.nodes[link.target]];
  if (!node || !source || !target || id === link.node || id === link.target) return null;
  const def = definitionOf(defs, workflow, id, node, graph);
  const from = outputOf(definitionOf(defs, workflow, link.node, source, graph), link.output);
  const to = definitionOf(defs, workflow, link.target, target, graph).inputs.find((port) => port.name === link.input);
  const input = from && def.inputs.find((port) => port.type !== "*" && fits(from.type, port.type));
  const output = to && def.outputs.find((port) => fits(port.type, to.type));
  if (!input || !output) return null;
  const first = connect(graph, link.node, link.output, id, input.name);
  return refusal(defs, workflow, first, { node: id, output: output.name, target: link.target, input: link.input })
    ? null
    : connect(first, id, output.name, link.target, link.input);
}
