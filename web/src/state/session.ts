/** Which workflow this window has open, and how it is kept: drafts by themselves, files when asked. */
import { create } from "zustand";
import { cleanWorkflow } from "../graph/file";
import { isRecord, parseJson, sameJson, writeJson, type Json } from "../graph/json";
import type { Workflow } from "../graph/workflow";
import { ServerError, call, newKey, send } from "../server/api";
import type { SavedWorkflow } from "../server/types";
import { t } from "../words";
import { amend, current, open, unlock, useDocument } from "./document";
import { forgetRun, useRun } from "./run";
import { loadHistory } from "./events";
import { say, show } from "./view";

interface SessionState {
  readonly draft: string;
  /** The draft's version on the server, from its ETag; null while it has none. */
  readonly revision: string | null;
  /** The named workflow in the library that this is a copy of. */
  readonly file: { readonly id: string; readonly version: number } | null;
  readonly saved: "saved" | "saving" | "offline" | "conflict";
}

export const useSession = create<SessionState>(() => ({ draft: newKey(), revision: null, file: null, saved: "saved" }));

const local = (draft: string) => `graphflow.draft.${draft}`;
const LAST = "graphflow.last";
/** What was opened and not changed since: a reload finds it here, for no draft of it is kept yet. */
const OPENED = "graphflow.opened";

function begin(workflow: Workflow, session: SessionState, locked = false): void {
  forgetRun();
  useSession.setState(session);
  open(workflow, locked);
  sessionStorage.setItem(LAST, session.draft);
  void loadHistory();
}

/** Opens a workflow under a new draft; a locked one is kept as a draft once it is one's own. */
export function openWorkflow(workflow: Workflow, file: SessionState["file"] = null, locked = false, draft = newKey()): void {
  begin(workflow, { draft, revision: null, file, saved: "saved" }, locked);
  try {
    sessionStorage.setItem(OPENED, writeJson({ workflow, file, locked }));
  } catch {
    sessionStorage.removeItem(OPENED); // too large for it: a reload before the first edit opens it no more
  }
}

const record = () => ({ workflow: current().workflow, file: useSession.getState().file });

/** Keeps the workflow in this browser, until the server has it. */
function keepHere(draft = useSession.getState().draft): void {
  sessionStorage.removeItem(OPENED);
  localStorage.setItem(local(draft), writeJson({ ...record(), revision: useSession.getState().revision }));
}

async function put(): Promise<void> {
  const { draft, revision } = useSession.getState();
  const { workflow } = current();
  useSession.setState({ saved: "saving" });
  try {
    const response = await send(`v1/drafts/${draft}`, {
      method: "PUT", json: record(), headers: revision === null ? {} : { "If-Match": revision },
    });
    useSession.setState({ revision: response.headers.get("ETag") });
    if (workflow === current().workflow) {
      useSession.setState({ saved: "saved" });
      localStorage.removeItem(local(draft));
    }
  } catch (error) {
    const conflict = error instanceof ServerError && (error.status === 412 || error.status === 409);
    useSession.setState({ saved: conflict ? "conflict" : "offline" });
    if (!conflict) return;
    localStorage.removeItem(local(draft)); // the draft is the other window's now; ours is kept under a name of its own
    keepHere(`${draft}-${newKey().slice(0, 4)}`);
    show({ kind: "conflict" });
  }
}

function forgetCopies(draft: string): void {
  for (const key of Object.keys(localStorage)) if (key.startsWith(local(`${draft}-`))) localStorage.removeItem(key);
}

/** Keeps this window's workflow as a draft of its own, beside the other window's. */
export async function keepMine(): Promise<void> {
  forgetCopies(useSession.getState().draft);
  useSession.setState({ draft: newKey(), revision: null });
  sessionStorage.setItem(LAST, useSession.getState().draft);
  show(null);
  await put();
}

/** Takes the other window's workflow instead of this one's. */
export async function takeTheirs(): Promise<void> {
  forgetCopies(useSession.getState().draft);
  show(null);
  await openDraft(useSession.getState().draft);
}

interface Kept {
  readonly workflow: Workflow;
  readonly file: SessionState["file"];
  /** In this browser's copy: what the server had when it was last told. */
  readonly revision: string | null;
  readonly locked: boolean;
}

