/** Loaded when it is asked for, or when the page has nothing else to do: panels, dialogs, menus, the form. */
import type { Panel } from "../state/view";
import { Dialogs } from "./dialogs";
import { Gallery } from "./Gallery";
import { NodeMenu } from "./Menu";
import { NodePanel } from "./NodePanel";
import { Outline } from "./Outline";
import { Problems } from "./Problems";
import { Queue } from "./Queue";
import { Tour } from "./Tour";
import { Versions } from "./Versions";

export { FormView } from "../form/FormView";

const BODIES: Readonly<Record<Panel, () => React.ReactNode>> = {
  results: Gallery, queue: Queue, node: NodePanel, outline: Outline, problems: Problems, versions: Versions,
};

export function PanelBody({ panel }: { readonly panel: Panel }) {
  const Body = BODIES[panel];
  return <Body />;
}

export function Overlays() {
  return <><NodeMenu /><Dialogs /><Tour /></>;
}
