import { setTitle, toggleMode } from "../graph/edit";
import type { NodeDef } from "../graph/schema";
import { badgeHint, badgeText } from "../canvas/CardTitle";
import { colorOf } from "../canvas/types";
import { edit, useDocument } from "../state/document";
import { useNodeRun } from "../state/node-run";
import { useDefinition } from "../state/schema";
import { useView } from "../state/view";
import { t } from "../words";
import { toggleFrozen } from "../actions/freeze";
import { openTemplate, templates } from "../actions/library";
import { Markdown } from "./Markdown";

function Ports({ label, ports }: { label: string; ports: readonly { name: string; type: string; description: string }[] }) {
  if (!ports.length) return null;
  return (
    <>
      <h3>{label}</h3>
      <dl className="ports">
        {ports.map((port) => (
          <div key={port.name}>
            <dt>{port.name} <code style={{ color: colorOf(port.type) }}>{port.type}</code></dt>
            {port.description && <dd>{port.description}</dd>}
          </div>
        ))}
      </dl>
    </>
  );
}

async function openExample(name: string): Promise<void> {
  const found = (await templates()).find((template) => template.name === name);
  if (found) openTemplate(found);
}

export function Help({ def }: { readonly def: NodeDef }) {
  return (
    <div className="help">
      <p className="help-type"><code>{def.type}</code> <small>{[def.category, def.pack].filter(Boolean).join(" · ")}</small></p>
      {def.unknown && <p className="card-problem">{t("problem.unknown_node", { type: def.type })}</p>}
      <Markdown source={def.description} />
      <Ports label={t("help.inputs")} ports={def.inputs} />
      <Ports label={t("help.outputs")} ports={def.outputs} />
      {def.example && <p><button type="button" onClick={() => void openExample(def.example)}>{t("help.example")}</button></p>}
    </div>
  );
}

function Chosen({ id }: { id: string }) {
  const def = useDefinition(id);
  const node = useDocument((state) => state.graph.nodes[id]);
  const run = useNodeRun(id);
  if (!def || !node) return null;
  return (
    <>
      <label className="named">{t("card.name")}<input value={node.title ?? def.title} onChange={(event) => edit((graph) => setTitle(graph, id, event.target.value), `title ${id}`)} /></label>
      <p className="buttons">
        <button type="button" aria-pressed={node.mode === "bypass"} onClick={() => edit((graph) => toggleMode(graph, [id], "bypass"))}>{t("do.bypass")}</button>
        <button type="button" aria-pressed={node.mode === "mute"} onClick={() => edit((graph) => toggleMode(graph, [id], "mute"))}>{t("do.mute")}</button>
        <button type="button" aria-pressed={Boolean(node.frozen)} onClick={() => void toggleFrozen([id])}>{t(node.frozen ? "node.thaw" : "do.freeze")}</button>
      </p>
      {run && <p className="last-run"><span className={`badge ${run.state}`}>{badgeText(run)}</span> {badgeHint(run, id)}</p>}
      <Help def={def} />
    </>
  );
}

/** The selected node: its name, its last run, its help. */
export function NodePanel() {
  const id = useView((view) => view.nodes.find((node) => node.selected && node.type === "card")?.id);
  return id === undefined ? <p className="nothing">{t("node.none")}</p> : <Chosen key={id} id={id} />;
}
