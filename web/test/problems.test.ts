import { expect, test } from "vitest";
import { difference, isSame } from "../src/graph/difference";
import { connect, move, remove, setFrozen, setMode, setValue } from "../src/graph/edit";
import { nearest, problems } from "../src/graph/problems";
import { CHAIN, DEFS, def, models, out, port } from "./world";

const found = (workflow: typeof CHAIN, targets?: readonly string[]) =>
  problems(DEFS, workflow, models, targets).map(({ node, input, code }) => [node, input, code]);

test("a workflow that can run has no problems", () => expect(found(CHAIN)).toEqual([]));

test("each problem is at its node and input", () => {
  let workflow = remove(CHAIN, ["noise"]);
  workflow = setValue(workflow, "sample", "steps", 500);
  workflow = setValue(workflow, "load", "name", "aa.safetensors");
  workflow = { ...workflow, nodes: { ...workflow.nodes, save: { type: "Save", inputs: { image: { from: "load.VAE" } } }, other: { type: "Save", inputs: { image: { from: "decode.IMAGE" } } } } };
  expect(found(workflow)).toEqual([
    ["load", "name", "missing_file"], ["sample", "latent", "needs_link"], ["sample", "steps", "too_large"], ["save", "image", "wrong_type"],
  ]);
  expect(problems(DEFS, workflow, models)[0]?.details).toEqual({ name: "aa.safetensors", nearest: ["a.safetensors", "b.safetensors"] });
});

test("what a node judges itself is left to it", () => {
  const own = port("steps", "INT", { field: { type: "integer", maximum: 100 }, judged: ["value"] });
  const defs = new Map([...DEFS, ["Sample", def("Sample", [port("model", "MODEL"), port("latent", "LATENT", { judged: ["link"] }), own], [out("LATENT")])]]);
  const workflow = setValue(connect(CHAIN, "load", "VAE", "sample", "latent"), "sample", "steps", 500);
  expect(found(workflow).map(([, input]) => input)).toEqual(["latent", "steps"]);
  expect(problems(defs, workflow, models)).toEqual([]);
});

test("only what the outputs need is looked at", () => {
  const loose = { ...CHAIN, nodes: { ...CHAIN.nodes, loose: { type: "Decode", inputs: {} } } };
  expect(found(loose)).toEqual([]);
  expect(found(loose, ["loose"])).toEqual([["loose", "latent", "needs_link"], ["loose", "vae", "needs_link"]]);
});

test("what is wrong in a frozen node and above it does not matter, until it is thawed or bypassed", () => {
  const key = "ab".repeat(32);
  const broken = setValue(remove(CHAIN, ["noise"]), "sample", "steps", 500);
  const frozen = setFrozen(broken, new Map([["sample", key]]));
  expect(found(frozen)).toEqual([]);
  expect(found(setFrozen(frozen, new Map([["sample", undefined]])))).toEqual(found(broken));
  expect(found(broken).length).toBe(2);
});

test("a workflow without outputs says that there is nothing to run", () => {
  expect(found(setMode(CHAIN, ["save"], "mute"))).toEqual([[null, null, "no_output"]]);
});

test("an unknown type is named, with the nearest known ones", () => {
  const workflow = { ...CHAIN, nodes: { ...CHAIN.nodes, save: { type: "Svae", inputs: {} } } };
  expect(problems(DEFS, workflow, models, ["save"]).map((one) => [one.code, one.details.type])).toEqual([["unknown_node", "Svae"]]);
  expect(nearest("samplefats", ["Decode", "Sample", "SampleFast"])[0]).toBe("SampleFast");
});

test("a difference names what was added, removed and changed; moves do not count", () => {
  const moved = move(CHAIN, new Map([["load", [500, 500] as const]]));
  expect(isSame(difference(CHAIN, moved))).toBe(true);
  const changed = setValue(remove(CHAIN, ["save"]), "sample", "steps", 30);
  expect(difference(CHAIN, changed)).toEqual({ added: [], removed: ["save"], changed: { sample: [{ input: "steps", before: 20, after: 30 }] } });
});
