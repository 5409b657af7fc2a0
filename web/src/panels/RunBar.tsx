import { useEffect, useState } from "react";
import { Icon, IconButton } from "../icons";
import { needed } from "../graph/problems";
import { descendants } from "../graph/workflow";
import { current, useDocument } from "../state/document";
import { useProblems } from "../state/problems";
import { activeJobs, isActive, remaining, shownJob, useRun } from "../state/run";
import { useSchema } from "../state/schema";
import { cancelShown, run } from "../state/submit";
import { togglePanel, useView } from "../state/view";
import { seconds, t } from "../words";
import { display } from "../shortcuts";

/** Marks the nodes that would run again, those of newly drawn seeds too, while the pointer rests on Run. */
function markRerun(on: boolean): void {
  const { rerun } = useProblems.getState();
  const { workflow } = current();
  const wanted = needed(useSchema.getState().definitions, workflow);
  const drawn = Object.keys(workflow.nodes).filter((id) => workflow.layout[id]?.draw?.length && !workflow.nodes[id]?.frozen);
  const again = [...(rerun ?? []), ...[...descendants(workflow, drawn)].filter((id) => wanted.has(id))];
  useView.setState({ marks: on && rerun ? Object.fromEntries(again.map((id) => [id, "rerun" as const])) : {} });
}

function Progress() {
  const job = useRun(shownJob);
  const [now, setNow] = useState(Date.now() / 1000);
  const running = job?.status === "running";
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => setNow(Date.now() / 1000), 500);
    return () => clearInterval(timer);
  }, [running]);
  useEffect(() => {
    document.title = running ? `${Math.round(job.progress * 100)} % · GraphFlow` : "GraphFlow";
  }, [running, job?.progress]);
  if (!job || !isActive(job)) return null;
  const { nodes } = current().workflow;
  const { rerun } = useProblems.getState();
  const left = remaining(job, now, [...(rerun ?? [])].map((id) => nodes[id]?.type ?? ""));
  return (
    <span className="run-progress" role="progressbar" aria-label={t("run.progress")} aria-valuenow={Math.round(job.progress * 100)}>
      <i style={{ transform: `scaleX(${job.progress})` }} />
      <span>{job.status === "queued" ? t("run.waiting") : left === null ? `${Math.round(job.progress * 100)} %` : t("run.left", { time: seconds(Math.ceil(left)) })}</span>
    </span>
  );
}

export function RunBar() {
  const [count, setCount] = useState(1);
  const [resting, setResting] = useState(false);
  const rerun = useProblems((state) => state.rerun);
  useEffect(() => {
    if (!resting) return;
    markRerun(true);
    return () => markRerun(false);
  }, [resting, rerun]);
  const problems = useProblems((state) => state.list.length);
  const waiting = useRun((state) => activeJobs(state).length);
  const busy = useRun((state) => isActive(shownJob(state)));
  const sending = useRun((state) => state.sending > 0);
  const empty = useDocument((state) => Object.keys(state.workflow.nodes).length === 0);
  return (
    <span className="run-bar">
      <Progress />
      {busy && <IconButton icon="stop" className="stop" label={t("do.cancel")} title={t("do.cancel")} onClick={cancelShown} />}
      {problems > 0 && !empty && (
        <button type="button" className="problem-count" onClick={() => togglePanel("problems")}><Icon name="warning" />{problems}<span className="hidden">{t("run.problemsShort")}</span></button>
      )}
      <label className="run-count" title={t("run.count")}>
        <span className="hidden">{t("run.count")}</span>
        <input type="number" min={1} max={99} value={count} onChange={(event) => setCount(Math.max(1, Math.min(99, Number(event.target.value) || 1)))} />
      </label>
      <button
        type="button" className="primary run" aria-busy={sending} title={`${t("do.run")} (${display("Ctrl+Enter")})`} onPointerEnter={() => setResting(true)} onPointerLeave={() => setResting(false)}
        onClick={() => { setResting(false); void run({ count }); }}
      >
        <Icon name="play" />{t("bar.run")}{waiting > 1 && <b className="waiting">{waiting}</b>}
      </button>
    </span>
  );
}
