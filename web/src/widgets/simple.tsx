import { useState } from "react";
import { parseJson, sameJson, writeJson, type Json } from "../graph/json";
import { useSchema } from "../state/schema";
import { t } from "../words";
import type { WidgetProps } from "./Field";

const text = (value: unknown): string => (typeof value === "string" ? value : value === null || value === undefined ? "" : String(value));

export function TextField({ id, value, set }: WidgetProps) {
  return <input id={id} className="nodrag" type="text" autoComplete="off" spellCheck={false} value={text(value)} onChange={(event) => set(event.target.value)} />;
}

export function ToggleField({ id, value, set }: WidgetProps) {
  return (
    <span className="switch nodrag">
      <input id={id} type="checkbox" role="switch" checked={Boolean(value)} onChange={(event) => set(event.target.checked)} />
      <i aria-hidden="true" />
    </span>
  );
}

/** `#rrggbb`; some inputs keep it as a whole number. */
export const toHex = (value: unknown): string =>
  typeof value === "number" ? `#${value.toString(16).padStart(6, "0")}` : text(value);

export function ColorField({ id, label, value, set, widget }: WidgetProps) {
  const hex = toHex(value);
  const isColor = (one: string) => /^#[0-9a-f]{6}$/i.test(one);
  const take = (next: string) => {
    if (!widget.whole) set(next);
    else if (isColor(next)) set(Number.parseInt(next.slice(1), 16));
  };
  return (
    <span className="color-field nodrag">
      <input type="color" aria-label={`${label} picker`} value={isColor(hex) ? hex : "#000000"} onChange={(event) => take(event.target.value)} />
      <input key={hex} id={id} type="text" autoComplete="off" spellCheck={false} defaultValue={hex} onBlur={(event) => take(event.target.value)} />
    </span>
  );
}

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

/** A value of any shape, as JSON text; it is taken over when it can be read. */
export function JsonField({ id, value, set }: WidgetProps) {
  const [draft, setDraft] = useState<string | null>(null);
  const [wrong, setWrong] = useState(false);
  const change = (text: string) => {
    setDraft(text);
    try {
      set(parseJson(text));
      setWrong(false);
    } catch {
      setWrong(true);
    }
  };
  return (
    <>
      <textarea
        id={id} className="nodrag nowheel code" rows={2} aria-invalid={wrong} spellCheck={false}
        value={draft ?? (value === undefined ? "" : writeJson(value))} onChange={(event) => change(event.target.value)} onBlur={() => !wrong && setDraft(null)}
      />
      {wrong && <small className="clamp-note" role="status">{t("field.notJson")}</small>}
    </>
  );
}
