import { useEffect, useState } from "react";
import type { Draft } from "../graph/api";
import { isRecord } from "../graph/json";
import type { Json } from "../graph/json";
import { Icon } from "../icons";
import { call } from "../server/api";
import { openDraft, useSession } from "../state/session";
import { say, show } from "../state/view";
import { clock, t } from "../words";
import { MiniGraph } from "./MiniGraph";

const SHOWN = 8;

const documentOf = (draft: Draft): Readonly<Record<string, Json>> => (isRecord(draft.draft?.workflow) ? draft.draft.workflow : {});

async function newest(): Promise<Draft[]> {
  const { drafts } = await call<{ drafts: readonly Draft[] }>("v1/drafts");
  const own = useSession.getState().draft;
  const others = drafts.filter((draft) => draft.id !== own).slice(0, SHOWN);
  return Promise.all(others.map((draft) => call<Draft>(`v1/drafts/${draft.id}`)));
}

/** What was open before and never saved: nothing that was made is out of reach. */
export function Drafts() {
  const [drafts, setDrafts] = useState<readonly Draft[]>([]);
  useEffect(() => void newest().then(setDrafts, () => undefined), []);
  if (!drafts.length) return null;
  const open = async (id: string) => {
    await openDraft(id);
    show(null);
  };
  const remove = async (id: string) => {
    await call(`v1/drafts/${id}`, { method: "DELETE" }).catch((error: Error) => say(error.message, "error"));
    setDrafts((known) => known.filter((draft) => draft.id !== id));
  };
  return (
    <>
      <h3>{t("library.drafts")}</h3>
      <ul className="library-cards" aria-label={t("library.drafts")}>
        {drafts.map((draft) => {
          const name = String(documentOf(draft).name || t("file.untitled"));
          return (
            <li key={draft.id} className="library-card">
              <button type="button" onClick={() => void open(draft.id)}>
                <MiniGraph document={documentOf(draft)} />
                <b>{name}</b>
                <small>{new Date(draft.updated * 1000).toLocaleDateString()} {clock(draft.updated)}</small>
              </button>
              <button type="button" className="ghost remove" aria-label={t("library.remove", { name })} onClick={() => void remove(draft.id)}><Icon name="trash" /></button>
            </li>
          );
        })}
      </ul>
    </>
  );
}
