/** What the server tells; see `docs/api.md`. */
import type { NodeDef } from "../graph/schema";
import type { Workflow } from "../graph/workflow";

export interface Output {
  readonly node: string;
  readonly name: string;
  readonly asset: string;
  readonly media_type: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export type JobStatus = "queued" | "running" | "done" | "failed" | "cancelled";

export interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly problems?: readonly { readonly node: string | null; readonly input: string | null; readonly message: string; readonly code: string }[];
}

export interface Job {
  readonly id: string;
  readonly status: JobStatus;
  readonly priority: number;
  readonly created: number;
  readonly started: number | null;
  readonly finished: number | null;
  readonly progress: number;
  readonly error: ErrorBody | null;
  readonly name: string;
  /** The draft that it was sent from. */
  readonly client?: string | null;
  readonly outputs: readonly Output[];
  readonly workflow?: Workflow;
}

export interface NodeRun {
  readonly state: "running" | "cached" | "done" | "failed" | "skipped";
  readonly value?: number | null;
  readonly total?: number | null;
  readonly text?: string;
  readonly seconds?: number | null;
  readonly memory?: number;
  readonly reason?: string;
  readonly made?: number | null;
  readonly message?: string;
}

export interface JobSnapshot extends Job {
  readonly nodes: Readonly<Record<string, NodeRun>>;
  /** How many nodes its plan has, once it started. */
  readonly planned?: number;
}

export interface Worker {
  readonly name: string;
  readonly state: "starting" | "ready" | "busy" | "dead";
  readonly device: string;
  readonly message: string;
}

export interface Asset {
  readonly id: string;
  readonly name: string;
  readonly kind: "output" | "input" | "temp";
  readonly media_type: string;
  readonly size: number;
  readonly created: number;
  readonly width?: number | null;
  readonly height?: number | null;
  readonly job?: string | null;
  readonly node?: string | null;
}

interface OfJob {
  readonly job: string;
  readonly seq: number;
  readonly time: number;
}

interface OfNode extends OfJob {
  readonly node: string;
}

export type LiveMessage =
  | { readonly type: "hello"; readonly build: string; readonly version: string; readonly paused: boolean; readonly workers: readonly Worker[]; readonly jobs: readonly JobSnapshot[] }
  | ({ readonly type: "job.queued" | "job.cancelled" } & OfJob)
  | ({ readonly type: "job.started"; readonly nodes: readonly string[]; readonly attempt: number; readonly worker: string } & OfJob)
  | ({ readonly type: "node.started" } & OfNode)
  | ({ readonly type: "node.progress"; readonly value: number; readonly total: number; readonly text: string } & OfNode)
  | ({ readonly type: "node.cached"; readonly reason: string; readonly made: number | null } & OfNode)
  | ({ readonly type: "node.done"; readonly seconds: number; readonly memory: number } & OfNode)
  | ({ readonly type: "node.skipped"; readonly reason: string } & OfNode)
  | ({ readonly type: "node.output"; readonly outputs: readonly Output[] } & OfNode)
  | ({ readonly type: "job.done"; readonly outputs: readonly Output[]; readonly seconds: number } & OfJob)
  | ({ readonly type: "job.failed"; readonly error: ErrorBody } & OfJob)
  | { readonly type: "queue"; readonly jobs: readonly string[]; readonly paused: boolean }
  | ({ readonly type: "worker" } & Worker)
  | { readonly type: "nodes" }
  | { readonly type: "asset"; readonly asset: Asset };

export interface ModelFile {
  readonly name: string;
  readonly family?: string | null;
  readonly size?: number;
}

export interface SavedWorkflow {
  readonly id: string;
  readonly name: string;
  readonly tags: readonly string[];
  readonly version: number;
  readonly created: number;
  readonly updated: number;
  readonly thumbnail: string | null;
  readonly workflow?: Workflow;
}

export interface Version {
  readonly version: number;
  readonly created: number;
  readonly name?: string;
  readonly workflow?: Workflow;
}

export interface Template {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly workflow: Workflow;
  readonly thumbnail?: string | null;
}

export interface PlanAnswer {
  readonly tasks: readonly { readonly node: string; readonly type: string; readonly cached: "memory" | "disk" | null }[];
  readonly outputs: readonly string[];
}

export interface NodesAnswer {
  readonly nodes: readonly NodeDef[];
}
