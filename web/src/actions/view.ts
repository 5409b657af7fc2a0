import { INPUTS, OUTPUTS } from "../graph/schema";
import { current, enter } from "../state/document";
import { select, useView } from "../state/view";

const flow = () => useView.getState().flow;
const QUICK = { duration: 150 };

export const zoomIn = (): void => void flow()?.zoomIn(QUICK);
export const zoomOut = (): void => void flow()?.zoomOut(QUICK);
export const actualSize = (): void => void flow()?.zoomTo(1, QUICK);
export const fitAll = (): void => void flow()?.fitView({ padding: 0.1, maxZoom: 1, duration: 200 });
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
  else if (view.palette) useView.setState({ palette: null });
  else if (view.dialog) useView.setState({ dialog: null });
  else select([]);
}
