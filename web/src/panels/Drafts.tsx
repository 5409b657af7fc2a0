import type { Draft } from "../graph/api";
import { isRecord, type Json } from "../graph/json";
import { call } from "../server/api";
import { useAnswer } from "../state/answer";
import { openDraft, useSession } from "../state/session";
import { show } from "../state/view";
import { t, when } from "../words";
import { LibraryCard } from "./LibraryCard";

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
  const [drafts, again] = useAnswer(() => newest().catch(() => null), []);
  if (!drafts?.length) return null;
  return (
    <>
      <h3>{t("library.drafts")}</h3>
      <ul className="library-cards" aria-label={t("library.drafts")}>
        {drafts.map((draft) => (
          <LibraryCard
            key={draft.id} title={String(documentOf(draft).name || t("file.untitled"))} text={when(draft.updated)} workflow={documentOf(draft)}
            open={() => void openDraft(draft.id).then(() => show(null))}
            remove={() => void call(`v1/drafts/${draft.id}`, { method: "DELETE" }).then(again)}
          />
        ))}
      </ul>
    </>
  );
}
