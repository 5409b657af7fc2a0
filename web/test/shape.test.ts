import { expect, test } from "vitest";
import { arranged } from "../src/graph/arrange";
import { find, score } from "../src/graph/find";
import { changeItem, formItems, moveItem, toggleMark } from "../src/graph/form";
import { markdown } from "../src/graph/markdown";
import { replaceNode, replacements } from "../src/graph/replace";
import { asCurl, asPython } from "../src/graph/snippets";
import { changeAt, graphAt, makeSubgraph, promote, unpack } from "../src/graph/subgraph";
import { inOrder } from "../src/graph/workflow";
import { setValue } from "../src/graph/edit";
import { definitionOf } from "../src/graph/schema";
import { CHAIN, DEFS } from "./world";

test("replacing keeps the links and values that fit, and says what is lost", () => {
  const result = replaceNode(DEFS, CHAIN, CHAIN, "sample", DEFS.get("SampleFast")!);
  expect(result.graph.nodes.sample).toEqual({ type: "SampleFast", inputs: { model: { from: "load.MODEL" }, latent: { from: "noise.LATENT" }, steps: 20 } });
  expect(result.graph.nodes.decode).toEqual(CHAIN.nodes.decode);
  expect([result.kept, result.lost]).toEqual([4, ["seed"]]);
  expect(replacements(DEFS, CHAIN, CHAIN, "sample")[0]?.def.type).toBe("SampleFast");
});

test("a subgraph made of a selection and unpacked again gives the same graph", () => {
  const made = makeSubgraph(DEFS, CHAIN, [], ["sample", "decode"], "Part");
  expect(made.workflow.nodes[made.id]).toEqual({
    type: "subgraph/Part", title: "Part", inputs: { model: { from: "load.MODEL" }, latent: { from: "noise.LATENT" }, vae: { from: "load.VAE" } },
  });
  expect(made.workflow.subgraphs.Part!.outputs).toEqual([{ name: "IMAGE", type: "IMAGE", from: "decode.IMAGE" }]);
  expect(made.workflow.nodes.save!.inputs).toEqual({ image: { from: "subgraph.IMAGE" } });
  const back = unpack(made.workflow, [], made.id);
  expect(back.nodes).toEqual(CHAIN.nodes);
  expect(back.subgraphs).toEqual({});
});

test("a subgraph is made inside a subgraph, and unpacked there", () => {
  const outer = makeSubgraph(DEFS, CHAIN, [], ["sample", "decode"], "Part");
  const inner = makeSubgraph(DEFS, outer.workflow, [outer.id], ["decode"], "Part");
  expect(inner.workflow.nodes).toEqual(outer.workflow.nodes);
  expect(inner.workflow.subgraphs.Part2).toMatchObject({
    inputs: [{ name: "latent", type: "LATENT" }, { name: "vae", type: "VAE" }], outputs: [{ name: "IMAGE", type: "IMAGE", from: "decode.IMAGE" }],
  });
  expect(inner.workflow.subgraphs.Part).toMatchObject({
    nodes: { [inner.id]: { type: "subgraph/Part2", inputs: { latent: { from: "sample.LATENT" }, vae: { from: "$inputs.vae" } } } },
    outputs: [{ name: "IMAGE", type: "IMAGE", from: `${inner.id}.IMAGE` }],
  });
  expect(Object.keys(graphAt(inner.workflow, [outer.id, inner.id]).nodes)).toEqual(["decode", "$inputs", "$outputs"]);
  const back = unpack(inner.workflow, [outer.id], inner.id);
  expect(back.subgraphs).toMatchObject({ Part: { nodes: outer.workflow.subgraphs.Part!.nodes, outputs: outer.workflow.subgraphs.Part!.outputs } });
  expect(Object.keys(back.subgraphs)).toEqual(["Part"]);
});

test("inside a subgraph every edit works as outside", () => {
  const { workflow, id } = makeSubgraph(DEFS, CHAIN, [], ["sample", "decode"], "Part");
  expect(Object.keys(graphAt(workflow, [id]).nodes)).toEqual(["sample", "decode", "$inputs", "$outputs"]);
  const edited = changeAt(workflow, [id], (graph) => setValue(graph, "sample", "steps", 3));
  expect(edited.subgraphs.Part!.nodes.sample!.inputs.steps).toBe(3);
  expect(edited.subgraphs.Part!.outputs).toEqual(workflow.subgraphs.Part!.outputs);
  expect(Object.keys(edited.subgraphs.Part!.nodes)).toEqual(["sample", "decode"]);
});

