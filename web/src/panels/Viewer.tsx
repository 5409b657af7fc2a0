import { assetUrl, type ServerError } from "../server/api";
import { workflowOf } from "../server/assets";
import type { Asset } from "../server/types";
import { titleOf } from "../graph/find";
import { ancestors, sourceOf, type Workflow } from "../graph/workflow";
import { remove } from "../graph/edit";
import { Icon } from "../icons";
import { useAnswer } from "../state/answer";
import { useSchema } from "../state/schema";
import { openWorkflow } from "../state/session";
import { show } from "../state/view";
import { TextOutput } from "../canvas/Results";
import { bytes, t } from "../words";
import { Dialog } from "./Dialog";

/** The literals of a workflow, by node. */
export function Settings({ workflow }: { readonly workflow: Workflow }) {
  const defs = useSchema((state) => state.definitions);
  return (
    <dl className="settings">
      {Object.entries(workflow.nodes).map(([id, node]) => {
        const literals = Object.entries(node.inputs).filter(([, value]) => !sourceOf(value) && value !== null && value !== "");
        if (!literals.length) return null;
        return (
          <div key={id}>
            <dt>{titleOf(defs, workflow, workflow, id)}</dt>
            {literals.map(([name, value]) => <dd key={name}><span>{name}</span> {typeof value === "object" ? JSON.stringify(value) : String(value)}</dd>)}
          </div>
        );
      })}
    </dl>
  );
}

/** Only what a node needs: the branch that made its picture. */
function branchOf(workflow: Workflow, node: string): Workflow {
  const needed = ancestors(workflow, [node]);
  return remove(workflow, Object.keys(workflow.nodes).filter((id) => !needed.has(id)));
}

/** A result, what made it, and its workflow. */
export function Viewer({ asset }: { readonly asset: Asset }) {
  const none = (error: ServerError) => {
    if (error.status !== 404) throw error;
    return null;
  };
  const [workflow] = useAnswer(() => workflowOf(asset.id).catch(none), [asset.id]);
  const openIt = (opened: Workflow | null) => {
    if (!opened) return;
    show(null);
    openWorkflow(opened);
  };
  const branch = workflow && asset.node && workflow.nodes[asset.node] ? branchOf(workflow, asset.node) : null;
  const smaller = branch && workflow && Object.keys(branch.nodes).length < Object.keys(workflow.nodes).length;
  const size = asset.width && asset.height ? `${asset.width} × ${asset.height}` : "";
  return (
    <Dialog label={asset.name} className="viewer">
      <div className="viewer-body">
        <div className="viewer-picture">
          {asset.media_type.startsWith("image/") ? <img src={assetUrl(asset.id)} alt={asset.name} />
            : asset.media_type.startsWith("video/") ? <video src={assetUrl(asset.id)} controls loop />
            : asset.media_type.startsWith("text/") ? <TextOutput asset={asset.id} /> : <Icon name="form" size={48} />}
        </div>
        <div className="viewer-side">
          <p className="buttons">
            <button type="button" className="primary" disabled={!workflow} onClick={() => openIt(workflow)}>{t("viewer.open")}</button>
            {smaller && <button type="button" onClick={() => openIt(branch)}>{t("viewer.branch")}</button>}
            <a className="button" href={assetUrl(asset.id)} download={asset.name}><Icon name="download" />{t("viewer.download")}</a>
          </p>
          <p><small>{[size, asset.size ? bytes(asset.size) : "", asset.media_type].filter(Boolean).join(" · ")}</small></p>
          {workflow ? <Settings workflow={workflow} /> : <p className="nothing">{t("viewer.noWorkflow")}</p>}
        </div>
      </div>
    </Dialog>
  );
}
