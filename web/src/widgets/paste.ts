/** What a pasted text means to a field that has no cursor: a slider, a choice, a toggle, a colour picker. */
import type { Json } from "../graph/json";
import type { Widget } from "../graph/schema";
import { clamp, readNumber } from "./number";

/** The value to set; undefined when the text is none for this widget. */
export function readPasted(text: string, widget: Widget, choices: readonly Json[] = []): Json | undefined {
  const trimmed = text.trim();
  switch (widget.kind) {
    case "toggle": return /^(true|yes|on|1)$/i.test(trimmed) ? true : /^(false|no|off|0)$/i.test(trimmed) ? false : undefined;
    case "number": case "slider": case "seed": {
      const typed = readNumber(trimmed, widget);
      return typed === null ? undefined : clamp(typed, widget);
    }
    case "color": {
      const hex = /^#?([0-9a-f]{6})$/i.exec(trimmed)?.[1];
      return hex === undefined ? undefined : widget.whole ? Number.parseInt(hex, 16) : `#${hex}`;
    }
    case "choice": case "image": case "file": return choices.find((choice) => String(choice) === trimmed);
    default: return undefined;
  }
}
