import { Panel, useReactFlow, useStore } from "@xyflow/react";
import { useEffect, useRef, useState, type PointerEvent } from "react";
import { isFrame, useView, type ViewNode } from "../state/view";
import { t } from "../words";

const REDRAW_MS = 100;

const box = (x: number, y: number, width: number, height: number): string => `M${x},${y}h${width}v${height}h${-width}z`;

/** All cards as one path and all frames as another, with the rectangle around them. */
export function drawing(nodes: readonly ViewNode[]) {
  const paths = { cards: "", frames: "" };
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const node of nodes) {
    const { id, position: { x, y }, measured } = node;
    const [width, height] = [measured?.width ?? node.width ?? 0, measured?.height ?? node.height ?? 0];
    paths[isFrame(id) ? "frames" : "cards"] += box(Math.round(x), Math.round(y), width, height);
    [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x + width), Math.max(bottom, y + height)];
  }
  return { ...paths, left, top, right, bottom };
}

function useDrawing() {
  const [drawn, setDrawn] = useState(() => drawing(useView.getState().nodes));
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const redraw = () => {
      timer = undefined;
      setDrawn(drawing(useView.getState().nodes));
    };
    redraw();
    const stop = useView.subscribe((view, before) => { if (view.nodes !== before.nodes) timer ??= setTimeout(redraw, REDRAW_MS); });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, []);
  return drawn;
}

/** The whole graph in small, and what of it is seen; press or drag to go there. One element for all cards, so that it costs
 *  the same for any number of them: React Flow's own keeps a component for each, and wakes it at every change. */
export function Overview() {
  const drawn = useDrawing();
  const flow = useReactFlow();
  const [x, y, zoom] = useStore((state) => state.transform);
  const [width, height] = [useStore((state) => state.width) / zoom, useStore((state) => state.height) / zoom];
  const toGraph = useRef<DOMMatrix | undefined>(undefined);
  const [seenX, seenY] = [-x / zoom, -y / zoom];
  const [left, top] = [Math.min(drawn.left, seenX), Math.min(drawn.top, seenY)];
  const [right, bottom] = [Math.max(drawn.right, seenX + width), Math.max(drawn.bottom, seenY + height)];
  const [seen, span] = [box(seenX, seenY, width, height), 9 * Math.max(right - left, bottom - top)];
  const go = (event: PointerEvent) => {
    const point = toGraph.current && new DOMPoint(event.clientX, event.clientY).matrixTransform(toGraph.current);
    if (point) void flow.setCenter(point.x, point.y, { zoom });
  };
  const press = (event: PointerEvent<SVGSVGElement>) => {
    toGraph.current = event.currentTarget.getScreenCTM()?.inverse();
    event.currentTarget.setPointerCapture(event.pointerId);
    go(event);
  };
  return (
    <Panel position="bottom-right" className="overview">
      <svg
        viewBox={`${left} ${top} ${right - left} ${bottom - top}`} role="img" aria-label={t("canvas.minimap")}
        onPointerDown={press} onPointerMove={go} onPointerUp={() => { toGraph.current = undefined; }}
        onWheel={(event) => void flow.zoomTo(zoom * 2 ** (-event.deltaY / 500))}
      >
        <path className="overview-frames" d={drawn.frames} />
        <path className="overview-cards" d={drawn.cards} />
        <path className="overview-rest" fillRule="evenodd" d={box(seenX - span, seenY - span, 2 * span, 2 * span) + seen} />
      </svg>
    </Panel>
  );
}
