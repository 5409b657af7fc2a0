/** Written by scripts/types.py from the server's OpenAPI description; do not edit. */
import type { Json } from "./json";

export interface Asset {
  readonly id: string;
  readonly name: string;
  readonly kind: "output" | "input" | "temp";
  readonly media_type: string;
  readonly size: number;
  readonly created: number;
  readonly width: number | null;
  readonly height: number | null;
  readonly job: string | null;
  readonly node: string | null;
}

export interface AssetNotice {
  readonly type: "asset";
  readonly asset: Asset;
}

export interface BrokenPackAnswer {
  readonly pack: string;
  readonly reason: string;
}

export interface Draft {
  readonly id: string;
  readonly updated: number;
  readonly version: number;
  readonly draft: Readonly<Record<string, Json>> | null;
}

export interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly problems: readonly Problem[];
}

export type Event = JobQueued | JobStarted | NodeStarted | NodeProgress | NodeCached | NodeSkipped | NodeDone | NodeOutput | JobDone | JobFailed | JobCancelled;

export interface FreezeAnswer {
  readonly node: string;
  readonly key: string;
}

export interface Hello {
  readonly type: "hello";
  readonly build: string;
  readonly version: string;
  readonly paused: boolean;
  readonly workers: readonly WorkerStatus[];
  readonly jobs: readonly LiveJob[];
}

export interface JobAnswer {
  readonly id: string;
  readonly status: "queued" | "running" | "done" | "failed" | "cancelled";
  readonly priority: number;
  readonly created: number;
  readonly started: number | null;
  readonly finished: number | null;
  readonly progress: number;
  readonly error: ErrorBody | null;
  readonly attempt: number;
  readonly name: string;
  readonly client: string | null;
  readonly outputs: readonly Output[];
  readonly peak: number | null;
  readonly workflow: Readonly<Record<string, Json>>;
}

export interface JobCancelled {
  readonly job: string;
  readonly seq: number;
  readonly time: number;
  readonly type: "job.cancelled";
}

export interface JobDone extends Omit<JobCancelled, "type"> {
  readonly type: "job.done";
  readonly outputs: readonly Output[];
  readonly seconds: number;
  readonly peak: number;
}

export interface JobFailed extends Omit<JobCancelled, "type"> {
  readonly type: "job.failed";
  readonly error: ErrorBody;
}

export interface JobQueued extends Omit<JobCancelled, "type"> {
  readonly type: "job.queued";
}

export interface JobStarted extends Omit<JobCancelled, "type"> {
  readonly type: "job.started";
  readonly worker: string;
  readonly nodes: readonly string[];
  readonly attempt: number;
}

export interface LiveJob extends Omit<JobAnswer, "workflow"> {
  readonly nodes: Readonly<Record<string, NodeStatus>>;
  readonly planned: number;
}

export interface ModelFile {
  readonly name: string;
  readonly size: number;
  readonly modified: number;
  readonly sha256: string;
  readonly kind: string;
  readonly family: string;
  readonly families: readonly string[];
  readonly dtype: string;
  readonly format: string;
  readonly parameters: number;
  readonly parts: readonly string[];
  readonly lacks: readonly string[];
  readonly problem: string;
}

export interface ModelsAnswer {
  readonly folders: Readonly<Record<string, readonly ModelFile[]>>;
}

export interface NodeCached extends Omit<JobCancelled, "type"> {
  readonly type: "node.cached";
  readonly node: string;
  readonly reason: "memory" | "disk" | "shared" | "frozen";
  readonly made: number | null;
  readonly key: string;
}

export interface NodeDef {
  readonly type: string;
  readonly title: string;
  readonly category: string;
  readonly description: string;
  readonly inputs: readonly Port[];
  readonly more: Port | null;
  readonly outputs: readonly OutputPort[];
  readonly output_node: boolean;
  readonly device: boolean;
  readonly volatile: boolean;
  readonly checks: boolean;
  readonly deprecated: boolean;
  readonly experimental: boolean;
  readonly aliases: readonly string[];
  readonly pack: string;
  readonly digest: string;
  readonly example: string;
}

export interface NodeDone extends Omit<JobCancelled, "type"> {
  readonly type: "node.done";
  readonly node: string;
  readonly seconds: number;
  readonly memory: number;
  readonly peak: number;
  readonly key: string;
}

export interface NodeOutput extends Omit<JobCancelled, "type"> {
  readonly type: "node.output";
  readonly node: string;
  readonly outputs: readonly Output[];
}

export interface NodeProgress extends Omit<JobCancelled, "type"> {
  readonly type: "node.progress";
  readonly node: string;
  readonly value: number;
  readonly total: number;
  readonly text: string;
}

export interface NodeSaid {
  readonly type: "node.said";
  readonly job: string;
  readonly node: string;
  readonly kind: string;
  readonly content: Json;
}

export interface NodeSkipped extends Omit<JobCancelled, "type"> {
  readonly type: "node.skipped";
  readonly node: string;
  readonly reason: string;
}

export interface NodeStarted extends Omit<JobCancelled, "type"> {
  readonly type: "node.started";
  readonly node: string;
}

export interface NodeStatus {
  readonly state: "running" | "cached" | "done" | "failed" | "skipped";
  readonly value: number | null;
  readonly total: number | null;
  readonly text: string;
  readonly seconds: number | null;
  readonly memory: number;
  readonly peak: number;
  readonly reason: string;
  readonly made: number | null;
}

export interface NodesAnswer {
  readonly nodes: readonly NodeDef[];
  readonly broken: readonly BrokenPackAnswer[];
}

export interface NodesNotice {
  readonly type: "nodes";
}

export interface Output {
  readonly node: string;
  readonly name: string;
  readonly asset: string;
  readonly media_type: string;
  readonly details: Readonly<Record<string, Json>>;
}

export interface OutputPort {
  readonly name: string;
  readonly type: string;
  readonly list: boolean;
  readonly description: string;
}

export interface PlanAnswer {
  readonly tasks: readonly PlannedTask[];
  readonly outputs: readonly string[];
  readonly problems: readonly Problem[];
}

export interface PlannedTask {
  readonly node: string;
  readonly type: string;
  readonly cached: "memory" | "disk" | null;
}

export interface Port extends OutputPort {
  readonly required: boolean;
  readonly default: Json;
  readonly field: Readonly<Record<string, Json>> | null;
  readonly lazy: boolean;
  readonly grows: string;
  readonly advanced: boolean;
  readonly judged: readonly ("value" | "link")[];
}

export interface Problem {
  readonly node: string | null;
  readonly input: string | null;
  readonly message: string;
  readonly code: string;
  readonly details: Readonly<Record<string, Json>>;
}

export interface QueueNotice {
  readonly type: "queue";
  readonly jobs: readonly string[];
  readonly paused: boolean;
}

export interface Saved {
  readonly id: string;
  readonly name: string;
  readonly tags: readonly string[];
  readonly version: number;
  readonly created: number;
  readonly updated: number;
  readonly thumbnail: string | null;
  readonly share: string | null;
  readonly workflow: Readonly<Record<string, Json>> | null;
}

export interface Template {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly workflow: Readonly<Record<string, Json>>;
  readonly thumbnail: string | null;
}

export interface Version {
  readonly version: number;
  readonly name: string;
  readonly created: number;
  readonly workflow: Readonly<Record<string, Json>> | null;
}

export interface WorkerNotice {
  readonly name: string;
  readonly state: "starting" | "ready" | "busy" | "dead";
  readonly device: string;
  readonly message: string;
  readonly type: "worker";
}

export interface WorkerStatus extends Omit<WorkerNotice, "type"> {
}
