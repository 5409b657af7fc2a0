import { ReactFlowProvider } from "@xyflow/react";
import { Suspense } from "react";
import { Canvas } from "./canvas/Canvas";
import { FormView, Overlays } from "./later";
import { Palette } from "./panels/Palette";
import { SidePanel } from "./panels/SidePanel";
import { Toast } from "./panels/Toast";
import { TopBar } from "./panels/TopBar";
import { useView } from "./state/view";

export function App() {
  const mode = useView((view) => view.mode);
  const overlays = useView((view) => view.settled || view.dialog || view.menu || view.tour !== null);
  return (
    <ReactFlowProvider>
      <div className={`app mode-${mode}`}>
        <TopBar />
        {mode === "form" ? <Suspense><FormView /></Suspense> : <main className="stage"><Canvas /></main>}
        <SidePanel />
      </div>
      <Palette />
      <Suspense>{overlays && <Overlays />}</Suspense>
      <Toast />
    </ReactFlowProvider>
  );
}
