/** Asks the server for the workflow in a file. */
import { arranged } from "../graph/arrange";
import { move } from "../graph/edit";
import { cleanWorkflow } from "../graph/file";
import { isRecord, type Json } from "../graph/json";
import type { Workflow } from "../graph/workflow";
import { call } from "./api";

export interface Converted {
  readonly workflow: Workflow;
  readonly notes: readonly string[];
}

/** The workflow in a picture or in another program's file. Throws `ServerError` when there is none. */
export async function convert(file: Blob): Promise<Converted> {
  const answer = await call<{ workflow: Json; notes?: readonly string[] }>("v1/workflows/convert", { body: file });
  const json = isRecord(answer.workflow) ? answer.workflow : {};
  const workflow = cleanWorkflow(json);
  const placed = isRecord(json.layout) && Object.keys(json.layout).length > 0;
  return { workflow: placed ? workflow : await laidOut(workflow), notes: answer.notes ?? [] };
}

/** A workflow that came without places gets them by what its nodes need. */
async function laidOut(workflow: Workflow): Promise<Workflow> {
  const sizes = Object.entries(workflow.nodes).map(([id, node]) => [id, [264, 80 + 30 * Object.keys(node.inputs).length]] as const);
  return move(workflow, await arranged(workflow, Object.keys(workflow.nodes), new Map(sizes)));
}

export async function workflowOf(asset: string): Promise<Workflow> {
  const json = await call<Json>(`v1/assets/${asset}/workflow`);
  const inner = isRecord(json) && isRecord(json.workflow) ? json.workflow : json;
  return cleanWorkflow(isRecord(inner) ? inner : {});
}
