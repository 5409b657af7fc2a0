import { replacements } from "../graph/replace";
import { setValue } from "../graph/edit";
import type { Problem } from "../graph/problems";
import { titleOf } from "../graph/find";
import { Icon } from "../icons";
import { current, edit, enter } from "../state/document";
import { visibleNode } from "../state/node-run";
import { explain, useProblems } from "../state/problems";
import { useSchema } from "../state/schema";
import { reveal } from "../state/view";
import { t } from "../words";

/** Leads to the exact input of a problem. */
export function goTo(problem: Problem): void {
  if (problem.node === null) return;
  if (current().path.length) enter([]);
  const shown = visibleNode(problem.node) ?? problem.node;
  reveal(shown);
  const row = `.react-flow__node[data-id="${CSS.escape(shown)}"] [data-input="${CSS.escape(problem.input ?? "")}"]`;
  if (problem.input !== null) setTimeout(() => document.querySelector<HTMLElement>(`${row} :is(input, select, textarea)`)?.focus({ preventScroll: true }), 250);
}

function Fixes({ problem }: { problem: Problem }) {
  const names = Array.isArray(problem.details.nearest) ? (problem.details.nearest as readonly unknown[]).map(String) : [];
  const { node, input } = problem;
  if (node === null || !names.length) return null;
  const fix = (name: string) => {
    if (input !== null) return edit((graph) => setValue(graph, node, input, name));
    const { graph, workflow } = current();
    const defs = useSchema.getState().definitions;
    const found = replacements(defs, workflow, graph, node).find(({ def }) => def.type === name);
    if (found) edit((one) => ({ ...one, nodes: { ...one.nodes, [node]: { ...(one.nodes[node] ?? { inputs: {} }), type: found.def.type } } }));
  };
  return <p className="fixes">{names.map((name) => <button key={name} type="button" onClick={() => fix(name)}>{t("problem.use", { name })}</button>)}</p>;
}

export function Problems() {
  const list = useProblems((state) => state.list);
  const defs = useSchema((state) => state.definitions);
  if (!list.length) return <p className="nothing"><Icon name="check" /> {t("problem.none")}</p>;
  return (
    <ul className="problems">
      {list.map((problem, index) => (
        <li key={index}>
          <button type="button" className="problem" disabled={problem.node === null} onClick={() => goTo(problem)}>
            <b>{problem.node === null ? t("problem.workflow") : titleOf(defs, current().workflow, current().workflow, problem.node)}{problem.input !== null && <code>{problem.input}</code>}</b>
            <span>{explain(problem)}</span>
          </button>
          <Fixes problem={problem} />
        </li>
      ))}
    </ul>
  );
}
