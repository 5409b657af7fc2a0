import { useState } from "react";
import { difference } from "../graph/difference";
import { assetUrl } from "../server/api";
import { workflowOf } from "../server/assets";
import type { Asset } from "../server/types";
import { useAnswer } from "../state/answer";
import { t } from "../words";
import { Dialog } from "./Dialog";
import { Changes } from "./Versions";

const MODES = ["slider", "side", "hover"] as const;

/** Two pictures: a slider between them, side by side, or one while the pointer rests; below, what was set differently. */
export function Compare({ left, right }: { readonly left: Asset; readonly right: Asset }) {
  const [mode, setMode] = useState<(typeof MODES)[number]>("slider");
  const [at, setAt] = useState(50);
  const both = () => Promise.all([workflowOf(left.id), workflowOf(right.id)]);
  const [found] = useAnswer(() => both().then(([a, b]) => difference(a, b), () => null), [left.id, right.id]);
  const pictures = [<img key="left" src={assetUrl(left.id)} alt={left.name} />, <img key="right" src={assetUrl(right.id)} alt={right.name} style={mode === "slider" ? { clipPath: `inset(0 0 0 ${at}%)` } : {}} />];
  return (
    <Dialog label={t("compare.title")} className="compare">
      <span className="segmented" role="group" aria-label={t("compare.how")}>
        {MODES.map((one) => <button key={one} type="button" aria-pressed={mode === one} onClick={() => setMode(one)}>{t(`compare.${one}`)}</button>)}
      </span>
      <div className={`pair ${mode}`}>{pictures}</div>
      {mode === "slider" && <input type="range" aria-label={t("compare.slider")} value={at} onChange={(event) => setAt(Number(event.target.value))} />}
      <h3>{t("compare.settings")}</h3>
      {found ? <Changes found={found} /> : <p className="nothing">{t("viewer.noWorkflow")}</p>}
    </Dialog>
  );
}
