import { useEffect, useRef, useState } from "react";
import { Icon } from "../icons";
import { call, thumbnailUrl } from "../server/api";
import type { Asset } from "../server/types";
import { useRun } from "../state/run";
import { say, show } from "../state/view";
import { t } from "../words";

const PAGE = 48;

/** Outputs, newest first; older ones come as the end of the list is reached. */
function useOutputs(): { assets: readonly Asset[]; more: () => void; end: boolean } {
  const news = useRun((state) => state.assets);
  const [assets, setAssets] = useState<readonly Asset[]>([]);
  const [end, setEnd] = useState(false);
  const load = async (before: Asset | null) => {
    const query = before ? `&before=${before.id}` : "";
    const answer = await call<{ assets: readonly Asset[] }>(`v1/assets?kind=output&limit=${PAGE}${query}`);
    setEnd(answer.assets.length < PAGE);
    setAssets((known) => {
      const list = before ? [...known, ...answer.assets] : [...answer.assets, ...known];
      const seen = new Set<string>();
      return list.filter((asset) => !seen.has(`${asset.id} ${asset.name}`) && seen.add(`${asset.id} ${asset.name}`));
    });
  };
  useEffect(() => void load(null), [news]);
  return { assets, end, more: () => { const last = assets.at(-1); if (last && !end) void load(last); } };
}

export function Thumb({ asset, chosen, open }: { readonly asset: Asset; readonly chosen: boolean; readonly open: () => void }) {
  const isImage = asset.media_type.startsWith("image/");
  return (
    <button type="button" className={`thumb ${chosen ? "chosen" : ""}`} aria-label={asset.name} title={asset.name} onClick={open}>
      {isImage ? <img src={thumbnailUrl(asset.id)} alt="" loading="lazy" draggable={false} /> : <span className="thumb-file"><Icon name={asset.media_type.startsWith("video/") ? "play" : "form"} size={22} />{asset.name}</span>}
    </button>
  );
}

export function Gallery() {
  const { assets, more, end } = useOutputs();
  const [comparing, setComparing] = useState<readonly Asset[] | null>(null);
  const last = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const watcher = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && more());
    if (last.current) watcher.observe(last.current);
    return () => watcher.disconnect();
  });
  const open = (asset: Asset) => {
    if (!comparing) return show({ kind: "viewer", asset });
    const [left] = comparing;
    if (left) {
      setComparing(null);
      show({ kind: "compare", left, right: asset });
    } else setComparing([asset]);
  };
  return (
    <div className="gallery">
      <p className="buttons">
        <button
          type="button" aria-pressed={comparing !== null} disabled={assets.length < 2}
          onClick={() => { setComparing(comparing ? null : []); if (!comparing) say(t("compare.chooseTwo")); }}
        ><Icon name="compare" />{t("compare.start")}</button>
      </p>
      {assets.length === 0 && <p className="nothing">{t("gallery.empty")}</p>}
      <div className="thumbs">{assets.map((asset) => <Thumb key={`${asset.id} ${asset.name}`} asset={asset} chosen={comparing?.includes(asset) ?? false} open={() => open(asset)} />)}</div>
      {!end && <div ref={last} className="more" />}
    </div>
  );
}
