import { Panel, useStore } from "@xyflow/react";
import { zoomIn, zoomOut, fitAll, actualSize, toggleSnap } from "../actions/view";
import { namesAlong } from "../graph/subgraph";
import { IconButton } from "../icons";
import { enter, useDocument } from "../state/document";
import { useView } from "../state/view";
import { t } from "../words";

export function ViewTools() {
  const zoom = useStore((state) => Math.round(state.transform[2] * 100));
  const snap = useView((view) => view.snap);
  const path = useDocument((state) => state.path);
  const workflow = useDocument((state) => state.workflow);
  const names = namesAlong(workflow, path);
  return (
    <>
      <Panel position="bottom-left" className="view-tools">
        <IconButton icon="minus" label={t("view.zoomOut")} title={t("view.zoomOut")} onClick={zoomOut} />
        <button type="button" className="ghost zoom" aria-label={t("view.actualSize", { zoom })} title={t("do.actualSize")} onClick={actualSize}>{zoom} %</button>
        <IconButton icon="plus" label={t("view.zoomIn")} title={t("view.zoomIn")} onClick={zoomIn} />
        <IconButton icon="fit" label={t("view.fit")} title={t("view.fit")} onClick={fitAll} />
        <IconButton icon="grid" label={t("view.snap")} title={t("view.snap")} aria-pressed={snap} onClick={toggleSnap} />
      </Panel>
      {path.length > 0 && (
        <Panel position="top-left" className="breadcrumbs">
          <nav aria-label={t("subgraph.path")}>
            <button type="button" onClick={() => enter([])}>{workflow.name || t("file.untitled")}</button>
            {path.map((part, index) => (
              <button key={index} type="button" aria-current={index === path.length - 1 ? "page" : undefined} onClick={() => enter(path.slice(0, index + 1))}>{names[index] ?? part}</button>
            ))}
          </nav>
        </Panel>
      )}
    </>
  );
}
