import { ReactFlowProvider } from "@xyflow/react";
import { Suspense, lazy } from "react";
import { Canvas } from "./canvas/Canvas";
import { FormView } from "./form/FormView";
import { NodeMenu } from "./panels/Menu";
import { Palette } from "./panels/Palette";
import { SidePanel } from "./panels/SidePanel";
import { Toast } from "./panels/Toast";
import { TopBar } from "./panels/TopBar";
import { Tour } from "./panels/Tour";
import { useView } from "./state/view";

/** Dialogs are loaded when the first of them opens, or when the page has nothing else to do. */
const Dialogs = lazy(() => import("./panels/dialogs").then((module) => ({ default: module.Dialogs })));

export function App() {
  const mode = useView((view) => view.mode);
  const dialog = useView((view) => view.dialog);
  return (
    <ReactFlowProvider>
      <div className={`app mode-${mode}`}>
        <TopBar />
        {mode === "form" ? <FormView /> : <main className="stage"><Canvas /></main>}
        <SidePanel />
      </div>
      <Palette />
      <NodeMenu />
      <Suspense>{dialog && <Dialogs />}</Suspense>
      <Tour />
      <Toast />
    </ReactFlowProvider>
  );
}
