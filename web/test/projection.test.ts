/** What a change costs: only what changed is made anew, so that React draws only that. */
import { beforeEach, expect, test } from "vitest";
import { drawing } from "../src/canvas/Overview";
import { estimate } from "../src/canvas/estimate";
import { takeNodeChanges } from "../src/canvas/gestures";
import { startProjection } from "../src/canvas/projection";
import { connect, disconnect, move, remove, setValue } from "../src/graph/edit";
import { replaceNode } from "../src/graph/replace";
import type { Workflow } from "../src/graph/workflow";
import { current, edit, open, redo, undo } from "../src/state/document";
import { useSchema } from "../src/state/schema";
import { useView } from "../src/state/view";
import { CHAIN, DEFS } from "./world";

/** Chains side by side, their ids ending in a number. */
function chains(count: number): Workflow {
  const nodes: Record<string, Workflow["nodes"][string]> = {};
  const layout: Record<string, Workflow["layout"][string]> = {};
  for (let i = 0; i < count; i += 1)
    for (const [id, node] of Object.entries(CHAIN.nodes)) {
      const own = Object.entries(node.inputs).map(([name, value]) => [name, (value as { from?: string }).from ? { from: (value as { from: string }).from.replace(".", `${i}.`) } : value]);
      nodes[`${id}${i}`] = { ...node, inputs: Object.fromEntries(own) };
      layout[`${id}${i}`] = { position: [CHAIN.layout[id]!.position[0], i * 500] };
    }
  return { ...CHAIN, nodes, layout };
}

const drawn = () => useView.getState();
/** Ids of what is not the very object that it was. */
const renewed = <T extends { readonly id: string }>(before: readonly T[], after: readonly T[]) => after.filter((one, index) => one !== before[index]).map((one) => one.id);

startProjection();
beforeEach(() => {
  useSchema.setState({ definitions: DEFS });
  open(chains(20));
});

test("every node and link is drawn, each link with the type of its source", () => {
  expect([drawn().nodes.length, drawn().edges.length]).toEqual([100, 100]);
  expect(drawn().edges.find((edge) => edge.id === "decode3:vae")).toMatchObject({ source: "load3", sourceHandle: "VAE", data: { type: "VAE" } });
});

test("typing renews no node and no link, and neither does undoing it", () => {
  const before = drawn();
  edit((graph) => setValue(graph, "sample4", "steps", 21));
  expect([drawn().nodes, drawn().edges]).toEqual([before.nodes, before.edges]);
  expect([drawn().nodes === before.nodes, drawn().edges === before.edges]).toEqual([true, true]);
  undo();
  expect([drawn().nodes === before.nodes, drawn().edges === before.edges]).toEqual([true, true]);
});

test("undoing a move renews the node that was moved, and no link", () => {
  const before = drawn();
  edit((graph) => move(graph, new Map([["sample4", [7, 9]]])));
  for (const act of [undo, redo, undo]) {
    const last = drawn();
    act();
    expect(renewed(last.nodes, drawn().nodes)).toEqual(["sample4"]);
    expect(drawn().edges).toBe(before.edges);
  }
  expect(drawn().nodes.find((node) => node.id === "sample4")!.position).toEqual({ x: 300, y: 2000 });
});

test("dragging a node renews no other", () => {
  const before = drawn().nodes;
  takeNodeChanges([{ type: "position", id: "save9", position: { x: 1, y: 2 }, dragging: true }]);
  expect(renewed(before, drawn().nodes)).toEqual(["save9"]);
});

test("linking, unlinking and undoing both renew the link alone", () => {
  const before = drawn();
  edit((graph) => connect(graph, "load1", "VAE", "decode0", "vae"));
  expect(renewed(before.edges, drawn().edges)).toEqual(["decode0:vae"]);
  edit((graph) => disconnect(graph, "decode0", "vae"));
  expect(drawn().edges).toHaveLength(99);
  undo();
  undo();
  const kept = new Set(before.edges);
  expect(drawn().edges.filter((edge) => !kept.has(edge)).map((edge) => edge.id)).toEqual(["decode0:vae"]);
  expect(drawn().nodes).toBe(before.nodes);
});

test("removing a node and undoing it bring back its links, and renew no other node", () => {
  const before = drawn();
  edit((graph) => remove(graph, ["sample2"]));
  expect([drawn().nodes.length, drawn().edges.length]).toEqual([99, 97]);
  undo();
  const kept = new Set<unknown>([...before.nodes, ...before.edges]);
  expect(drawn().nodes.filter((node) => !kept.has(node)).map((node) => node.id)).toEqual(["sample2"]);
  expect(drawn().edges.filter((edge) => !kept.has(edge)).map((edge) => edge.id).toSorted()).toEqual(["decode2:latent", "sample2:latent", "sample2:model"]);
});

test("a node of another type is a new card, measured anew", () => {
  takeNodeChanges([{ type: "dimensions", id: "sample0", dimensions: { width: 264, height: 199 } }]);
  expect(drawn().nodes.find((node) => node.id === "sample0")).not.toHaveProperty("handles");
  edit((graph) => replaceNode(DEFS, current().workflow, graph, "sample0", DEFS.get("SampleFast")!).graph);
  const card = drawn().nodes.find((node) => node.id === "sample0")!;
  expect([card.measured!.height, card.handles!.map((handle) => handle.id)]).toEqual([54 + 2 * 26 + 34, ["model", "latent", "LATENT", "steps"]]);
});

test("a large graph needs no card drawn to know where its sockets are; a small one is measured", () => {
  expect(drawn().nodes.every((node) => node.measured && node.handles)).toBe(true);
  open(CHAIN);
  expect(drawn().nodes.some((node) => node.measured ?? node.handles)).toBe(false);
});

test("sockets are where the card's rows put them, and on the title when it is collapsed", () => {
  const node = CHAIN.nodes.sample!;
  const full = estimate(DEFS.get("Sample")!, node, undefined);
  expect(full.measured).toEqual({ width: 264, height: 54 + 2 * 26 + 2 * 34 });
  expect(full.handles.map(({ id, type, x, y }) => [id, type, x + 12, y + 12])).toEqual([
    ["model", "target", 1, 56], ["latent", "target", 1, 82], ["LATENT", "source", 263, 56], ["steps", "target", 1, 112], ["seed", "target", 1, 146],
  ]);
  const linked = estimate(DEFS.get("Sample")!, { ...node, inputs: { steps: { from: "n.INT" } } }, { position: [0, 0], size: [300, 1] });
  expect(linked.measured).toEqual({ width: 300, height: 54 + 2 * 26 + 32 + 34 });
  const folded = estimate(DEFS.get("Sample")!, node, { position: [0, 0], collapsed: true });
  expect([folded.measured.height, new Set(folded.handles.map((handle) => handle.y + 12))]).toEqual([50, new Set([43])]);
});

test("the overview is one path, however many cards there are", () => {
  const { cards, frames, left, top, right, bottom } = drawing(drawn().nodes);
  expect([cards.split("z").length - 1, frames, left, top]).toEqual([100, "", 0, 0]);
  expect([right, bottom]).toEqual([900 + 264, 19 * 500 + 54 + 52 + 68]);
});
