import { expect, test } from "vitest";
import type { Job } from "../src/server/types";
import { learn } from "../src/state/events";
import { useRun } from "../src/state/run";
import { useSession } from "../src/state/session";
import { useView } from "../src/state/view";

const job = (status: Job["status"], outputs: Job["outputs"] = []): Job =>
  ({ id: "j", name: "", client: null, status, outputs, progress: 0, created: 1, started: null, finished: null, error: null, peak: null }) as unknown as Job;

test("an answer that comes after the end of its job does not take the end back", () => {
  learn(job("done", [{ node: "save", asset: "a", name: "a.png", media_type: "image/png" }] as unknown as Job["outputs"]));
  learn(job("queued"));
  expect(useRun.getState().jobs.j).toMatchObject({ status: "done", outputs: [{ asset: "a" }] });
});

test("a job that failed before it was known is told of all the same", () => {
  const error = { message: "no such pattern", node: null, code: "failed", problems: [] };
  learn({ ...job("failed"), id: "f", client: useSession.getState().draft, error } as unknown as Job);
  expect(useView.getState().errors).toEqual([{ text: "no such pattern" }]);
});
