import { changeItem, formItems, moveItem } from "../graph/form";
import { titleOf } from "../graph/find";
import type { FormItem } from "../graph/workflow";
import { Icon, IconButton } from "../icons";
import { assetUrl } from "../server/api";
import { editWorkflow, useDocument } from "../state/document";
import { isActive, shownJob, useRun } from "../state/run";
import { useDefinition, useSchema } from "../state/schema";
import { cancelShown, run } from "../state/submit";
import { show } from "../state/view";
import { toAsset } from "../canvas/Results";
import { Field } from "../widgets/Field";
import { t } from "../words";
import { useState } from "react";

function Item({ item, index, arranging }: { item: FormItem; index: number; arranging: boolean }) {
  const def = useDefinition(item.node);
  const defs = useSchema((state) => state.definitions);
  const workflow = useDocument((state) => state.workflow);
  const port = def?.inputs.find((one) => one.name === item.input);
  if (!port?.field) return null;
  const label = item.label ?? `${titleOf(defs, workflow, workflow, item.node)} · ${item.input}`;
  return (
    <div className="form-item">
      <Field node={item.node} port={port} label={label} />
      {arranging && (
        <p className="buttons">
          <input aria-label={t("form.label")} placeholder={t("form.label")} value={item.label ?? ""} onChange={(event) => editWorkflow((one) => changeItem(one, index, { label: event.target.value }), `form ${index}`)} />
          <input aria-label={t("form.group")} placeholder={t("form.group")} value={item.group ?? ""} onChange={(event) => editWorkflow((one) => changeItem(one, index, { group: event.target.value }), `form group ${index}`)} />
          <IconButton icon="up" label={t("form.up")} onClick={() => editWorkflow((one) => moveItem(one, index, -1))} />
          <IconButton icon="down" label={t("form.down")} onClick={() => editWorkflow((one) => moveItem(one, index, 1))} />
        </p>
      )}
    </div>
  );
}

function Outcome() {
  const previews = useRun((state) => state.previews);
  const results = useRun((state) => state.results);
  const job = useRun(shownJob);
  const pictures = Object.values(results).flat().filter((output) => output.media_type.startsWith("image/"));
  const preview = Object.values(previews).at(-1);
  const busy = job && isActive(job);
  return (
    <section className="outcome" aria-label={t("panel.results")}>
      {busy && <span className="bar"><i style={{ transform: `scaleX(${job.progress})` }} /></span>}
      {busy && preview && <img className="preview" src={preview} alt={t("card.preview")} />}
      {!(busy && preview) && pictures.map((output) => (
        <button key={output.asset} type="button" className="result" aria-label={t("card.openResult", { name: output.name })} onClick={() => show({ kind: "viewer", asset: toAsset(output) })}>
          <img src={assetUrl(output.asset)} alt={output.name} />
        </button>
      ))}
      {!busy && !pictures.length && <p className="nothing place">{t("form.noResult")}</p>}
    </section>
  );
}

/** The workflow as a form: the inputs that matter, one button, the result. Works on a phone. */
export function FormView() {
  const workflow = useDocument((state) => state.workflow);
  const defs = useSchema((state) => state.definitions);
  const busy = useRun((state) => isActive(shownJob(state)));
  const sending = useRun((state) => state.sending > 0);
  const [arranging, setArranging] = useState(false);
  const items = formItems(defs, workflow);
  const groups = [...new Set(items.map((item) => item.group ?? ""))];
  const place = (item: FormItem) => (workflow.form ?? []).indexOf(item);
  return (
    <main className="form-view" aria-label={t("bar.form")}>
      <form onSubmit={(event) => { event.preventDefault(); void run(); }}>
        <h1>{workflow.name || t("file.untitled")}</h1>
        {workflow.description && <p>{workflow.description}</p>}
        {groups.map((group) => (
          <fieldset key={group}>
            {group && <legend>{group}</legend>}
            {items.filter((item) => (item.group ?? "") === group).map((item) => <Item key={`${item.node}.${item.input}`} item={item} index={place(item)} arranging={arranging && place(item) >= 0} />)}
          </fieldset>
        ))}
        {!items.length && <p className="nothing">{t("form.empty")}</p>}
        <p className="buttons form-run">
          <button type="submit" className="primary run" aria-busy={sending}><Icon name="play" />{t("bar.run")}</button>
          {busy && <button type="button" onClick={cancelShown}><Icon name="stop" />{t("do.cancel")}</button>}
          {Boolean(workflow.form?.length) && <button type="button" aria-pressed={arranging} onClick={() => setArranging(!arranging)}>{t("form.arrange")}</button>}
        </p>
      </form>
      <Outcome />
    </main>
  );
}
