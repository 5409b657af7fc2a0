import * as fc from "fast-check";
import { expect, test } from "vitest";
import { UnreadableFile, readWorkflow, writeWorkflow } from "../src/graph/file";
import { CHAIN } from "./world";

const problem = (text: string): string => {
  try {
    readWorkflow(text);
    return "";
  } catch (error) {
    return error instanceof UnreadableFile ? error.problem : String(error);
  }
};

test("save, open, save gives the same bytes, unknown keys included", () => {
  const text = writeWorkflow({ ...CHAIN, extra: { made_by: "another editor" } } as typeof CHAIN);
  expect(writeWorkflow(readWorkflow(text))).toBe(text);
  expect(JSON.parse(text).extra).toEqual({ made_by: "another editor" });
});

test.each([
  ["no JSON", "{", "file.notJson"],
  ["a list", "[]", "file.foreign"],
  ["another program's file", '{"last_node_id": 3, "nodes": []}', "file.foreign"],
  ["deep nesting", `{"graphflow":1,"nodes":{"a":${'{"x":'.repeat(80)}1${"}".repeat(80)}}}`, "file.tooDeep"],
  ["too many nodes", `{"graphflow":1,"nodes":{${Array.from({ length: 10_001 }, (_, i) => `"n${i}":{}`).join(",")}}}`, "file.tooMany"],
  ["too many nodes inside subgraphs", `{"graphflow":1,"nodes":{},"subgraphs":{"S":{"nodes":{${Array.from({ length: 10_001 }, (_, i) => `"n${i}":{}`).join(",")}}}}}`, "file.tooMany"],
  ["too large", " ".repeat(10_000_001), "file.tooLarge"],
  ["nesting beyond what can be read", "[".repeat(150_000) + "]".repeat(150_000), "file.tooDeep"],
])("%s is refused with its own sentence", (_, text, expected) => expect(problem(text)).toBe(expected));

test("a hostile file cannot reach a prototype, and mad positions are mended", () => {
  const text = '{"graphflow":1,"__proto__":{"polluted":true},"nodes":{"a":{"type":"<img src=x>","inputs":{"__proto__":1,"t":"<script>"}},"b":7},"layout":{"a":{"position":["NaN",1e99]}}}';
  const workflow = readWorkflow(text);
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  expect(workflow.nodes).toEqual({ a: { type: "<img src=x>", inputs: { t: "<script>" } } });
  expect(workflow.layout).toEqual({ a: { position: [0, 0] } });
});

test("a million nodes are refused within a blink, before they are read", () => {
  const text = `{"graphflow":1,"nodes":{${Array.from({ length: 900_000 }, (_, i) => `"${i}":1`).join(",")}}}`;
  const before = performance.now();
  expect(problem(text)).toBe("file.tooMany");
  expect(performance.now() - before).toBeLessThan(250);
});

test.each([NaN, Infinity, -Infinity, 1e300, "7", null])("the position %s is mended", (wrong) => {
  const layout = `{"a":{"position":[${String(wrong)},5],"size":[${String(wrong)},1],"bends":{"x":[[${String(wrong)},3]]}}}`.replace(/NaN|-?Infinity/g, "1e999");
  const box = readWorkflow(`{"graphflow":1,"nodes":{"a":{"type":"A"}},"layout":${layout},"groups":[{"bounds":[1e999,2,-5,1e400]}]}`);
  expect([...box.layout.a!.position, ...(box.layout.a!.bends!.x![0] ?? []), ...box.groups[0]!.bounds].every((one) => Number.isFinite(one) && Math.abs(one) < 1e7)).toBe(true);
});

test("nodes without a place get one each", () => {
  const { layout } = readWorkflow('{"graphflow":1,"nodes":{"a":{"type":"A"},"b":{"type":"B"}}}');
  expect(layout).toEqual({ a: { position: [0, 0] }, b: { position: [320, 0] } });
});

test("any JSON is opened or refused, never anything else", () => {
  fc.assert(fc.property(fc.json(), (json) => void expect(problem(`{"graphflow":1,"nodes":${json},"layout":${json},"groups":${json},"form":${json},"subgraphs":${json}}`)).toMatch(/^(|file\.\w+)$/)));
});
