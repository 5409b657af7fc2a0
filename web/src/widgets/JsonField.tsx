import { useState } from "react";
import { parseJson, writeJson } from "../graph/json";
import { t } from "../words";
import type { WidgetProps } from "./Field";

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
