import { useEffect, useRef, useState, type KeyboardEvent } from "react";
import { isDrawn, setDrawn } from "../graph/edit";
import { Icon } from "../icons";
import { edit, useDocument } from "../state/document";
import { t } from "../words";
import type { WidgetProps } from "./Field";
import { clamp, readNumber, stepped, type Numeric } from "./number";

const shown = (value: unknown): string => (typeof value === "number" || typeof value === "bigint" || typeof value === "string" ? String(value) : "");

export function NumberField({ id, label, value, set, widget }: WidgetProps) {
  const [draft, setDraft] = useState<string | null>(null);
  const [note, setNote] = useState("");
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const numeric: Numeric = typeof value === "bigint" ? value : Number(value ?? 0);
  const commit = (text: string) => {
    setDraft(null);
    const typed = readNumber(text, widget);
    if (typed === null) return;
    const kept = clamp(typed, widget);
    if (kept !== typed) {
      setNote(t("field.clamped", { value: kept }));
      clearTimeout(timer.current);
      timer.current = setTimeout(() => setNote(""), 2500);
    }
    if (kept !== value) set(kept);
  };
  const key = (event: KeyboardEvent<HTMLInputElement>) => {
    const steps = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
    if (event.key === "Enter") commit(event.currentTarget.value);
    if (event.key === "Escape") setDraft(null);
    if (steps === undefined) return;
    event.preventDefault();
    setDraft(null);
    set(stepped(readNumber(event.currentTarget.value, widget) ?? numeric, event.shiftKey ? steps * 10 : steps, widget));
  };
  return (
    <span className={`number-box nodrag ${note ? "clamped" : ""}`}>
      {widget.kind === "slider" && (
        <input
          type="range" className="nodrag" aria-label={t("field.slider", { label })} min={widget.min} max={widget.max} step={widget.step}
          value={Number(numeric)} onChange={(event) => set(Number(event.target.value))}
        />
      )}
      <button type="button" className="ghost" tabIndex={-1} aria-label={t("field.less", { label })} onClick={() => set(stepped(numeric, -1, widget))}>−</button>
      <input
        id={id} type="text" role="spinbutton" inputMode="decimal" autoComplete="off" aria-valuenow={Number(numeric)} aria-valuemin={widget.min}
        aria-valuemax={widget.max} value={draft ?? shown(value)} onChange={(event) => setDraft(event.target.value)} onKeyDown={key}
        onBlur={(event) => draft !== null && commit(event.target.value)}
      />
      <button type="button" className="ghost" tabIndex={-1} aria-label={t("field.more", { label })} onClick={() => set(stepped(numeric, 1, widget))}>+</button>
      {note && <small className="clamp-note" role="status">{note}</small>}
    </span>
  );
}

/** A seed: drawn anew for each run, or fixed. After a run the number shown is the one it used. */
export function SeedField(props: WidgetProps) {
  const { node, input } = props;
  const drawn = useDocument((state) => isDrawn(state.graph, node, input));
  const put = (next: boolean) => edit((graph) => setDrawn(graph, node, input, next));
  return (
    <span className="seed-field nodrag">
      <NumberField {...props} set={(value) => props.set(value)} />
      <button
        type="button" className="toggle-icon" aria-pressed={drawn} aria-label={t("seed.new", { label: props.label })}
        title={t(drawn ? "seed.isNew" : "seed.isFixed")} onClick={() => put(!drawn)}
      >
        <Icon name={drawn ? "dice" : "lock"} />
      </button>
    </span>
  );
}
