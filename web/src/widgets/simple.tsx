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

export function ColorField({ id, label, value, set }: WidgetProps) {
  const color = /^#[0-9a-f]{6}$/i.test(text(value)) ? text(value) : "#000000";
  return (
    <span className="color-field nodrag">
      <input type="color" aria-label={`${label} picker`} value={color} onChange={(event) => set(event.target.value)} />
      <input id={id} type="text" autoComplete="off" spellCheck={false} value={text(value)} onChange={(event) => set(event.target.value)} />
    </span>
  );
}
