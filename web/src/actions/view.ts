import { INPUTS, OUTPUTS } from "../graph/schema";
import { current, enter } from "../state/document";
import { select, useView } from "../state/view";

const flow = () => useView.getState().flow;
const QUICK = { duration: 150 };
const READABLE = 0.85;

export const zoomIn = (): void => void flow()?.zoomIn(QUICK);
export const zoomOut = (): void => void flow()?.zoomOut(QUICK);
export const actualSize = (): void => void flow()?.zoomTo(1, QUICK);
const PADDING = 0.05;
export const fitAll = (): void => void flow()?.fitView({ padding: PADDING, maxZoom: 1, duration: 200 });

/** Shows a workflow that was opened: all of it, or on a narrow screen its beginning at a size that can be read. */
export async function showOpened(): Promise<void> {
  const view = flow();
  const boxes = view?.getNodes() ?? [];
  const { width } = view?.getNodesBounds(boxes) ?? { width: 0 };
  const first = boxes.reduce((best, one) => (one.position.x + one.position.y < best.position.x + best.position.y ? one : best), boxes[0] as (typeof boxes)[number]);
  if (innerWidth >= 700 || width * READABLE < innerWidth) await view?.fitView({ padding: PADDING, maxZoom: 1, minZoom: 0.2 });
  else await view?.setViewport({ x: 24 - first.position.x * READABLE, y: 64 - first.position.y * READABLE, zoom: READABLE });
}
export const toggleSnap = (): void => useView.setState((view) => ({ snap: !view.snap }));
export const selectAll = (): void => select(Object.keys(current().graph.nodes).filter((id) => id !== INPUTS && id !== OUTPUTS));

export function setMode(mode: "canvas" | "form"): void {
  if (mode === "form" && current().path.length) enter([]);
  useView.setState({ mode });
  history.replaceState(null, "", mode === "form" ? "#form" : location.pathname + location.search);
}

export const toggleForm = (): void => setMode(useView.getState().mode === "form" ? "canvas" : "form");

/** Closes what lies on top: a menu, the palette, a dialog, then the selection. */
export function escape(): void {
  const view = useView.getState();
  if (view.menu) useView.setState({ menu: null });
  else if (view.palette) {
    useView.setState({ palette: null });
    document.querySelector<HTMLElement>(".canvas")?.focus({ preventScroll: true });
  }
  else if (view.dialog) useView.setState({ dialog: null });
  else select([]);
}
