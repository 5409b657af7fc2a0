import { useState } from "react";
import { titleOf } from "../graph/find";
import { widgetOf, definitionOf } from "../graph/schema";
import { sourceOf } from "../graph/workflow";
import { thumbnailUrl } from "../server/api";
import { parseJson, type Json } from "../graph/json";
import { current } from "../state/document";
import { useRun } from "../state/run";
import { useSchema } from "../state/schema";
import { runGrid } from "../state/submit";
import { count, t } from "../words";
import { Dialog } from "./Dialog";

/** Values from a line: `1, 2, 3`, or one a line for texts; `1..4` and `0..1 by 0.25` count. */
export function readValues(text: string): Json[] {
  const range = /^\s*(-?[\d.]+)\s*\.\.\s*(-?[\d.]+)(?:\s*by\s*([\d.]+))?\s*$/.exec(text);
  if (range) {
    const [from, to, by] = [Number(range[1]), Number(range[2]), Number(range[3] ?? 1)];
    return Array.from({ length: Math.max(0, Math.min(99, Math.floor((to - from) / by + 1e-9) + 1)) }, (_, i) => Number((from + i * by).toFixed(6)));
  }
  const parts = text.includes("\n") ? text.split("\n") : text.split(",");
  return parts.map((part) => part.trim()).filter(Boolean).map((part) => {
    try {
      const json = parseJson(part);
      return typeof json === "object" ? part : json;
    } catch {
      return part;
    }
  });
}

interface Axis {
  readonly key: string;
  readonly text: string;
}

/** Every literal of the workflow that can be varied. */
function variable(): { key: string; label: string }[] {
  const { workflow } = current();
  const defs = useSchema.getState().definitions;
  return Object.entries(workflow.nodes).flatMap(([id, node]) =>
    definitionOf(defs, workflow, id, node)
      .inputs.filter((port) => port.field && widgetOf(port.field).kind !== "json" && !sourceOf(node.inputs[port.name]))
      .map((port) => ({ key: `${id}.${port.name}`, label: `${titleOf(defs, workflow, workflow, id)} · ${port.name}` })),
  );
}

function AxisFields({ label, axis, change }: { label: string; axis: Axis; change: (axis: Axis) => void }) {
  return (
    <fieldset>
      <legend>{label}</legend>
      <select aria-label={t("batch.input", { axis: label })} value={axis.key} onChange={(event) => change({ ...axis, key: event.target.value })}>
        <option value="">{t("batch.nothing")}</option>
        {variable().map((one) => <option key={one.key} value={one.key}>{one.label}</option>)}
      </select>
      <textarea aria-label={t("batch.values", { axis: label })} rows={2} placeholder={t("batch.hint")} value={axis.text} onChange={(event) => change({ ...axis, text: event.target.value })} />
    </fieldset>
  );
}

function Grid({ jobs, columns }: { jobs: readonly { id: string; label: string }[]; columns: number }) {
  const known = useRun((state) => state.jobs);
  return (
    <div className="batch-grid" style={{ gridTemplateColumns: `repeat(${Math.max(columns, 1)}, minmax(72px, 1fr))` }}>
      {jobs.map(({ id, label }) => {
        const picture = known[id]?.outputs.find((output) => output.media_type.startsWith("image/"));
        return <figure key={id}>{picture ? <img src={thumbnailUrl(picture.asset)} alt={label} /> : <span className="pending" />}<figcaption>{label}</figcaption></figure>;
      })}
    </div>
  );
}

/** Varies one or two values: the number of runs is said first, the results come as a labelled grid. */
export function BatchDialog() {
  const [across, setAcross] = useState<Axis>({ key: "", text: "" });
  const [down, setDown] = useState<Axis>({ key: "", text: "" });
  const [jobs, setJobs] = useState<readonly { id: string; label: string }[]>([]);
  const columns = across.key ? readValues(across.text) : [];
  const rows = down.key && down.key !== across.key ? readValues(down.text) : [];
  const cells = (rows.length ? rows : [undefined]).flatMap((row) => columns.map((column) => ({
    label: [[across.key, column] as const, ...(row === undefined ? [] : [[down.key, row] as const])].map(([key, value]) => `${key.split(".").at(-1) ?? ""} ${String(value)}`).join(" · "),
    overrides: { [across.key]: column, ...(row === undefined ? {} : { [down.key]: row }) },
  })));
  return (
    <Dialog label={t("do.batch")} className="batch">
      <AxisFields label={t("batch.across")} axis={across} change={setAcross} />
      <AxisFields label={t("batch.down")} axis={down} change={setDown} />
      <p className="buttons">
        <button type="button" className="primary" disabled={!cells.length} onClick={() => void runGrid(cells).then(setJobs)}>{count(cells.length, "batch.one", "batch.many")}</button>
      </p>
      {jobs.length > 0 && <Grid jobs={jobs} columns={columns.length} />}
    </Dialog>
  );
}
