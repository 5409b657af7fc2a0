import { BaseEdge, getBezierPath, type EdgeProps } from "@xyflow/react";
import { memo, type PointerEvent } from "react";
import { setBends } from "../graph/edit";
import type { Position } from "../graph/workflow";
import { current, edit } from "../state/document";
import { shownJob, useRun } from "../state/run";
import { inGraph, type WireEdge } from "../state/view";
import { t } from "../words";
import { colorOf } from "./types";

/** A socket can be hit beyond its drawing; links end at the drawing. */
const SOCKET_MARGIN = 6;

/** A smooth path from one point to the next. */
export function pathThrough(points: readonly Position[]): string {
  let path = "";
  for (let i = 1; i < points.length; i += 1) {
    const [a, b] = [points[i - 1], points[i]];
    if (!a || !b) continue;
    const bow = Math.max(Math.abs(b[0] - a[0]) * 0.45, Math.min(Math.abs(b[1] - a[1]), 40));
    path += `${i === 1 ? `M${a[0]},${a[1]}` : ""} C${a[0] + bow},${a[1]} ${b[0] - bow},${b[1]} ${b[0]},${b[1]}`;
  }
  return path;
}

function split(id: string): [string, string] {
  const colon = id.lastIndexOf(":");
  return [id.slice(0, colon), id.slice(colon + 1)];
}

/** Adds a point to a link, between the two it lies nearest to. */
export function addBend(id: string, at: Position): void {
  const [target, input] = split(id);
  const bends = current().graph.layout[target]?.bends?.[input] ?? [];
  const place = bends.findIndex((bend) => bend[0] > at[0]);
  const next = [...bends];
  next.splice(place < 0 ? bends.length : place, 0, [Math.round(at[0]), Math.round(at[1])]);
  edit((graph) => setBends(graph, target, input, next));
}

function Bend({ id, index, point, bends }: { id: string; index: number; point: Position; bends: readonly Position[] }) {
  const [target, input] = split(id);
  const put = (next: readonly Position[], key = "") => edit((graph) => setBends(graph, target, input, next), key);
  const drag = (event: PointerEvent<SVGCircleElement>) => {
    if (!event.currentTarget.hasPointerCapture(event.pointerId)) return;
    const [x, y] = inGraph([event.clientX, event.clientY]);
    put(bends.map((bend, i) => (i === index ? [Math.round(x), Math.round(y)] : bend)), `bend ${id} ${index}`);
  };
  return (
    <circle
      className="bend nodrag nopan" cx={point[0]} cy={point[1]} r={6} role="button" aria-label={t("link.bend")}
      onPointerDown={(event) => { event.stopPropagation(); event.currentTarget.setPointerCapture(event.pointerId); }}
      onPointerMove={drag}
      onDoubleClick={(event) => { event.stopPropagation(); put(bends.filter((_, i) => i !== index)); }}
    />
  );
}

export const Link = memo(function Link({ id, source, sourceX, sourceY, targetX, targetY, selected, data, sourcePosition, targetPosition }: EdgeProps<WireEdge>) {
  const running = useRun((state) => shownJob(state)?.nodes[source]?.state === "running");
  const bends = data?.bends;
  const [from, to] = [sourceX - SOCKET_MARGIN, targetX + SOCKET_MARGIN];
  const path = bends?.length
    ? pathThrough([[from, sourceY], ...bends, [to, targetY]])
    : getBezierPath({ sourceX: from, sourceY, sourcePosition, targetX: to, targetY, targetPosition })[0];
  return (
    <g className={`wire ${selected ? "selected" : ""} ${running ? "running" : ""}`} style={{ color: colorOf(data?.type ?? "*") }}>
      <BaseEdge id={id} path={path} interactionWidth={18} />
      {bends?.map((point, index) => <Bend key={index} id={id} index={index} point={point} bends={bends} />)}
    </g>
  );
});
