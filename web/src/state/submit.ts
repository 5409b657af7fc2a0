/** Sends runs. */
import { drawSeeds } from "../graph/edit";
import { ServerError, call, newKey } from "../server/api";
import type { Job } from "../server/types";
import { count as counted, t } from "../words";
import { amend, current } from "./document";
import { learn } from "./events";
import { visibleNode } from "./node-run";
import { checkHere, keepProblems } from "./problems";
import { useRun } from "./run";
import { useSession } from "./session";
import { reveal, say, sayError, useView } from "./view";

/** Ten digits at most, so that it can be read and told. */
const randomSeed = (): number => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;

export interface RunOptions {
  readonly targets?: readonly string[];
  readonly count?: number;
  readonly front?: boolean;
  readonly overrides?: Readonly<Record<string, unknown>>;
}

/** Whether nothing is wrong; else what is wrong is listed, and nothing is to be sent. What went wrong before is told no more. */
function isReady(targets?: readonly string[]): boolean {
  useView.setState({ errors: [] });
  const list = checkHere(targets);
  if (!list.length) return true;
  keepProblems(list);
  useView.setState({ panel: "problems" });
  say(counted(list.length, "run.problem", "run.problems"));
  return false;
}

const noteSending = (more: 1 | -1) => useRun.setState(({ sending }) => ({ sending: sending + more }));

async function post({ targets, front, overrides }: RunOptions): Promise<Job> {
  const { workflow } = current();
  noteSending(1);
  const job = await call<Job>("v1/jobs", {
    json: {
      workflow, client: useSession.getState().draft,
      ...(targets ? { targets } : {}), ...(front ? { front } : {}), ...(overrides ? { overrides } : {}),
    },
    headers: { "Idempotency-Key": newKey() },
  }).finally(() => noteSending(-1));
  useRun.setState((state) => ({ ours: new Set([...state.ours, job.id]), sent: workflow, before: state.sent }));
  learn(job);
  return job;
}

/** Draws the seeds that are not fixed, writes them into the workflow, and sends it; several times when asked. */
export async function run(options: RunOptions = {}): Promise<void> {
  if (!isReady(options.targets)) return;
  try {
    for (let i = 0; i < (options.count ?? 1); i += 1) {
      amend((workflow) => drawSeeds(workflow, randomSeed));
      await post(options);
    }
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    keepProblems(error.problems);
    const node = error.problems[0]?.node;
    if (error.problems.length) useView.setState({ panel: "problems" });
    sayError(error);
    const shown = node && visibleNode(node);
    if (shown) reveal(shown);
  }
}

export const cancelJob = (id: string) => call(`v1/jobs/${id}`, { method: "DELETE" });
export const clearQueue = () => call("v1/jobs?status=queued", { method: "DELETE" });
export const placeJob = (id: string, position: "front" | number) => call(`v1/jobs/${id}`, { method: "PATCH", json: { position } });

export async function setPaused(paused: boolean): Promise<void> {
  await call("v1/queue", { method: "PATCH", json: { paused } });
  useRun.setState({ paused });
  say(t(paused ? "queue.paused" : "queue.resumed"));
}

/** Cancels what this workflow runs now. */
export function cancelShown(): void {
  const { shown } = useRun.getState();
  if (shown) void cancelJob(shown);
}

/** Sends one run for each cell of a grid; the seeds are the same in all of them, so that only the cells' values differ. */
export async function runGrid(cells: readonly { label: string; overrides: Record<string, unknown> }[]): Promise<{ id: string; label: string }[]> {
  if (!isReady()) return [];
  const sent: { id: string; label: string }[] = [];
  try {
    for (const { label, overrides } of cells) sent.push({ id: (await post({ overrides })).id, label });
  } catch (error) {
    sayError(error);
  }
  return sent;
}
