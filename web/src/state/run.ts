/** What the server does: jobs, the queue, progress and results by node. Owned by the server; a snapshot heals it. */
import { create } from "zustand";
import type { Workflow } from "../graph/workflow";
import type { JobSnapshot, Output, Worker } from "../server/types";

interface RunState {
  readonly connection: "connecting" | "live" | "lost";
  readonly build: string;
  /** The server is another version than the page. */
  readonly outdated: boolean;
  readonly paused: boolean;
  readonly workers: Readonly<Record<string, Worker>>;
  readonly jobs: Readonly<Record<string, JobSnapshot>>;
  /** Ids of pending jobs, next first. */
  readonly queue: readonly string[];
  /** The job whose progress the canvas shows. */
  readonly shown: string | null;
  /** Jobs of the workflow that is open. */
  readonly ours: ReadonlySet<string>;
  /** The latest preview of each node of the shown job, as a blob's address. */
  readonly previews: Readonly<Record<string, string>>;
  /** The latest results of each node; they stay until newer ones come. */
  readonly results: Readonly<Record<string, readonly Output[]>>;
  /** The workflow that was sent last, and the one before it. */
  readonly sent: Workflow | null;
  readonly before: Workflow | null;
  /** How many runs are on their way to the server. */
  readonly sending: number;
  /** Rises with each new asset, so that lists know to look again. */
  readonly assets: number;
}

export const useRun = create<RunState>(() => ({
  connection: "connecting", build: "", outdated: false, paused: false, workers: {}, jobs: {}, queue: [], shown: null,
  ours: new Set<string>(), previews: {}, results: {}, sent: null, before: null, sending: 0, assets: 0,
}));

export const isActive = (job: Pick<JobSnapshot, "status"> | undefined): boolean => job?.status === "running" || job?.status === "queued";

/** The job whose progress the canvas shows. */
export const shownJob = ({ shown, jobs }: RunState): JobSnapshot | undefined => (shown === null ? undefined : jobs[shown]);

/** Running and pending jobs, running first, then as they will be taken. */
export function activeJobs(state: RunState): JobSnapshot[] {
  const place = (job: JobSnapshot) => (job.status === "running" ? -1 : (state.queue.indexOf(job.id) + 1 || Infinity));
  return Object.values(state.jobs).filter(isActive).sort((a, b) => place(a) - place(b) || a.created - b.created);
}

const TIMINGS = "graphflow.seconds";

/** Seconds that nodes of each type took here before, the newest weighing most. */
const timings = (): Record<string, number> => JSON.parse(localStorage.getItem(TIMINGS) ?? "{}") as Record<string, number>;

export function noteTiming(type: string, seconds: number): void {
  const all = timings();
  localStorage.setItem(TIMINGS, JSON.stringify({ ...all, [type]: type in all ? 0.5 * ((all[type] ?? 0) + seconds) : seconds }));
}

/** Seconds until a job ends: by past timings of the nodes still to come, else by its progress so far; null when neither tells. */
export function remaining(job: JobSnapshot | undefined, now: number, types: readonly string[] = []): number | null {
  if (!job || job.status !== "running" || job.started === null) return null;
  const past = timings();
  const elapsed = now - job.started;
  const total = types.reduce((sum, type) => sum + (past[type] ?? 0), 0);
  if (total > elapsed && types.every((type) => type in past)) return total - elapsed;
  return job.progress < 0.05 ? null : Math.max((elapsed * (1 - job.progress)) / job.progress, 0);
}

export function setJob(id: string, change: (job: JobSnapshot) => JobSnapshot): void {
  useRun.setState((state) => {
    const job = state.jobs[id];
    return job ? { jobs: { ...state.jobs, [id]: change(job) } } : state;
  });
}

/** Makes a job the one that the canvas shows; the previews of the one before are let go. */
export function showJob(id: string | null): void {
  useRun.setState((state) => {
    if (state.shown === id) return state;
    for (const address of Object.values(state.previews)) URL.revokeObjectURL(address);
    return { shown: id, previews: {} };
  });
}

/** Forgets what belonged to the workflow that was open. */
export function forgetRun(): void {
  showJob(null);
  useRun.setState({ ours: new Set(), results: {}, sent: null, before: null });
}
