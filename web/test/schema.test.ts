import { expect, test } from "vitest";
import { insertInto, openPlaces, refusal } from "../src/graph/connect";
import { addNode } from "../src/graph/edit";
import { definitionOf, fits, widgetOf } from "../src/graph/schema";
import { CHAIN, DEFS } from "./world";

test.each([
  ["IMAGE", "IMAGE", true], ["IMAGE", "MASK", false], ["*", "MASK", true], ["IMAGE", "*", true], ["INT", "FLOAT", true], ["FLOAT", "INT", false],
  ["INT", "INT|FLOAT", true], ["BOOLEAN", "INT", true], ["COMBO", "STRING", true], ["IMAGE|MASK", "MASK", true],
])("an output %s to an input %s: %s", (source, target, answer) => expect(fits(source, target)).toBe(answer));

test.each([
  [{ type: "integer", minimum: 1, maximum: 10000 }, { kind: "number", whole: true, step: 1, min: 1, max: 10000 }],
  [{ type: "number", minimum: 0, maximum: 1, step: 0.05 }, { kind: "slider", whole: false, step: 0.05, min: 0, max: 1 }],
  [{ type: "integer", widget: "seed", minimum: 0 }, { kind: "seed", whole: true, step: 1, min: 0 }],
  [{ type: "boolean" }, { kind: "toggle" }],
  [{ type: "string" }, { kind: "text" }],
  [{ type: "string", widget: "multiline" }, { kind: "multiline" }],
  [{ type: "string", widget: "color" }, { kind: "color", whole: false }],
  [{ type: "integer", widget: "color", maximum: 16777215 }, { kind: "color", whole: true }],
  [{ enum: ["a", "b"], type: "string" }, { kind: "choice", choices: ["a", "b"] }],
  [{ anyOf: [{ type: "null" }, { type: "boolean" }] }, { kind: "toggle" }],
  [{ type: "string", folder: "loras", extra: ["None"] }, { kind: "choice", folder: "loras", extra: ["None"] }],
  [{ type: "string", folder: "input", media: "image" }, { kind: "image", folder: "input", media: "image", extra: [] }],
  [{ type: "array" }, { kind: "json" }],
])("the field %j is drawn as %j", (field, widget) => expect(widgetOf(field)).toEqual(widget));

test("links are refused with a reason: a wrong type, a circle, the node itself", () => {
  const why = (node: string, output: string, target: string, input: string) => refusal(DEFS, CHAIN, CHAIN, { node, output, target, input });
  expect(why("load", "VAE", "sample", "model")).toEqual(["refused.type", { from: "VAE", to: "MODEL", input: "model" }]);
  expect(why("sample", "LATENT", "sample", "latent")).toEqual(["refused.self", {}]);
  expect(why("noise", "LATENT", "decode", "latent")).toBeNull();
  const two = addNode(CHAIN, DEFS.get("Sample")!, [0, 0]).graph;
  const circle = { ...two, nodes: { ...two.nodes, sample2: { type: "Sample", inputs: { latent: { from: "sample.LATENT" } } } } };
  expect(refusal(DEFS, CHAIN, circle, { node: "sample2", output: "LATENT", target: "sample", input: "latent" })).toEqual(["refused.cycle", {}]);
});

test("every open place of a loose end is offered", () => {
  expect(openPlaces(DEFS, CHAIN, CHAIN, { node: "noise", port: "LATENT", side: "source", type: "LATENT" })).toEqual([
    { node: "sample", port: "latent" }, { node: "decode", port: "latent" },
  ]);
});

test("a node dropped on a link is put into it when both sides fit", () => {
  const { graph, id } = addNode(CHAIN, DEFS.get("SampleFast")!, [0, 0]);
  const link = { node: "sample", output: "LATENT", target: "decode", input: "latent" };
  const inserted = insertInto(DEFS, CHAIN, graph, id, link)!;
  expect(inserted.nodes.decode!.inputs.latent).toEqual({ from: "samplefast.LATENT" });
  expect(inserted.nodes.samplefast!.inputs.latent).toEqual({ from: "sample.LATENT" });
  expect(insertInto(DEFS, CHAIN, graph, "save", link)).toBeNull();
});

test("old names lead to the node of today; unknown types are read off the workflow", () => {
  expect(DEFS.get("OldNumber")?.type).toBe("Number");
  const node = { type: "Alien", inputs: { strength: 0.5, model: { from: "load.MODEL" } } };
  const workflow = { ...CHAIN, nodes: { ...CHAIN.nodes, alien: node, end: { type: "Save", inputs: { image: { from: "alien.PICTURE" } } } } };
  const def = definitionOf(DEFS, workflow, "alien", node);
  expect(def.unknown).toBe(true);
  expect(def.inputs.map((port) => [port.name, port.field])).toEqual([["strength", {}], ["model", null]]);
  expect(def.outputs.map((port) => port.name)).toEqual(["PICTURE"]);
});