test("an inner input becomes an input of the subgraph", () => {
  const { workflow, id } = makeSubgraph(DEFS, CHAIN, [], ["sample", "decode"], "Part");
  const next = changeAt(workflow, [id], (graph) => promote(graph, { node: "sample", port: "steps", side: "target", type: "INT" }));
  expect(next.subgraphs.Part!.inputs.at(-1)).toEqual({ name: "steps", type: "INT", default: 20 });
  expect(next.subgraphs.Part!.nodes.sample!.inputs.steps).toEqual({ from: "$inputs.steps" });
  expect(definitionOf(DEFS, next, id, next.nodes[id]!).inputs.at(-1)?.field).toEqual({ type: "integer", minimum: 1, maximum: 100 });
  expect(unpack(next, [], id).nodes.sample!.inputs.steps).toBe(20);
});

test("a subgraph that holds itself is drawn without end", () => {
  const inner = { inputs: [{ name: "x", type: "INT" }], outputs: [], nodes: { a: { type: "subgraph/Loop", inputs: { x: { from: "$inputs.x" } } } }, layout: {} };
  const workflow = { ...CHAIN, subgraphs: { Loop: inner } };
  expect(definitionOf(DEFS, workflow, "a", inner.nodes.a).inputs[0]?.name).toBe("x");
});

test("nodes are found by title, id, type and value", () => {
  const hits = (query: string) => find(DEFS, CHAIN, CHAIN, query).map((hit) => [hit.node, hit.where]);
  expect(hits("safetensors")).toEqual([["load", "name: a.safetensors"]]);
  expect(hits("deco")).toEqual([["decode", ""]]);
});

test("a search prefers a name's beginning and knows initials", () => {
  expect(score("sa", "Save")).toBeGreaterThan(score("sa", "Universal"));
  expect(score("vd", "VaeDecode")).toBeGreaterThan(0);
  expect(score("zz", "Save")).toBe(0);
});

test("the form shows what was marked, in its order, or else what is likely to matter", () => {
  expect(formItems(DEFS, CHAIN)).toEqual([{ node: "sample", input: "seed" }]);
  const marked = toggleMark(toggleMark(CHAIN, "sample", "steps"), "load", "name");
  expect(formItems(DEFS, moveItem(changeItem(marked, 1, { label: "Model" }), 1, -1))).toEqual([
    { node: "load", input: "name", label: "Model" }, { node: "sample", input: "steps" },
  ]);
  expect(toggleMark(marked, "load", "name").form).toEqual([{ node: "sample", input: "steps" }]);
});

test("the outline lists each node after those it needs", () => {
  expect(inOrder(CHAIN)).toEqual(["load", "noise", "sample", "decode", "save"]);
  expect(inOrder({ nodes: { a: { type: "A", inputs: { x: { from: "b.X" } } }, b: { type: "B", inputs: { x: { from: "a.X" } } } }, layout: {} })).toHaveLength(2);
});

test("arranged nodes stand left of those that need them, around the same corner", async () => {
  const places = await arranged(CHAIN, Object.keys(CHAIN.nodes), new Map());
  const x = (id: string) => places.get(id)![0];
  expect(x("load")).toBeLessThan(x("sample"));
  expect(x("sample")).toBeLessThan(x("decode"));
  expect(Math.min(...[...places.values()].map((place) => place[0]))).toBe(0);
});

test("Markdown becomes a tree; markup in it stays text", () => {
  expect(markdown("Takes `x`.\n\n- **one**\n- [two](https://example.org/)\n- [bad](javascript:alert(1))\n\n<img src=x>")).toEqual([
    { kind: "paragraph", inline: [{ kind: "text", text: "Takes " }, { kind: "code", text: "x" }, { kind: "text", text: "." }] },
    {
      kind: "list",
      items: [[{ kind: "strong", text: "one" }], [{ kind: "link", text: "two", href: "https://example.org/" }], [{ kind: "text", text: "[bad](javascript:alert(1))" }]],
    },
    { kind: "paragraph", inline: [{ kind: "text", text: "<img src=x>" }] },
  ]);
});

test("snippets quote whatever is in a prompt", () => {
  const workflow = { ...CHAIN, name: `it's "quoted"` };
  expect(asCurl("http://h", workflow)).toContain(`it'\\''s`);
  expect(asPython("http://h", workflow)).toContain('json.loads("');
});
