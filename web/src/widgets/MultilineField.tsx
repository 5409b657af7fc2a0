import type { KeyboardEvent } from "react";
import { IconButton } from "../icons";
import { show } from "../state/view";
import { t } from "../words";
import type { WidgetProps } from "./Field";
import { weighted } from "./weight";

/** Ctrl+Up and Ctrl+Down change the weight of the selected words: `(words:1.1)`. */
export function weightKey(event: KeyboardEvent<HTMLTextAreaElement>, set: (text: string) => void): void {
  if (!(event.ctrlKey || event.metaKey) || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
  event.preventDefault();
  const area = event.currentTarget;
  const next = weighted(area.value, area.selectionStart, area.selectionEnd, event.key === "ArrowUp" ? 0.05 : -0.05);
  set(next.text);
  requestAnimationFrame(() => area.setSelectionRange(next.start, next.end));
}

export function MultilineField({ id, value, set, node, input }: WidgetProps) {
  const text = typeof value === "string" ? value : "";
  return (
    <span className="multiline-field">
      <textarea id={id} className="nodrag nowheel" rows={3} value={text} onChange={(event) => set(event.target.value)} onKeyDown={(event) => weightKey(event, set)} />
      <IconButton icon="expand" size={13} className="nodrag enlarge" label={t("text.large")} onClick={() => show({ kind: "text", node, input })} />
    </span>
  );
}
