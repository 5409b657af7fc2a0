import { useEffect, useRef, type KeyboardEvent } from "react";
import { setTitle, toggleCollapsed } from "../graph/edit";
import { subgraphName, type NodeDef } from "../graph/schema";
import type { NodeRun } from "../server/types";
import { current, edit, enter, useDocument } from "../state/document";
import { useNodeRun, whyAgain } from "../state/node-run";
import { useView } from "../state/view";
import { bytes, clock, seconds, t } from "../words";
import { Icon, IconButton } from "../icons";

/** What the last run did with a node, in a word: running, cached, its time. */
export function badgeText(run: NodeRun | undefined): string {
  if (!run) return "";
  if (run.state === "running") return run.total ? `${run.value ?? 0}/${run.total}` : "…";
  if (run.state === "cached") return t(run.reason === "frozen" ? "badge.frozen" : "badge.cached");
  if (run.state === "skipped") return t("badge.skipped");
  if (run.state === "failed") return t("badge.failed");
  return seconds(run.seconds ?? 0);
}

export function badgeHint(run: NodeRun | undefined, id = ""): string {
  if (run?.state === "done") {
    const why = whyAgain(id);
    return [run.memory ? t("badge.took", { time: seconds(run.seconds ?? 0), memory: bytes(run.memory) }) : "", run.peak ? t("badge.peak", { memory: bytes(run.peak) }) : "", why.length ? t("badge.why", { names: why.join(", ") }) : ""].filter(Boolean).join(". ");
  }
  if (run?.state === "cached" && run.reason === "frozen") return t("badge.frozenHint", { time: clock(run.made ?? 0) });
  if (run?.state === "cached") return run.made ? t("badge.unchanged", { time: clock(run.made) }) : t("badge.unchangedBefore");
  return run?.message ?? run?.text ?? "";
}

function Badge({ id }: { id: string }) {
  const run = useNodeRun(id);
  const text = badgeText(run);
  return text ? <span className={`badge ${run?.state ?? ""}`} title={badgeHint(run, id)}>{text}</span> : null;
}

function Progress({ id }: { id: string }) {
  const run = useNodeRun(id);
  if (run?.state !== "running") return null;
  const part = run.total ? (run.value ?? 0) / run.total : undefined;
  return (
    <div className={`card-progress ${part === undefined ? "unknown" : ""}`} role="progressbar" aria-label={t("card.progress")} aria-valuenow={Math.round((part ?? 0) * 100)}>
      <i style={{ transform: `scaleX(${part ?? 0.3})` }} />
    </div>
  );
}

function Rename({ id, title }: { id: string; title: string }) {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.select(), []);
  const done = (value: string | null) => {
    if (useView.getState().renaming !== id) return;
    useView.setState({ renaming: null });
    if (value !== null && value !== title) edit((graph) => setTitle(graph, id, value));
  };
  const key = (event: KeyboardEvent<HTMLInputElement>) => {
    event.stopPropagation();
    if (event.key === "Enter") done(event.currentTarget.value);
    if (event.key === "Escape") done(null);
  };
  return <input ref={input} className="rename nodrag" aria-label={t("card.name")} defaultValue={title} autoFocus onKeyDown={key} onBlur={(event) => done(event.target.value)} />;
}

export function CardTitle({ id, def }: { id: string; def: NodeDef }) {
  const title = useDocument((state) => state.graph.nodes[id]?.title) ?? def.title;
  const mode = useDocument((state) => state.graph.nodes[id]?.mode);
  const collapsed = useDocument((state) => Boolean(state.graph.layout[id]?.collapsed));
  const frozen = useDocument((state) => Boolean(state.graph.nodes[id]?.frozen));
  const renaming = useView((state) => state.renaming === id);
  const inner = subgraphName(def.type);
  return (
    <header className="card-title" onDoubleClick={() => useView.setState({ renaming: id })}>
      <IconButton
        icon={collapsed ? "right" : "down"} className="nodrag" label={t(collapsed ? "card.expand" : "card.collapse")} aria-expanded={!collapsed}
        onClick={() => edit((graph) => toggleCollapsed(graph, [id]))}
      />
      {renaming ? <Rename id={id} title={title} /> : <span className="card-name" title={`${def.type} · ${id}`}>{title}</span>}
      {mode && <span className="badge mode">{t(`mode.${mode}`)}</span>}
      {frozen && <span className="badge frozen" role="img" aria-label={t("card.frozen")} title={t("card.frozen")}><Icon name="snow" size={13} /></span>}
      <Badge id={id} />
      {inner !== null && (
        <IconButton icon="enter" className="nodrag" label={t("subgraph.enter")} onClick={() => enter([...current().path, id])} />
      )}
      <IconButton
        icon="more" className="nodrag" label={t("card.menu")} aria-haspopup="menu"
        onClick={(event) => useView.setState({ menu: { screen: [event.clientX, event.clientY], node: id } })}
      />
      <Progress id={id} />
    </header>
  );
}
