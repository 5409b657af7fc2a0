import { useState } from "react";
import { newWorkflow, openSaved, openTemplate, templates } from "../actions/library";
import { score } from "../graph/find";
import { Icon } from "../icons";
import { call, thumbnailUrl, url } from "../server/api";
import type { SavedWorkflow } from "../server/types";
import { useAnswer } from "../state/answer";
import { show } from "../state/view";
import { t } from "../words";
import { Dialog } from "./Dialog";
import { Drafts } from "./Drafts";
import { LibraryCard } from "./LibraryCard";

const pictureOf = (thumbnail: string | null | undefined): string | null =>
  !thumbnail ? null : /^[0-9a-f]{32}$/.test(thumbnail) ? thumbnailUrl(thumbnail) : url(thumbnail);

/** A slash in a name makes a folder: `Portraits/Fox`. */
const folderOf = (name: string): string => name.slice(0, Math.max(0, name.lastIndexOf("/"))).trim();

/** Shipped templates, and the workflows saved on this server. */
export function LibraryDialog() {
  const [query, setQuery] = useState("");
  const [shipped] = useAnswer(templates, []);
  const [saved, again] = useAnswer(() => call<{ workflows: readonly SavedWorkflow[] }>("v1/workflows"), []);
  const mine = (saved?.workflows ?? []).filter((one) => score(query, one.name, ...one.tags) > 0);
  const folders = [...new Set(mine.map((one) => folderOf(one.name)))].sort();
  const cards = (folder: string) => (
    <ul className="library-cards" aria-label={folder || t("library.mine")}>
      {mine.filter((one) => folderOf(one.name) === folder).map((one) => (
        <LibraryCard
          key={one.id} title={one.name.slice(folder ? folder.length + 1 : 0) || t("file.untitled")} text={one.tags.join(" · ") || new Date(one.updated * 1000).toLocaleDateString()}
          picture={pictureOf(one.thumbnail)} open={() => void openSaved(one.id)}
          name={one.name} remove={() => void call(`v1/workflows/${one.id}`, { method: "DELETE" }).then(again)}
        />
      ))}
    </ul>
  );
  const offered = (shipped ?? []).filter((one) => score(query, one.title, one.description) > 0);
  return (
    <Dialog label={t("do.library")} className="library">
      <p className="library-bar">
        <input type="search" aria-label={t("library.search")} placeholder={t("library.search")} value={query} autoFocus onChange={(event) => setQuery(event.target.value)} />
        <button type="button" onClick={() => { newWorkflow(); show(null); }}><Icon name="plus" />{t("do.new")}</button>
      </p>
      <h3>{t("library.mine")}</h3>
      {folders.map((folder) => folder && (
        <details key={folder} className="folder" open={Boolean(query)}>
          <summary>{folder} <small>{mine.filter((one) => folderOf(one.name) === folder).length}</small></summary>
          {cards(folder)}
        </details>
      ))}
      {cards("")}
      {!mine.length && <p className="nothing">{t("library.none")}</p>}
      {!query && <Drafts />}
      <h3>{t("library.templates")}</h3>
      <ul className="library-cards" aria-label={t("library.templates")}>
        {offered.map((one) => <LibraryCard key={one.name} title={one.title} text={one.description} picture={pictureOf(one.thumbnail)} workflow={one.workflow} open={() => openTemplate(one)} />)}
      </ul>
    </Dialog>
  );
}
