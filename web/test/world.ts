/** A small world for the tests: a few node definitions and a workflow of them. */
import { definitions, type NodeDef, type OutputPort, type Port } from "../src/graph/schema";
import { EMPTY, type Workflow } from "../src/graph/workflow";

export const port = (name: string, type: string, more: Partial<Port> = {}): Port => ({
  name, type, required: true, default: null, field: null, lazy: false, list: false, grows: "", advanced: false, description: "", judged: [], ...more,
});
export const out = (name: string, type = name): OutputPort => ({ name, type, list: false, description: "" });
export const def = (type: string, inputs: readonly Port[], outputs: readonly OutputPort[], more: Partial<NodeDef> = {}): NodeDef => ({
  type, title: type, category: "test", description: "", inputs, outputs, output_node: false, device: false, volatile: false, deprecated: false,
  experimental: false, more: null, checks: false, aliases: [], pack: "", digest: "", example: "", ...more,
});

const steps = port("steps", "INT", { default: 20, field: { type: "integer", minimum: 1, maximum: 100 } });
const seed = port("seed", "INT", { default: 0, field: { type: "integer", minimum: 0, widget: "seed" } });

export const DEFS = definitions([
  def("Load", [port("name", "COMBO", { field: { type: "string", folder: "models" } })], [out("MODEL"), out("VAE")]),
  def("Number", [port("value", "INT", { default: 1, field: { type: "integer" } })], [out("INT")], { aliases: ["OldNumber"] }),
  def("Noise", [], [out("LATENT")]),
  def("Sample", [port("model", "MODEL"), port("latent", "LATENT"), steps, seed], [out("LATENT")]),
  def("SampleFast", [port("model", "MODEL"), port("latent", "LATENT"), steps], [out("LATENT")]),
  def("Decode", [port("latent", "LATENT"), port("vae", "VAE")], [out("IMAGE")]),
  def("Save", [port("image", "IMAGE")], [], { output_node: true }),
]);

export const CHAIN: Workflow = {
  ...EMPTY,
  name: "chain",
  nodes: {
    load: { type: "Load", inputs: { name: "a.safetensors" } },
    noise: { type: "Noise", inputs: {} },
    sample: { type: "Sample", inputs: { model: { from: "load.MODEL" }, latent: { from: "noise.LATENT" }, steps: 20, seed: 7 } },
    decode: { type: "Decode", inputs: { latent: { from: "sample.LATENT" }, vae: { from: "load.VAE" } } },
    save: { type: "Save", inputs: { image: { from: "decode.IMAGE" } } },
  },
  layout: {
    load: { position: [0, 0] }, noise: { position: [0, 200] }, sample: { position: [300, 0] }, decode: { position: [600, 0] }, save: { position: [900, 0] },
  },
};
export const models = (folder: string): readonly string[] | undefined => (folder === "models" ? ["a.safetensors", "b.safetensors"] : undefined);
