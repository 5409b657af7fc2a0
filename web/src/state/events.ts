/** Turns what the server tells into `useRun`. Events are gathered and applied once a frame. */
import { call } from "../server/api";
import { connectLive, type Preview } from "../server/live";
import type { Job, JobSnapshot, LiveMessage, NodeRun } from "../server/types";
import { t } from "../words";
import { current } from "./document";
import { visibleNode } from "./node-run";
import { isActive, noteTiming, setJob, showJob, useRun } from "./run";
import { useSession } from "./session";
import { loadDefinitions, loadModels, loadUploads, useSchema } from "./schema";
import { reveal, say, sayError } from "./view";

/** A job that this workflow's draft sent, from whichever window: it is shown on the canvas. */
function adopt(job: Job): void {
  if (!useRun.getState().ours.has(job.id) && job.client !== useSession.getState().draft) return;
  useRun.setState((state) => ({ ours: new Set([...state.ours, job.id]) }));
  const { shown, jobs } = useRun.getState();
  if (shown === null || !isActive(jobs[shown] ?? job)) follow(job.id);
}

/** Shows a job on the canvas, with the results it has so far. */
export function follow(id: string): void {
  showJob(id);
  const job = useRun.getState().jobs[id];
  if (job?.outputs.length) keepResults(job);
}

function keepResults(job: Pick<Job, "outputs">): void {
  const results: Record<string, Job["outputs"][number][]> = {};
  for (const output of job.outputs) (results[output.node] ??= []).push(output);
  useRun.setState((state) => ({ results: { ...state.results, ...results } }));
}

/** What is not known yet of a job. */
const NEW = { nodes: {}, planned: 0 };

/** Takes in a job that was just sent or that another window sent. */
export function learn(job: Job | JobSnapshot): void {
  useRun.setState((state) => {
    const known = state.jobs[job.id];
    if (known && !isActive(known) && isActive(job)) return state; // its end came before the answer to its sending
    return { jobs: { ...state.jobs, [job.id]: { ...NEW, ...known, ...job } } };
  });
  adopt(job);
  const now = useRun.getState().jobs[job.id];
  const told = Object.values(now?.nodes ?? {}).some((node) => node.state === "failed");
  if (now?.status === "failed" && now.error && !told && useRun.getState().ours.has(job.id))
    fail({ type: "job.failed", job: now.id, error: now.error, time: now.finished ?? 0 } as Parameters<typeof fail>[0]); // it ended before it was known
}

function setNode(id: string, node: string, change: Partial<NodeRun> & Pick<NodeRun, "state">): void {
  setJob(id, (job) => ({ ...job, nodes: { ...job.nodes, [node]: { ...job.nodes[node], ...change } } }));
}

/** After a job's end nothing runs any more. */
function ended(nodes: JobSnapshot["nodes"]): JobSnapshot["nodes"] {
  const all = Object.entries(nodes);
  return all.some(([, node]) => node.state === "running") ? Object.fromEntries(all.filter(([, node]) => node.state !== "running")) : nodes;
}

function fail(message: Extract<LiveMessage, { type: "job.failed" }>): void {
  setJob(message.job, (job) => ({ ...job, status: "failed", error: message.error, finished: message.time }));
  const node = message.error.problems?.[0]?.node;
  if (node) setNode(message.job, node, { state: "failed", message: message.error.message });
  if (!useRun.getState().ours.has(message.job)) return;
  sayError(message.error.message);
  const shown = node && visibleNode(node);
  if (shown) reveal(shown);
}

function progressOf(job: JobSnapshot): number {
  const total = job.planned || Object.keys(current().workflow.nodes).length;
  let done = 0;
  for (const node of Object.values(job.nodes))
    done += node.state === "running" ? (node.total ? (node.value ?? 0) / node.total : 0) : 1;
  return Math.max(job.progress, total ? Math.min(done / total, 1) : 0);
}

