import { sameJson, type Json } from "../graph/json";
import { useSchema } from "../state/schema";
import { t } from "../words";
import type { WidgetProps } from "./Field";

const LONG = 120;

/** One of a list. A value that is not in it stays, marked as missing. */
export function ChoiceField({ id, value, set, widget }: WidgetProps) {
  const files = useSchema((state) => (widget.folder ? state.folders[widget.folder] : undefined));
  const options: readonly Json[] = widget.folder ? [...(widget.extra ?? []), ...(files ?? []).map((file) => file.name)] : (widget.choices ?? []);
  const index = options.findIndex((option) => sameJson(option, value));
  if (options.length > LONG && options.every((option) => typeof option === "string"))
    return (
      <>
        <input id={id} className="nodrag" list={`${id}-list`} autoComplete="off" value={String(value ?? "")} onChange={(event) => set(event.target.value)} />
        <datalist id={`${id}-list`}>{options.map((option) => <option key={String(option)} value={String(option)} />)}</datalist>
      </>
    );
  return (
    <select id={id} className="nodrag" value={index} onChange={(event) => set(options[Number(event.target.value)] ?? "")}>
      {index < 0 && <option value={-1}>{value === undefined || value === null || value === "" ? t("choice.none") : t("choice.missing", { name: String(value) })}</option>}
      {options.map((option, i) => <option key={String(option)} value={i}>{String(option)}</option>)}
    </select>
  );
}
