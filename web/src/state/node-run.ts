/** What the shown run did with a node of the graph being looked at. */
import { useShallow } from "zustand/react/shallow";
import { difference } from "../graph/difference";
import type { NodeRun } from "../server/types";
import { current, useDocument } from "./document";
import { shownJob, useRun } from "./run";

/** The nodes of a run lie flat: those of a subgraph under `outer:inner`. */
export const runId = (path: readonly string[], id: string): string => [...path, id].join(":");

const most = (runs: readonly NodeRun[], key: "memory" | "peak"): number => Math.max(...runs.map((run) => run[key] ?? 0));

/** A subgraph as one: running while any of its nodes runs, failed when one failed, cached when all were. */
export function together(runs: readonly NodeRun[]): NodeRun | undefined {
  const is = (state: NodeRun["state"]) => runs.find((run) => run.state === state);
  const alone = is("failed") ?? is("running");
  if (alone || !runs.length) return alone;
  if (!is("done")) return runs[0];
  return { state: "done", seconds: runs.reduce((sum, run) => sum + (run.seconds ?? 0), 0), memory: most(runs, "memory"), peak: most(runs, "peak") };
}

export function useNodeRun(id: string): NodeRun | undefined {
  const full = runId(useDocument((state) => state.path), id);
  return useRun(
    useShallow((state) => {
      const nodes = shownJob(state)?.nodes;
      if (!nodes || nodes[full]) return nodes?.[full];
      const inner = Object.keys(nodes).filter((key) => key.startsWith(`${full}:`));
      return together(inner.map((key) => nodes[key] as NodeRun));
    }),
  );
}

/** The node to show for a run's node: itself, or the subgraph that it lies in. */
export function visibleNode(full: string): string | null {
  const { workflow } = current();
  for (let id = full; ; id = id.slice(0, id.lastIndexOf(":"))) {
    if (workflow.nodes[id]) return id;
    if (!id.includes(":")) return null;
  }
}

/** The inputs that changed since the run before: why a node was not taken from the cache. */
export function whyAgain(id: string): string[] {
  const { before, sent } = useRun.getState();
  return before && sent ? (difference(before, sent).changed[id] ?? []).map((change) => change.input) : [];
}
