import { useState } from "react";
import { openSaved, saveAs } from "../actions/library";
import { difference, type Difference } from "../graph/difference";
import { cleanWorkflow } from "../graph/file";
import { call } from "../server/api";
import type { SavedWorkflow } from "../server/types";
import { current } from "../state/document";
import { keepMine, takeTheirs, useSession } from "../state/session";
import { t } from "../words";
import { Dialog } from "./Dialog";
import { Changes } from "./Versions";

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
