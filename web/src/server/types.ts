/** What the server tells, under the editor's names; generated in `graph/api.ts` from the server's own description. */
import type * as api from "../graph/api";

export type { Asset, ErrorBody, FreezeAnswer, ModelFile, NodesAnswer, Output, PlanAnswer, Template, Version } from "../graph/api";
export type { WorkerStatus as Worker, Saved as SavedWorkflow } from "../graph/api";

/** What a node does in a run; `message` is why it failed. */
export type NodeRun = Partial<api.NodeStatus> & Pick<api.NodeStatus, "state"> & { readonly message?: string };

/** A job as this window knows it. */
export type JobSnapshot = Omit<api.LiveJob, "nodes"> & { readonly nodes: Readonly<Record<string, NodeRun>> };
export type Job = Omit<api.LiveJob, "nodes" | "planned"> & { readonly workflow?: api.JobAnswer["workflow"] };

export type LiveMessage = api.Hello | api.Event | api.NodeSaid | api.QueueNotice | api.WorkerNotice | api.NodesNotice | api.AssetNotice;
