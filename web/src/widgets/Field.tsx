import { useId, type ClipboardEvent } from "react";
import { isMarked, toggleMark } from "../graph/form";
import { setValue } from "../graph/edit";
import type { Json } from "../graph/json";
import { widgetOf, type Port, type Widget } from "../graph/schema";
import { IconButton } from "../icons";
import { edit, editWorkflow, useDocument } from "../state/document";
import { choices } from "../state/schema";
import { t } from "../words";
import { FileField } from "./FileField";
import { NumberField, SeedField } from "./NumberField";
import { ChoiceField, ColorField, JsonField, TextField, ToggleField } from "./simple";
import { MultilineField } from "./MultilineField";
import { readPasted } from "./paste";

/** What every widget gets: it shows `value` and calls `set`; it knows nothing else of the document. */
export interface WidgetProps {
  readonly id: string;
  readonly label: string;
  readonly value: Json | undefined;
  readonly set: (value: Json) => void;
  readonly widget: Widget;
  readonly node: string;
  readonly input: string;
}

const WIDGETS: Readonly<Record<Widget["kind"], (props: WidgetProps) => React.ReactNode>> = {
  number: NumberField, slider: NumberField, seed: SeedField, text: TextField, multiline: MultilineField, choice: ChoiceField,
  toggle: ToggleField, color: ColorField, image: FileField, file: FileField, json: JsonField,
};

function Mark({ node, input }: { node: string; input: string }) {
  const marked = useDocument((state) => isMarked(state.workflow, node, input));
  const outermost = useDocument((state) => state.path.length === 0);
  if (!outermost) return null;
  return (
    <IconButton
      icon="pin" size={13} className="mark nodrag" label={t("form.mark", { input })} title={t("form.mark", { input })} aria-pressed={marked}
      onClick={() => editWorkflow((workflow) => toggleMark(workflow, node, input))}
    />
  );
}

/** A literal of a node's input, drawn from its JSON schema. */
export function Field({ node, port, label }: { readonly node: string; readonly port: Port; readonly label?: string }) {
  const id = useId();
  const value = useDocument((state) => state.graph.nodes[node]?.inputs[port.name]) ?? port.default;
  const widget = widgetOf(port.field ?? {});
  const Show = WIDGETS[widget.kind];
  const set = (next: Json) => {
    const words = typeof next === "string" ? next.split(/\s+/).length : 0; // a step of undo is a word
    edit((graph) => setValue(graph, node, port.name, next), `value ${node}.${port.name} ${words}`);
  };
  const paste = (event: ClipboardEvent<HTMLElement>) => {
    if ((event.target as HTMLElement).matches("textarea, input:not([type=range], [type=checkbox], [type=color])")) return; // has a cursor
    const names = widget.folder ? [...(widget.extra ?? []), ...(choices(widget.folder) ?? [])] : widget.choices;
    const pasted = readPasted(event.clipboardData.getData("text/plain"), widget, names);
    if (pasted === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    set(pasted);
  };
  return (
    <div className={`field ${widget.kind}`} title={port.description || undefined} onPaste={paste}>
      <label htmlFor={id} title={label === undefined ? port.name : undefined}>{label ?? port.name}</label>
      {label === undefined && <Mark node={node} input={port.name} />}
      <Show id={id} label={label ?? port.name} value={value} set={set} widget={widget} node={node} input={port.name} />
    </div>
  );
}
