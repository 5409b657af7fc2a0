import { useState, type FormEvent } from "react";
import { openSaved, saveAs } from "../actions/library";
import { difference, type Difference } from "../graph/difference";
import { cleanWorkflow } from "../graph/file";
import { call } from "../server/api";
import type { SavedWorkflow } from "../server/types";
import { current } from "../state/document";
import { keepMine, takeTheirs, useSession } from "../state/session";
import { show } from "../state/view";
import { t } from "../words";
import { Dialog } from "./Dialog";
import { Changes } from "./Versions";

export function SaveDialog() {
  const file = useSession((state) => state.file);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const tags = String(data.get("tags") ?? "").split(",").map((tag) => tag.trim()).filter(Boolean);
    void saveAs(String(data.get("name") ?? "").trim() || t("file.untitled"), tags, true);
  };
  return (
    <Dialog label={t("save.title")} className="small">
      <form onSubmit={submit}>
        <label>{t("save.name")}<input name="name" defaultValue={current().workflow.name} autoFocus required aria-describedby="folder-hint" /><small id="folder-hint">{t("save.folderHint")}</small></label>
        <label>{t("save.tags")}<input name="tags" placeholder={t("save.tagsHint")} /></label>
        <p className="buttons">
          <button type="submit" className="primary">{t(file ? "save.asNew" : "save.save")}</button>
          <button type="button" onClick={() => show(null)}>{t("dialog.cancel")}</button>
        </p>
      </form>
    </Dialog>
  );
}

/** Another window or person changed the same workflow: nothing is overwritten before this is answered. */
export function ConflictDialog() {
  const { saved, file, draft } = useSession.getState();
  const ofDraft = saved === "conflict";
  const [found, setFound] = useState<Difference | null>(null);
  const compare = async () => {
    const path = ofDraft ? `v1/drafts/${draft}` : `v1/workflows/${file?.id ?? ""}`;
    const theirs = await call<SavedWorkflow & { draft?: SavedWorkflow }>(path);
    const workflow = theirs.workflow ?? theirs.draft?.workflow;
    setFound(difference(cleanWorkflow(workflow ?? {}), current().workflow));
  };
  const keep = () => (ofDraft ? keepMine() : saveAs(t("conflict.copyOf", { name: current().workflow.name }), null, true));
  const take = () => (ofDraft ? takeTheirs() : openSaved(file?.id ?? ""));
  return (
    <Dialog label={t("conflict.title")} className="small">
      <p>{t("conflict.text")}</p>
      <p className="buttons">
        <button type="button" className="primary" onClick={() => void keep()}>{t("conflict.keep")}</button>
        <button type="button" onClick={() => void take()}>{t("conflict.take")}</button>
        <button type="button" onClick={() => void compare()}>{t("conflict.compare")}</button>
      </p>
      {found && <Changes found={found} />}
    </Dialog>
  );
}