function read(json: Json): Kept | null {
  if (!isRecord(json)) return null;
  const body = isRecord(json.draft) ? json.draft : json;
  if (!isRecord(body.workflow)) return null;
  const file = isRecord(body.file) ? { id: String(body.file.id), version: Number(body.file.version) } : null;
  return { workflow: cleanWorkflow(body.workflow), file, revision: typeof body.revision === "string" ? body.revision : null, locked: body.locked === true };
}

/** Opens a draft: this browser's copy when the server could not be told, else the server's. False when there is none. */
export async function openDraft(draft: string): Promise<boolean> {
  const kept = localStorage.getItem(local(draft));
  let revision: string | null = null;
  let found: Kept | null = null;
  const own = kept ? read(parseJson(kept)) : null;
  if (!own || own.revision !== null) // else the server was never told of it
    try {
      const response = await send(`v1/drafts/${draft}`);
      revision = response.headers.get("ETag");
      found = read(parseJson(await response.text()));
    } catch {
      // not on the server: this browser's copy may still be there
    }
  if (own && found && own.revision !== revision && !sameJson(own.workflow, found.workflow)) {
    localStorage.removeItem(local(draft)); // changed elsewhere while the server was away from here: both are kept
    draft = newKey();
    revision = null;
  }
  found = own ?? found;
  if (!found) return false;
  begin(found.workflow, { draft, revision, file: found.file, saved: kept ? "offline" : "saved" });
  sessionStorage.removeItem(OPENED);
  if (kept) void put();
  return true;
}

/** Opens what this window had open, or the newest draft of this server. */
export async function openLast(): Promise<boolean> {
  const last = sessionStorage.getItem(LAST);
  const opened = sessionStorage.getItem(OPENED);
  const found = last && opened ? read(parseJson(opened)) : null;
  if (last && found) {
    openWorkflow(found.workflow, found.file, found.locked, last);
    return true;
  }
  if (last && (await openDraft(last))) return true;
  for (const key of Object.keys(localStorage)) {
    const prefix = local("");
    if (key.startsWith(prefix) && (await openDraft(key.slice(prefix.length)))) return true;
  }
  const { drafts } = await call<{ drafts: readonly { id: string; updated: number }[] }>("v1/drafts").catch(() => ({ drafts: [] }));
  const newest = [...drafts].sort((a, b) => b.updated - a.updated)[0];
  return newest ? openDraft(newest.id) : false;
}

/** Saves into the library; 412 means that someone else saved meanwhile, and is thrown on. */
export async function saveFile(name: string, tags: readonly string[] | null, asNew: boolean, version?: string): Promise<void> {
  amend((workflow) => ({ ...workflow, name }));
  const { file } = useSession.getState();
  const { workflow } = current();
  const body = { name, ...(tags ? { tags } : {}), ...(version ? { version_name: version } : {}), workflow };
  const saved = file && !asNew
    ? await call<SavedWorkflow>(`v1/workflows/${file.id}`, { method: "PUT", json: body, headers: { "If-Match": `"${file.version}"` } })
    : await call<SavedWorkflow>("v1/workflows", { json: body });
  useSession.setState({ file: { id: saved.id, version: saved.version } });
  unlock();
  const picture = Object.values(useRun.getState().results).flat().findLast((output) => output.media_type.startsWith("image/"));
  if (picture && saved.thumbnail !== picture.asset)
    await call(`v1/workflows/${saved.id}`, { method: "PUT", json: { thumbnail: picture.asset }, headers: { "If-Match": `"${saved.version}"` } });
  void put();
}

/** Writes every edit at once into this browser, and a second later to the server. */
export function startDrafts(): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  useDocument.subscribe((state, before) => {
    if (state.refused !== before.refused) say(t("share.locked"));
    if (state.workflow === before.workflow || state.locked || state.opened !== before.opened || useSession.getState().saved === "conflict") return;
    clearTimeout(timer);
    useSession.setState({ saved: "saving" });
    timer = setTimeout(() => {
      keepHere();
      void put();
    }, 600);
  });
  addEventListener("pagehide", () => useSession.getState().saved === "saving" && keepHere());
  setInterval(() => useSession.getState().saved === "offline" && void put(), 5000);
}
