import * as fc from "fast-check";
import { expect, test } from "vitest";
import { copy, paste, readPart } from "../src/graph/clipboard";
import * as edits from "../src/graph/edit";
import { addFrame, membersOf, toggleFrame } from "../src/graph/frames";
import { sourceOf, wires, type Graph } from "../src/graph/workflow";
import * as document from "../src/state/document";
import { CHAIN, DEFS } from "./world";

test("a linked input hides its value and gives it back when unlinked", () => {
  const number = edits.addNode(CHAIN, DEFS.get("Number")!, [0, 0]);
  const linked = edits.connect(number.graph, number.id, "INT", "sample", "steps");
  expect(linked.nodes.sample!.inputs.steps).toEqual({ from: "number.INT" });
  expect(edits.disconnect(linked, "sample", "steps").nodes).toEqual(number.graph.nodes);
});

test("an input holds one link: a new one replaces the old", () => {
  const second = edits.addNode(CHAIN, DEFS.get("Noise")!, [0, 0]);
  const relinked = edits.connect(second.graph, second.id, "LATENT", "sample", "latent");
  expect(wires(relinked).filter((wire) => wire.target === "sample" && wire.input === "latent")).toEqual([
    { node: "noise2", output: "LATENT", target: "sample", input: "latent" },
  ]);
});

test("a new node takes the defaults of its fields and draws its seeds", () => {
  const { graph, id } = edits.addNode(CHAIN, DEFS.get("Sample")!, [8, 16]);
  expect(id).toBe("sample2");
  expect(graph.nodes[id]).toEqual({ type: "Sample", inputs: { steps: 20, seed: 0 } });
  expect(graph.layout[id]).toEqual({ position: [8, 16], draw: ["seed"] });
});

test("seeds are drawn only where they are not fixed", () => {
  const drawn = edits.setDrawn(CHAIN, "sample", "seed", true);
  expect(edits.drawSeeds(drawn, () => 42).nodes.sample!.inputs.seed).toBe(42);
  expect(edits.drawSeeds(CHAIN, () => 42)).toBe(CHAIN);
  const inside = { ...CHAIN, nodes: {}, layout: {}, subgraphs: { Inner: { ...drawn, inputs: [], outputs: [] } } };
  expect(edits.drawSeeds(inside, () => 42).subgraphs.Inner!.nodes.sample!.inputs.seed).toBe(42);
});

test("removing a node removes its links and leaves the others", () => {
  expect(edits.remove(CHAIN, ["sample"]).nodes.decode!.inputs).toEqual({ vae: { from: "load.VAE" } });
});

test("pasted nodes keep links among themselves, and those from outside only when asked", () => {
  const part = readPart(copy(CHAIN, ["sample", "decode"]))!;
  const plain = paste(CHAIN, part, [0, 500]);
  expect(plain.ids).toEqual(["sample2", "decode2"]);
  expect(plain.graph.nodes.sample2!.inputs).toEqual({ steps: 20, seed: 7 });
  expect(plain.graph.nodes.decode2!.inputs).toEqual({ latent: { from: "sample2.LATENT" } });
  expect(plain.graph.layout.decode2!.position).toEqual([300, 500]);
  const linked = paste(CHAIN, part, [0, 500], true);
  expect(linked.graph.nodes.sample2!.inputs.model).toEqual({ from: "load.MODEL" });
});

test("bypassing a frame bypasses what lies in it, and undoing it restores what was bypassed before", () => {
  const before = edits.setMode(CHAIN, ["decode"], "bypass");
  const framed = addFrame(before, ["sample", "decode"], new Map(), "Part");
  expect(membersOf(framed, framed.groups[0]!, new Map())).toEqual(["sample", "decode"]);
  const bypassed = toggleFrame(framed, 0, new Map());
  expect([bypassed.nodes.sample!.mode, bypassed.nodes.decode!.mode, bypassed.nodes.load!.mode]).toEqual(["bypass", "bypass", undefined]);
  expect(toggleFrame(bypassed, 0, new Map())).toEqual(framed);
});

const ids = fc.constantFrom(...Object.keys(CHAIN.nodes));
const step = fc.oneof(
  ids.map((id) => (graph: Graph) => edits.remove(graph, [id])),
  fc.tuple(ids, ids).map(([a, b]) => (graph: Graph) => (graph.nodes[a] && graph.nodes[b] ? edits.connect(graph, a, "LATENT", b, "latent") : graph)),
  ids.map((id) => (graph: Graph) => edits.disconnect(graph, id, "latent")),
  ids.map((id) => (graph: Graph) => (graph.nodes[id] ? paste(graph, readPart(copy(graph, [id]))!, [0, 0], true).graph : graph)),
  ids.map((id) => (graph: Graph) => (graph.nodes[id] ? edits.toggleMode(graph, [id], "bypass") : graph)),
);

test("whatever is edited, every link comes from a node that is there", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const graph = steps.reduce<Graph>((next, change) => change(next), CHAIN);
      const broken = Object.values(graph.nodes).flatMap((node) => Object.values(node.inputs)).map(sourceOf).filter((source) => source && !graph.nodes[source.node]);
      expect(broken).toEqual([]);
    }),
    { numRuns: 200 },
  );
});

test("whatever is edited, undo leads back step by step, and redo forth", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      document.open(CHAIN);
      const seen = [CHAIN as Graph];
      for (const change of steps) {
        const before = document.current().past.length;
        document.edit(change);
        if (document.current().past.length > before) seen.push(document.current().graph);
      }
      for (const state of seen.slice(0, -1).reverse()) {
        document.undo();
        expect(document.current().graph).toEqual(state);
      }
      for (const state of seen.slice(1)) {
        document.redo();
        expect(document.current().graph).toEqual(state);
      }
    }),
    { numRuns: 100 },
  );
});

test("an edit leaves the graph it was given as it was", () => {
  const before = JSON.stringify(CHAIN);
  edits.remove(edits.setValue(CHAIN, "sample", "steps", 5), ["load"]);
  expect(JSON.stringify(CHAIN)).toBe(before);
});
