/** The workflow library, sharing, and the workflow as a request. */
import { cleanWorkflow } from "../graph/file";
import { isRecord, type Json } from "../graph/json";
import { asCurl, asPython } from "../graph/snippets";
import { EMPTY } from "../graph/workflow";
import { ServerError, call, url } from "../server/api";
import type { SavedWorkflow, Template } from "../server/types";
import { current } from "../state/document";
import { openWorkflow, saveFile, useSession } from "../state/session";
import { say, sayError, show } from "../state/view";
import { drawAllSeeds } from "../files";
import { t } from "../words";

export const newWorkflow = (): void => openWorkflow({ ...EMPTY, name: "" });

export const templates = async (): Promise<readonly Template[]> => (await call<{ templates: readonly Template[] }>("v1/templates")).templates;

export function openTemplate(template: Template): void {
  const workflow = cleanWorkflow(template.workflow ?? {});
  openWorkflow(drawAllSeeds({ ...workflow, name: template.title || workflow.name }));
  show(null);
}

export async function openSaved(id: string): Promise<void> {
  const saved = await call<SavedWorkflow>(`v1/workflows/${id}`);
  openWorkflow(cleanWorkflow(saved.workflow ?? {}), { id: saved.id, version: saved.version });
  show(null);
}

/** Saves under the name it has; asks for one first when it has none. */
export async function save(): Promise<void> {
  const { workflow } = current();
  if (!useSession.getState().file || !workflow.name) return show({ kind: "save" });
  await saveAs(workflow.name, null, false);
}

export async function saveAs(name: string, tags: readonly string[] | null, asNew: boolean): Promise<void> {
  try {
    await saveFile(name, tags, asNew);
    say(t("file.saved", { name }));
    show(null);
  } catch (error) {
    if (error instanceof ServerError && error.status === 412) show({ kind: "conflict" });
    else sayError(error);
  }
}

/** Opens a shared workflow as a read-only copy. */
export async function openShared(token: string): Promise<void> {
  const shared = await call<Json>(`v1/shared/${token}`);
  const inner = isRecord(shared) && isRecord(shared.workflow) ? shared.workflow : {};
  openWorkflow(cleanWorkflow(inner), null, true);
  say(t("share.opened"));
}

const copyText = (text: string, done: string): Promise<void> =>
  navigator.clipboard.writeText(text).then(() => say(done), () => sayError(t("copy.refused")));

export async function share(): Promise<void> {
  const { file } = useSession.getState();
  if (!file) {
    say(t("share.saveFirst"));
    return show({ kind: "save" });
  }
  const { token } = await call<{ token: string }>(`v1/workflows/${file.id}/share`, { method: "POST", json: {} });
  const address = `${url("")}#share=${token}`;
  await copyText(address, t("share.copied", { address }));
}

export async function unshare(): Promise<void> {
  const { file } = useSession.getState();
  if (!file) return say(t("share.saveFirst"));
  await call(`v1/workflows/${file.id}/share`, { method: "DELETE" }).then(() => say(t("share.revoked")), sayError);
}

const origin = (): string => url("").replace(/\/$/, "");
export const copyCurl = (): Promise<void> => copyText(asCurl(origin(), current().workflow), t("copy.curl"));
export const copyPython = (): Promise<void> => copyText(asPython(origin(), current().workflow), t("copy.python"));
