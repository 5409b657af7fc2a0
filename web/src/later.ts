/** What the first picture of the page does without; see `panels/more.tsx`. */
import { lazy } from "react";

const load = () => import("./panels/more");

export const FormView = lazy(() => load().then((more) => ({ default: more.FormView })));
export const Overlays = lazy(() => load().then((more) => ({ default: more.Overlays })));
export const PanelBody = lazy(() => load().then((more) => ({ default: more.PanelBody })));
