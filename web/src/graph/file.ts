/** Reads untrusted workflow files; writes stable ones. Opening never runs anything. */
import { depth, isRecord, parseJson, writeJson, type Json } from "./json";
import type { Box, Graph, Group, Position, Subgraph, SubgraphPort, Workflow, WorkflowNode } from "./workflow";

export const LIMITS = { bytes: 10_000_000, nodes: 10_000, depth: 64, parts: 400_000 } as const;

export type FileProblem = "file.notJson" | "file.tooLarge" | "file.tooMany" | "file.tooDeep" | "file.foreign";

/** A file that cannot be opened; `problem` is the key of a sentence. */
export class UnreadableFile extends Error {
  constructor(readonly problem: FileProblem) {
    super(problem);
  }
}

const finite = (value: unknown, fallback: number): number =>
  typeof value === "number" && Number.isFinite(value) && Math.abs(value) < 1e7 ? value : fallback;
const pair = (value: unknown): Position => {
  const list = Array.isArray(value) ? value : [];
  return [finite(list[0], 0), finite(list[1], 0)];
};
const text = (value: unknown): string => (typeof value === "string" ? value : "");
const entries = (value: unknown): [string, Record<string, Json>][] =>
  isRecord(value) ? Object.entries(value).filter((entry): entry is [string, Record<string, Json>] => isRecord(entry[1])) : [];

function cleanNode(node: Record<string, Json>): WorkflowNode {
  const { title, mode, frozen, ...rest } = node;
  return {
    ...rest,
    type: text(node.type),
    inputs: isRecord(node.inputs) ? node.inputs : {},
    ...(typeof title === "string" ? { title } : {}),
    ...(mode === "bypass" || mode === "mute" ? { mode } : {}),
    ...(typeof frozen === "string" && /^[0-9a-f]{64}$/.test(frozen) ? { frozen } : {}),
  };
}

function cleanBox(box: Record<string, Json>): Box {
  const { size, color, collapsed, values, draw, bends, ...rest } = box;
  return {
    ...rest,
    position: pair(box.position),
    ...(Array.isArray(size) ? { size: pair(size) } : {}),
    ...(collapsed === true ? { collapsed } : {}),
    ...(typeof color === "string" ? { color } : {}),
    ...(isRecord(values) ? { values } : {}),
    ...(Array.isArray(draw) ? { draw: draw.map(String) } : {}),
    ...(isRecord(bends)
      ? { bends: Object.fromEntries(Object.entries(bends).map(([k, v]) => [k, Array.isArray(v) ? v.map(pair) : []])) }
      : {}),
  };
}

function cleanGroup(group: Record<string, Json>): Group {
  const { color, modes, note, ...rest } = group;
  const [x, y] = pair(group.bounds);
  const [w, h] = pair((Array.isArray(group.bounds) ? group.bounds : []).slice(2));
  return {
    ...rest, title: text(group.title), bounds: [x, y, Math.max(w, 80), Math.max(h, 60)],
    ...(typeof color === "string" ? { color } : {}),
    ...(typeof note === "string" ? { note } : {}),
    ...(isRecord(modes) ? { modes: modes as Record<string, string> } : {}),
  };
}

/** Nodes, layout and frames with every missing or mad part mended. */
export function clean(json: Readonly<Record<string, Json>>): Graph {
  const nodes = Object.fromEntries(entries(json.nodes).map(([id, node]) => [id, cleanNode(node)]));
  const boxes = new Map(entries(json.layout));
  const layout: Record<string, Box> = {};
  let row = 0;
  for (const id of Object.keys(nodes)) {
    const box = boxes.get(id);
    layout[id] = box ? cleanBox(box) : { position: [(row % 5) * 320, Math.floor(row / 5) * 360] };
    if (!box) row += 1;
  }
  for (const [id, box] of boxes) if (id.startsWith("$")) layout[id] = cleanBox(box);
  const groups = (Array.isArray(json.groups) ? (json.groups as readonly Json[]) : []).filter(isRecord).map(cleanGroup);
  return { nodes, layout, groups };
}

function cleanSubgraph(json: Record<string, Json>): Subgraph {
  const ports = (value: Json | undefined): SubgraphPort[] =>
    (Array.isArray(value) ? (value as readonly Json[]) : []).filter(isRecord).map((port) => ({ ...port, name: text(port.name), type: text(port.type) || "*" }));
  return { ...json, inputs: ports(json.inputs), outputs: ports(json.outputs), ...clean(json) };
}

export function cleanWorkflow(json: Readonly<Record<string, Json>>): Workflow {
  const subgraphs = Object.fromEntries(entries(json.subgraphs).map(([name, subgraph]) => [name, cleanSubgraph(subgraph)]));
  const form = Array.isArray(json.form) ? (json.form as readonly Json[]).filter(isRecord) : undefined;
  const { form: _form, ...rest } = json;
  const { nodes, layout, groups } = clean(json);
  return {
    ...rest, graphflow: 1, name: text(json.name), description: text(json.description), nodes, layout, groups: groups ?? [], subgraphs,
    ...(form ? { form: form.map((item) => ({ ...item, node: text(item.node), input: text(item.input) })) } : {}),
  };
}

/** Whether a parsed file is in our own format, not another program's. */
export function isOurs(json: Json): json is Record<string, Json> {
  return isRecord(json) && "graphflow" in json && isRecord(json.nodes);
}

/** How many objects, lists and strings a text may hold at most: told before it is read, so that no file freezes the page. */
function parts(source: string): number {
  let count = 0;
  for (let i = 0; i < source.length; i += 1) {
    const code = source.charCodeAt(i);
    if (code === 123 || code === 91 || code === 44) count += 1; // { [ ,
  }
  return count;
}

/** Nodes of a workflow and of its subgraphs. */
const size = (json: Record<string, Json>): number =>
  Object.keys(json.nodes ?? {}).length + entries(json.subgraphs).reduce((sum, [, inner]) => sum + Object.keys(inner.nodes ?? {}).length, 0);

/** Reads a workflow. Throws `UnreadableFile`; `file.foreign` means that the server may still convert it. */
export function readWorkflow(source: string): Workflow {
  if (source.length > LIMITS.bytes) throw new UnreadableFile("file.tooLarge");
  if (parts(source) > LIMITS.parts) throw new UnreadableFile("file.tooMany");
  let json: Json;
  try {
    json = parseJson(source);
  } catch (error) {
    throw new UnreadableFile(error instanceof RangeError ? "file.tooDeep" : "file.notJson");
  }
  if (depth(json) > LIMITS.depth) throw new UnreadableFile("file.tooDeep");
  if (!isOurs(json)) throw new UnreadableFile("file.foreign");
  if (size(json) > LIMITS.nodes) throw new UnreadableFile("file.tooMany");
  return cleanWorkflow(json);
}

/** The file's text: the same workflow gives the same bytes. */
export const writeWorkflow = (workflow: Workflow): string => `${writeJson(workflow, 2)}\n`;
