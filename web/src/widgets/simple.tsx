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
