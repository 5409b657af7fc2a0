import type { FormEvent } from "react";
import { saveAs } from "../actions/library";
import { current } from "../state/document";
import { useSession } from "../state/session";
import { show } from "../state/view";
import { t } from "../words";
import { Dialog } from "./Dialog";

export function SaveDialog() {
  const file = useSession((state) => state.file);
  const submit = (asNew: boolean) => (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const tags = String(data.get("tags") ?? "").split(",").map((tag) => tag.trim()).filter(Boolean);
    void saveAs(String(data.get("name") ?? "").trim() || t("file.untitled"), tags, asNew);
  };
  return (
    <Dialog label={t("save.title")} className="small">
      <form onSubmit={submit(true)}>
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
