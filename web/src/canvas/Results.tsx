import { assetUrl, send, thumbnailUrl } from "../server/api";
import type { Asset, Output } from "../server/types";
import { useAnswer } from "../state/answer";
import { useDocument } from "../state/document";
import { runId, useNodeRun } from "../state/node-run";
import { useRun } from "../state/run";
import { show } from "../state/view";
import { t } from "../words";

export const toAsset = (output: Output): Asset => ({
  id: output.asset, name: output.name, kind: "output", media_type: output.media_type, size: 0, created: 0,
  width: null, height: null, job: null, node: output.node,
});

/** A text that a node made, shown as text whatever is in it. */
export function TextOutput({ asset }: { asset: string }) {
  const [text] = useAnswer(() => send(assetUrl(asset)).then((response) => response.text(), () => ""), [asset]);
  return <pre className="text-output nodrag nowheel" tabIndex={0}>{text?.slice(0, 20_000)}</pre>;
}

function Result({ output }: { output: Output }) {
  if (output.media_type.startsWith("image/"))
    return (
      <button type="button" className="result nodrag" aria-label={t("card.openResult", { name: output.name })} onClick={() => show({ kind: "viewer", asset: toAsset(output) })}>
        <img src={thumbnailUrl(output.asset, 512)} alt={output.name} loading="lazy" draggable={false} />
      </button>
    );
  if (output.media_type.startsWith("video/")) return <video className="result nodrag" src={assetUrl(output.asset)} controls loop muted />;
  if (output.media_type.startsWith("text/")) return <TextOutput asset={output.asset} />;
  return <a className="result-file" href={assetUrl(output.asset)} download={output.name}>{output.name}</a>;
}

/** The preview while a node runs, its results afterwards. */
export function Results({ id }: { id: string }) {
  const full = runId(useDocument((state) => state.path), id);
  const preview = useRun((state) => state.previews[full]);
  const results = useRun((state) => state.results[full]);
  const run = useNodeRun(id);
  const [running, message] = [run?.state === "running", run?.message];
  return (
    <>
      {message && <p className="card-problem" role="alert">{message}</p>}
      {preview && running && <img className="preview" src={preview} alt={t("card.preview")} draggable={false} />}
      {results && !(preview && running) && (
        <div className={`results ${results.length > 1 ? "many" : ""}`}>{results.map((output) => <Result key={output.asset + output.name} output={output} />)}</div>
      )}
    </>
  );
}