function ofJob(message: Extract<LiveMessage, { job: string }>): void {
  const id = message.job;
  const { jobs } = useRun.getState();
  if (!jobs[id]) void call<Job>(`v1/jobs/${id}`).then(learn, () => undefined);
  switch (message.type) {
    case "job.started":
      setJob(id, (job) => ({ ...job, status: "running", started: message.time, planned: message.nodes.length, nodes: {} }));
      if (useRun.getState().ours.has(id)) follow(id);
      break;
    case "node.started": setNode(id, message.node, { state: "running" }); break;
    case "node.progress": {
      const { value, total, text } = message;
      setNode(id, message.node, { state: "running", value, total, text });
      break;
    }
    case "node.cached": setNode(id, message.node, { state: "cached", reason: message.reason, made: message.made }); break;
    case "node.done":
      noteTiming(current().workflow.nodes[message.node]?.type ?? "", message.seconds);
      setNode(id, message.node, { state: "done", seconds: message.seconds, memory: message.memory, peak: message.peak });
      break;
    case "node.skipped": setNode(id, message.node, { state: "skipped", text: message.reason }); break;
    case "node.output":
      setJob(id, (job) => ({ ...job, outputs: [...job.outputs.filter((one) => one.node !== message.node), ...message.outputs] }));
      if (useRun.getState().ours.has(id)) keepResults(message);
      break;
    case "job.done":
      setJob(id, (job) => ({ ...job, status: "done", progress: 1, outputs: message.outputs, finished: message.time, peak: message.peak }));
      if (useRun.getState().ours.has(id)) {
        keepResults(message);
        say(t("run.done"));
      }
      break;
    case "job.failed": fail(message); break;
    case "job.cancelled": setJob(id, (job) => ({ ...job, status: "cancelled", finished: message.time })); break;
    case "job.queued": break;
  }
  setJob(id, (job) => (job.status === "running" ? job : { ...job, nodes: ended(job.nodes) }));
  setJob(id, (job) => (job.status === "running" ? { ...job, progress: progressOf(job) } : job));
}

function hello(message: Extract<LiveMessage, { type: "hello" }>): void {
  useRun.setState((state) => {
    const finished = Object.fromEntries(Object.entries(state.jobs).filter(([, job]) => !isActive(job)));
    const active = Object.fromEntries(message.jobs.map((job) => [job.id, job]));
    return {
      connection: "live", paused: message.paused, build: message.build, outdated: state.build !== "" && state.build !== message.build,
      workers: Object.fromEntries(message.workers.map((worker) => [worker.name, worker])),
      jobs: { ...finished, ...active }, queue: message.jobs.filter((job) => job.status === "queued").map((job) => job.id),
    };
  });
  for (const job of message.jobs) adopt(job);
  if (!useSchema.getState().definitions.size) void Promise.all([loadDefinitions(), loadModels(), loadUploads()]); // the server was away before
  void loadHistory();
}

/** The last jobs; the newest finished one of this draft gives its results back to the nodes. */
export async function loadHistory(): Promise<void> {
  const { jobs } = await call<{ jobs: readonly Job[] }>("v1/jobs?limit=30").catch(() => ({ jobs: [] as Job[] }));
  const known = useRun.getState().jobs;
  const unknown = jobs.filter((job) => !isActive(known[job.id]) || job.status !== known[job.id]?.status);
  useRun.setState((state) => ({
    jobs: { ...state.jobs, ...Object.fromEntries(unknown.map((job) => [job.id, { ...NEW, ...state.jobs[job.id], ...job }])) },
  }));
  const last = jobs.find((job) => job.status === "done" && job.client === useSession.getState().draft);
  const { shown, jobs: now } = useRun.getState();
  if (last && (shown === null || now[shown]?.status === "done")) keepResults(last);
}

function apply(message: LiveMessage): void {
  if ("job" in message) ofJob(message);
  else if (message.type === "hello") hello(message);
  else if (message.type === "queue") useRun.setState({ queue: message.jobs, paused: message.paused });
  else if (message.type === "worker") useRun.setState((state) => ({ workers: { ...state.workers, [message.name]: message } }));
  else if (message.type === "asset") {
    useRun.setState((state) => ({ assets: state.assets + 1 }));
    if (message.asset.kind === "input") void loadUploads();
  } else if (message.type === "nodes") void Promise.all([loadDefinitions(), loadModels()]);
}

function keepPreview({ job, node, blob }: Preview): void {
  const state = useRun.getState();
  if (job !== state.shown) return;
  const old = state.previews[node];
  useRun.setState({ previews: { ...state.previews, [node]: URL.createObjectURL(blob) } });
  if (old) setTimeout(() => URL.revokeObjectURL(old), 2000);
}

export function startEvents(): void {
  let waiting: (LiveMessage | Preview)[] = [];
  const flush = () => {
    const all = waiting;
    waiting = [];
    for (const one of all) "blob" in one ? keepPreview(one) : apply(one);
  };
  const gather = (one: LiveMessage | Preview) => {
    waiting.push(one);
    if (waiting.length > 1) return;
    requestAnimationFrame(flush);
    setTimeout(flush, 100); // a page that is hidden or covered gets no frames
  };
  connectLive({ message: gather, preview: gather, lost: () => useRun.setState({ connection: "lost" }) });
}
