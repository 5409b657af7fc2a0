import { type NodeProps, NodeResizer } from "@xyflow/react";
import { changeFrame, removeFrames, toggleFrame } from "../graph/frames";
import { IconButton } from "../icons";
import { edit, useDocument } from "../state/document";
import { sizes, type FrameNode } from "../state/view";
import { t } from "../words";

export const TINTS = ["", "red", "amber", "green", "blue", "violet"] as const;

export function FrameCard({ data: { index }, selected }: NodeProps<FrameNode>) {
  const group = useDocument((state) => state.graph.groups?.[index]);
  if (!group) return null;
  const next = TINTS[(TINTS.findIndex((tint) => tint === (group.color ?? "")) + 1) % TINTS.length] ?? "";
  return (
    <section className={`frame ${group.modes ? "bypass" : ""} ${selected ? "selected" : ""}`} data-tint={group.color} aria-label={t("frame.label", { title: group.title })}>
      <NodeResizer
        isVisible={selected} minWidth={120} minHeight={90}
        onResizeEnd={(_, { x, y, width, height }) => edit((graph) => changeFrame(graph, index, { bounds: [x, y, width, height].map(Math.round) as [number, number, number, number] }))}
      />
      <header className="frame-title">
        <input
          className="nodrag" aria-label={t("frame.title")} value={group.title} size={Math.max(group.title.length, 6)}
          onChange={(event) => edit((graph) => changeFrame(graph, index, { title: event.target.value }), `frame ${index}`)}
        />
        <IconButton icon="color" className="nodrag" label={t("frame.color")} onClick={() => edit((graph) => changeFrame(graph, index, { color: next }))} />
        <IconButton icon="bypass" className="nodrag" label={t("frame.bypass")} aria-pressed={Boolean(group.modes)} onClick={() => edit((graph) => toggleFrame(graph, index, sizes()))} />
        <IconButton icon="close" className="nodrag" label={t("frame.remove")} onClick={() => edit((graph) => removeFrames(graph, [index]))} />
      </header>
      {group.note !== undefined && (
        <textarea
          className="frame-note nodrag nowheel" aria-label={t("frame.note")} value={group.note} spellCheck={false}
          onChange={(event) => edit((graph) => changeFrame(graph, index, { note: event.target.value }), `note ${index}`)}
        />
      )}
    </section>
  );
}
