/** Subgraphs: enter, make from a selection, unpack. */
import { boxOf, connect, remove, setValue, unique, without } from "./edit";
import type { Json } from "./json";
import { definitionOf, outputOf, subgraphName, subgraphType, type Definitions, INPUTS, OUTPUTS } from "./schema";
import { cornerOf, linkTo, sourceOf, wires, type Box, type Graph, type Subgraph, type SubgraphPort, type Workflow, type WorkflowNode } from "./workflow";

/** A subgraph with two nodes that stand for its border, so that every edit works on it as on any graph. */
function opened(subgraph: Subgraph): Subgraph {
  const outputs = Object.fromEntries(subgraph.outputs.flatMap((port) => (port.from ? [[port.name, { from: port.from }]] : [])));
  const boxes = Object.values(subgraph.layout).map((box) => box.position);
  const [left, right] = [Math.min(0, ...boxes.map(([x]) => x)), Math.max(0, ...boxes.map(([x]) => x))];
  return {
    ...subgraph,
    nodes: { ...subgraph.nodes, [INPUTS]: { type: INPUTS, inputs: {} }, [OUTPUTS]: { type: OUTPUTS, inputs: outputs } },
    layout: { [INPUTS]: { position: [left - 300, 0] }, [OUTPUTS]: { position: [right + 340, 0] }, ...subgraph.layout },
  };
}

function closed(subgraph: Subgraph): Subgraph {
  const links = subgraph.nodes[OUTPUTS]?.inputs ?? {};
  const outputs = subgraph.outputs.map((port): SubgraphPort => {
    const { from: _from, ...rest } = port;
    const value = links[port.name] as { from?: string } | undefined;
    return value?.from ? { ...rest, from: value.from } : rest;
  });
  return { ...subgraph, outputs, nodes: without(subgraph.nodes, INPUTS, OUTPUTS) };
}

/** Names of the subgraphs that a path of node ids leads through; shorter than the path when something on it is gone. */
export function namesAlong(workflow: Workflow, path: readonly string[]): string[] {
  const names: string[] = [];
  let graph: Graph | undefined = workflow;
  for (const id of path) {
    const name: string | null = subgraphName(graph?.nodes[id]?.type ?? "");
    graph = name === null ? undefined : workflow.subgraphs[name];
    if (name === null || !graph) break;
    names.push(name);
  }
  return names;
}

/** The graph at the end of `path`, ids of the nodes that were entered; the workflow itself when it is empty or broken. */
export function graphAt(workflow: Workflow, path: readonly string[]): Graph {
  const name = namesAlong(workflow, path).at(-1);
  const subgraph = name === undefined ? undefined : workflow.subgraphs[name];
  return subgraph ? opened(subgraph) : workflow;
}

export function changeAt(workflow: Workflow, path: readonly string[], change: (graph: Graph) => Graph): Workflow {
  const name = namesAlong(workflow, path).at(-1);
  const subgraph = name === undefined ? undefined : workflow.subgraphs[name];
  if (name === undefined || !subgraph) return change(workflow) as Workflow;
  const next = change(opened(subgraph)) as Subgraph;
  return { ...workflow, subgraphs: { ...workflow.subgraphs, [name]: closed(next) } };
}

/** Gives an open subgraph a new input (or output) of a port's name and type, linked to it; a literal stays its default. */
export function promote(graph: Graph, loose: { readonly node: string; readonly port: string; readonly side: "source" | "target"; readonly type: string }): Graph {
  const open = graph as Subgraph;
  const key = loose.side === "target" ? "inputs" : "outputs";
  const name = unique(loose.port, (one) => open[key].some((port) => port.name === one));
  const value = key === "inputs" ? open.nodes[loose.node]?.inputs[loose.port] : undefined;
  const port: SubgraphPort = { name, type: loose.type, ...(value === undefined || sourceOf(value) ? {} : { default: value }) };
  const grown: Subgraph = { ...open, [key]: [...open[key], port] };
  return key === "inputs" ? connect(grown, INPUTS, name, loose.node, loose.port) : connect(grown, loose.node, loose.port, OUTPUTS, name);
}

