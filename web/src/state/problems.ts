/** What is wrong with the workflow, by node: found here at once, by the server a moment later. */
import { create } from "zustand";
import { problems, type Problem } from "../graph/problems";
import { call } from "../server/api";
import type { PlanAnswer } from "../server/types";
import { maybe, t } from "../words";
import { current, useDocument } from "./document";
import { visibleNode } from "./node-run";
import { choices, useSchema } from "./schema";

interface ProblemState {
  readonly list: readonly Problem[];
  readonly byNode: ReadonlyMap<string, readonly Problem[]>;
  /** Tasks of the last plan that would run, not come from the cache; null while there is no valid plan. */
  readonly rerun: ReadonlySet<string> | null;
}

export const useProblems = create<ProblemState>(() => ({ list: [], byNode: new Map(), rerun: null }));

/** A sentence for a problem, wherever it was found. */
export const explain = (problem: Problem): string => {
  const nearest = problem.details.nearest;
  const hint = Array.isArray(nearest) && nearest.length ? ` ${t("problem.nearest", { names: nearest.join(", ") })}` : "";
  if (problem.message) return problem.message;
  return (maybe(`problem.${problem.code}`, problem.details) ?? problem.code) + hint;
};

export function keepProblems(list: readonly Problem[]): void {
  const byNode = new Map<string, Problem[]>();
  for (const problem of list) {
    const shown = problem.node === null ? null : visibleNode(problem.node);
    const own = shown === problem.node ? problem : { ...problem, input: null };
    if (shown !== null) byNode.set(shown, [...(byNode.get(shown) ?? []), own]);
  }
  useProblems.setState({ list, byNode });
}

export function checkHere(targets?: readonly string[]): Problem[] {
  return problems(useSchema.getState().definitions, current().workflow, choices, targets);
}

/** What the server finds; the local problems stay where it finds none. */
async function checkThere(local: readonly Problem[]): Promise<void> {
  const { workflow } = current();
  if (local.some((one) => one.code === "no_output")) return useProblems.setState({ rerun: null });
  try {
    const plan = await call<PlanAnswer>("v1/plans", { json: { workflow, tolerant: true } });
    if (workflow !== current().workflow) return;
    if (plan.problems.length) {
      const seen = new Set(local.map((one) => `${one.node} ${one.input}`));
      keepProblems([...local, ...plan.problems.filter((one) => !seen.has(`${one.node} ${one.input}`))]);
      return useProblems.setState({ rerun: null });
    }
    const rerun = new Set(plan.tasks.filter((task) => task.cached === null).map((task) => task.node));
    useProblems.setState({ rerun });
  } catch {
    return; // the server is away or fails, which the top bar says
  }
}

export function startProblems(): void {
  let soon: ReturnType<typeof setTimeout> | undefined;
  let later: ReturnType<typeof setTimeout> | undefined;
  const check = () => {
    clearTimeout(soon);
    clearTimeout(later);
    soon = setTimeout(() => {
      const local = checkHere();
      keepProblems(local);
      later = setTimeout(() => void checkThere(local), 450);
    }, 120);
  };
  useDocument.subscribe(({ workflow }, { workflow: before }) => (workflow.nodes !== before.nodes || workflow.subgraphs !== before.subgraphs) && check());
  useSchema.subscribe(check);
}
