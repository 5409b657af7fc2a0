/** Freezing: the server keeps what a node gave in its last run, and the document names it. */
import { setFrozen } from "../graph/edit";
import { subgraphName } from "../graph/schema";
import { call } from "../server/api";
import type { FreezeAnswer } from "../server/types";
import { current, edit } from "../state/document";
import { runId } from "../state/node-run";
import { useRun } from "../state/run";
import { useSession } from "../state/session";
import { say, sayError } from "../state/view";
import { count, t } from "../words";

/** Jobs that may hold a node's last result: the one shown, then this workflow's own, newest first. */
function candidates(): string[] {
  const { jobs, shown } = useRun.getState();
  const own = Object.values(jobs).filter((job) => job.status === "done" && job.client === useSession.getState().draft);
  const newest = own.sort((a, b) => b.created - a.created).map((job) => job.id);
  return [...new Set(shown === null ? newest : [shown, ...newest])].slice(0, 5);
}

async function keep(node: string): Promise<string> {
  let problem = new Error(t("freeze.runFirst"));
  for (const job of candidates())
    try {
      return (await call<FreezeAnswer>(`v1/jobs/${job}/freeze`, { json: { node } })).key;
    } catch (error) {
      problem = error as Error;
    }
  throw problem;
}

/** Freezes nodes at their last results; thaws them when all are frozen. */
export async function toggleFrozen(ids: readonly string[]): Promise<void> {
  const { graph, path } = current();
  const thaws = ids.every((id) => graph.nodes[id]?.frozen);
  if (!thaws && ids.some((id) => subgraphName(graph.nodes[id]?.type ?? "") !== null)) return say(t("freeze.notSubgraph"));
  const keys = new Map<string, string | undefined>();
  try {
    for (const id of ids) keys.set(id, thaws ? undefined : (graph.nodes[id]?.frozen ?? (await keep(runId(path, id)))));
  } catch (error) {
    return sayError(error);
  }
  edit((now) => setFrozen(now, keys));
  say(thaws ? t("freeze.thawed") : count(ids.length, "freeze.one", "freeze.many"));
}
