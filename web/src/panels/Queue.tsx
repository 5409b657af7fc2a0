import { useState, type DragEvent } from "react";
import { Icon, IconButton } from "../icons";
import type { JobSnapshot, Job } from "../server/types";
import { call, thumbnailUrl } from "../server/api";
import { cleanWorkflow } from "../graph/file";
import { activeJobs, isActive, useRun } from "../state/run";
import { openWorkflow } from "../state/session";
import { cancelJob, clearQueue, placeJob, setPaused } from "../state/submit";
import { bytes, clock, seconds, t } from "../words";

async function openJob(id: string): Promise<void> {
  const job = await call<Job>(`v1/jobs/${id}`);
  if (job.workflow) openWorkflow(cleanWorkflow(job.workflow ?? {}));
}

function describe(job: JobSnapshot): string {
  if (job.status === "running") return `${Math.round(job.progress * 100)} %`;
  if (job.status === "failed") return job.error?.message ?? t("job.failed");
  if (job.status === "done" && job.started !== null && job.finished !== null)
    return [seconds(job.finished - job.started), ...(job.peak ? [t("job.peak", { memory: bytes(job.peak) })] : [])].join(" · ");
  return t(`job.${job.status}`);
}

function Row({ job, place }: { job: JobSnapshot; place?: number }) {
  const [over, setOver] = useState(false);
  const pending = job.status === "queued";
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    const id = event.dataTransfer.getData("text/x-job");
    if (id && place !== undefined) void placeJob(id, place);
  };
  const picture = job.outputs.find((output) => output.media_type.startsWith("image/"));
  return (
    <li
      className={`job ${job.status} ${over ? "over" : ""}`} draggable={pending} onDragStart={(event) => event.dataTransfer.setData("text/x-job", job.id)}
      onDragOver={(event) => { if (pending) { event.preventDefault(); setOver(true); } }} onDragLeave={() => setOver(false)} onDrop={drop}
    >
      {picture ? <img src={thumbnailUrl(picture.asset, 64)} alt="" /> : <i className="job-mark" />}
      <span className="job-text">
        <b>{job.name || t("file.untitled")}</b>
        <small title={job.error?.message}>{clock(job.created)} · {describe(job)}</small>
        {job.status === "running" && <span className="bar"><i style={{ transform: `scaleX(${job.progress})` }} /></span>}
      </span>
      {pending && place !== undefined && place > 0 && <IconButton icon="up" label={t("queue.next")} title={t("queue.next")} onClick={() => void placeJob(job.id, "front")} />}
      {isActive(job)
        ? <IconButton icon="close" label={t("queue.cancel")} title={t("queue.cancel")} onClick={() => void cancelJob(job.id)} />
        : <IconButton icon="enter" label={t("queue.open")} title={t("queue.open")} onClick={() => void openJob(job.id)} />}
    </li>
  );
}

export function Queue() {
  const state = useRun();
  const active = activeJobs(state);
  const pending = active.filter((job) => job.status === "queued");
  const finished = Object.values(state.jobs).filter((job) => !isActive(job)).sort((a, b) => b.created - a.created).slice(0, 30);
  return (
    <div className="queue">
      <p className="buttons">
        <button type="button" aria-pressed={state.paused} onClick={() => void setPaused(!state.paused)}><Icon name={state.paused ? "play" : "pause"} />{t(state.paused ? "queue.resume" : "queue.pause")}</button>
        <button type="button" disabled={!pending.length} onClick={() => void clearQueue()}><Icon name="trash" />{t("queue.clear")}</button>
      </p>
      <h3>{t("queue.active")}</h3>
      <ul aria-label={t("queue.active")}>
        {active.map((job) => (job.status === "queued" ? <Row key={job.id} job={job} place={pending.indexOf(job)} /> : <Row key={job.id} job={job} />))}
        {!active.length && <li className="nothing">{t("queue.empty")}</li>}
      </ul>
      <h3>{t("queue.finished")}</h3>
      <ul aria-label={t("queue.finished")}>{finished.map((job) => <Row key={job.id} job={job} />)}</ul>
    </div>
  );
}
