import { useEffect, useState, type FormEvent } from "react";
import { cleanWorkflow } from "../graph/file";
import { difference, isSame, type Difference } from "../graph/difference";
import { writeJson, type Json } from "../graph/json";
import { sourceOf, type Workflow } from "../graph/workflow";
import { call } from "../server/api";
import type { SavedWorkflow, Version } from "../server/types";
import { titleOf } from "../graph/find";
import { useAnswer } from "../state/answer";
import { current, open, useDocument } from "../state/document";
import { useSchema } from "../state/schema";
import { saveFile, useSession } from "../state/session";
import { reveal, say, useView } from "../state/view";
import { t, when } from "../words";

function short(value: Json | undefined): string {
  const source = sourceOf(value);
  if (source) return `← ${source.node}.${source.output}`;
  return value === undefined ? "–" : typeof value === "string" ? value : writeJson(value).slice(0, 60);
}

/** What changed, as a list whose rows lead to the nodes. */
export function Changes({ found }: { readonly found: Difference }) {
  const defs = useSchema((state) => state.definitions);
  const workflow = useDocument((state) => state.workflow);
  const ghosts = useView((view) => view.ghosts);
  const title = (id: string) => ghosts.find((ghost) => ghost.id === id)?.title ?? titleOf(defs, workflow, workflow, id);
  if (isSame(found)) return <p className="nothing">{t("versions.same")}</p>;
  return (
    <ul className="changes">
      {found.added.map((id) => <li key={id} className="added"><button type="button" onClick={() => reveal(id)}>+ {title(id)}</button></li>)}
      {found.removed.map((id) => <li key={id} className="removed">− {title(id)}</li>)}
      {Object.entries(found.changed).map(([id, changes]) => (
        <li key={id} className="changed">
          <button type="button" onClick={() => reveal(id)}>{title(id)}</button>
          {changes.map((change) => <span key={change.input}><b>{change.input}</b> <del>{short(change.before)}</del> <ins>{short(change.after)}</ins></span>)}
        </li>
      ))}
    </ul>
  );
}

function mark(found: Difference | null, old?: Workflow): void {
  const changed = Object.keys(found?.changed ?? {}).map((id) => [id, "changed"] as const);
  const ghosts = (found?.removed ?? []).map((id) => ({ id, title: old?.nodes[id]?.title || (old?.nodes[id]?.type ?? id), position: old?.layout[id]?.position ?? [0, 0] as const }));
  useView.setState({ ghosts, marks: Object.fromEntries([...changed, ...(found?.added ?? []).map((id) => [id, "added"] as const)]) });
}

async function versionOf(id: string, number: number): Promise<Workflow> {
  const version = await call<Version>(`v1/workflows/${id}/versions/${number}`);
  return cleanWorkflow(version.workflow ?? {});
}

async function restore(id: string, number: number): Promise<void> {
  const saved = await call<SavedWorkflow>(`v1/workflows/${id}/versions/${number}/restore`, { method: "POST", json: {} });
  open(saved.workflow ? cleanWorkflow(saved.workflow ?? {}) : await versionOf(id, number));
  useSession.setState({ file: { id, version: saved.version } });
  say(t("versions.restored", { number }));
}

/** The saved versions of this workflow; one chosen is compared with what is open, on the canvas too. */
export function Versions() {
  const file = useSession((state) => state.file);
  const name = useDocument((state) => state.workflow.name);
  const [chosen, setChosen] = useState<{ number: number; found: Difference } | null>(null);
  const [answer] = useAnswer(async () => file && call<{ versions: readonly Version[] }>(`v1/workflows/${file.id}/versions`), [file]);
  useEffect(() => () => mark(null), [file]);
  if (!file) return <p className="nothing">{t("versions.unsaved")}</p>;
  const choose = async (number: number) => {
    const old = await versionOf(file.id, number);
    const found = difference(old, current().workflow);
    setChosen({ number, found });
    mark(found, old);
  };
  const keep = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    await saveFile(current().workflow.name, null, false, String(new FormData(form).get("name")));
    form.reset();
  };
  return (
    <div className="versions">
      <form className="name-version" onSubmit={(event) => void keep(event)}>
        <input name="name" required maxLength={80} aria-label={t("versions.name")} placeholder={t("versions.name")} />
        <button type="submit">{t("save.save")}</button>
      </form>
      <ul aria-label={t("panel.versions")}>
        {answer?.versions.map((version) => (
          <li key={version.version}>
            <button type="button" aria-pressed={chosen?.number === version.version} onClick={() => void choose(version.version)}>
              <b>{version.name && version.name !== name ? version.name : t("versions.number", { number: version.version })}</b>
              <small>{when(version.created)}</small>
            </button>
            <button type="button" className="ghost" onClick={() => void restore(file.id, version.version)}>{t("versions.restore")}</button>
          </li>
        ))}
      </ul>
      {chosen && <><h3>{t("versions.since", { number: chosen.number })}</h3><Changes found={chosen.found} /></>}
    </div>
  );
}
