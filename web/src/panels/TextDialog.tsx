import { setValue } from "../graph/edit";
import { titleOf } from "../graph/find";
import { current, edit, useDocument } from "../state/document";
import { useSchema } from "../state/schema";
import { run } from "../state/submit";
import { show } from "../state/view";
import { t } from "../words";
import { weightKey } from "../widgets/MultilineField";
import { Dialog } from "./Dialog";

/** A prompt with room; Ctrl+Enter runs. */
export function TextDialog({ node, input }: { readonly node: string; readonly input: string }) {
  const value = useDocument((state) => state.graph.nodes[node]?.inputs[input]);
  const set = (text: string) => edit((graph) => setValue(graph, node, input, text), `value ${node}.${input}`);
  return (
    <Dialog label={`${titleOf(useSchema.getState().definitions, current().workflow, current().graph, node)} · ${input}`} className="text">
      <textarea
        aria-label={input} autoFocus value={typeof value === "string" ? value : ""} onChange={(event) => set(event.target.value)}
        onKeyDown={(event) => {
          weightKey(event, set);
          if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
          show(null);
          void run();
        }}
      />
      <p><small>{t("text.keys")}</small></p>
    </Dialog>
  );
}