/** Moves nodes of the graph at the end of `path` into a new subgraph, with one node in their place. */
export function makeSubgraph(
  defs: Definitions, workflow: Workflow, path: readonly string[], ids: readonly string[], wish: string,
): { workflow: Workflow; id: string } {
  const graph = graphAt(workflow, path);
  const chosen = new Set(ids);
  const name = unique(wish, (one) => one in workflow.subgraphs);
  const inputs: SubgraphPort[] = [];
  const outputs: SubgraphPort[] = [];
  const outer: Record<string, Json> = {};
  let inner: Graph = { nodes: pick(graph.nodes, ids), layout: pick(graph.layout, ids), groups: [] };
  let rest = graph;
  const typeOf = (node: string, output: string) => {
    const source = graph.nodes[node];
    return (source && outputOf(definitionOf(defs, workflow, node, source, graph), output)?.type) ?? "*";
  };
  const known = new Map<string, string>();
  const id = unique("subgraph", (one) => one in graph.nodes);
  for (const wire of wires(graph)) {
    const [from, to] = [chosen.has(wire.node), chosen.has(wire.target)];
    const key = `${from ? "out" : "in"} ${wire.node}.${wire.output}`;
    if (from === to) continue;
    const ports = from ? outputs : inputs;
    const port = known.get(key) ?? unique(from ? wire.output : wire.input, (one) => ports.some((other) => other.name === one));
    if (!known.has(key)) {
      ports.push({ name: port, type: typeOf(wire.node, wire.output), ...(from ? { from: `${wire.node}.${wire.output}` } : {}) });
      known.set(key, port);
      if (!from) outer[port] = linkTo(wire.node, wire.output);
    }
    if (from) rest = setValue(rest, wire.target, wire.input, linkTo(id, port));
    else inner = setValue(inner, wire.target, wire.input, linkTo(INPUTS, port));
  }
  const { position } = boxOf(graph, ids[0] ?? "");
  const changed = changeAt(workflow, path, () => ({
    ...rest,
    nodes: { ...without(rest.nodes, ...ids), [id]: { type: subgraphType(name), title: name, inputs: outer } },
    layout: { ...without(rest.layout, ...ids), [id]: { position } },
  }));
  return { id, workflow: { ...changed, subgraphs: { ...changed.subgraphs, [name]: { inputs, outputs, ...inner } } } };
}

const pick = <T>(record: Readonly<Record<string, T>>, ids: readonly string[]): Record<string, T> =>
  Object.fromEntries(ids.flatMap((id) => (record[id] === undefined ? [] : [[id, record[id]]])));

/** Puts a subgraph's nodes in the place of its node in the graph at the end of `path`; a subgraph that nothing uses any more is dropped. */
export function unpack(workflow: Workflow, path: readonly string[], id: string): Workflow {
  const type = graphAt(workflow, path).nodes[id]?.type ?? "";
  const name = subgraphName(type) ?? "";
  const subgraph = workflow.subgraphs[name];
  if (!subgraph) return workflow;
  const next = changeAt(workflow, path, (graph) => unpacked(graph, id, subgraph));
  const used = [next, ...Object.values(next.subgraphs)].some((graph) => Object.values(graph.nodes).some((one) => one.type === type));
  return used ? next : { ...next, subgraphs: without(next.subgraphs, name) };
}

function unpacked(graph: Graph, id: string, subgraph: Subgraph): Graph {
  const renamed = new Map(Object.keys(subgraph.nodes).map((inner) => [inner, unique(inner, (one) => one in graph.nodes)]));
  const resolve = (value: Json): Json | undefined => {
    const source = sourceOf(value);
    if (!source) return value;
    if (source.node !== INPUTS) return linkTo(renamed.get(source.node) ?? source.node, source.output);
    return graph.nodes[id]?.inputs[source.output] ?? subgraph.inputs.find((port) => port.name === source.output)?.default;
  };
  const [x, y] = boxOf(graph, id).position;
  const [left, top] = cornerOf(Object.values(subgraph.layout).map((box) => box.position));
  const nodes: Record<string, WorkflowNode> = { ...graph.nodes };
  const layout: Record<string, Box> = { ...graph.layout };
  for (const [inner, fresh] of renamed) {
    const one = subgraph.nodes[inner] as WorkflowNode;
    const inputs = Object.entries(one.inputs).map(([key, value]) => [key, resolve(value)] as const).filter(([, value]) => value !== undefined);
    nodes[fresh] = { ...one, inputs: Object.fromEntries(inputs) as Record<string, Json> };
    const box = boxOf(subgraph, inner);
    layout[fresh] = { ...box, position: [x + box.position[0] - left, y + box.position[1] - top] };
  }
  let next: Graph = { ...graph, nodes, layout };
  for (const wire of wires(graph).filter((one) => one.node === id)) {
    const port = subgraph.outputs.find((one) => one.name === wire.output) ?? subgraph.outputs[Number(wire.output)];
    const value = port?.from === undefined ? undefined : resolve({ from: port.from });
    if (value !== undefined) next = setValue(next, wire.target, wire.input, value);
  }
  return remove(next, [id]);
}
