import { useEffect, useRef } from "react";
import { useView } from "../state/view";

/** Says refusals, errors and ends of runs, above dialogs too; the live region stays, so that screen readers hear each of them. */
export function Toast() {
  const toast = useView((view) => view.toast);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!toast) return;
    box.current?.hidePopover();
    box.current?.showPopover(); // the last one shown lies on top, where dialogs lie
    const timer = setTimeout(() => useView.setState((view) => (view.toast === toast ? { toast: null } : view)), toast.tone === "error" ? 8000 : 3500);
    return () => clearTimeout(timer);
  }, [toast]);
  return (
    <div ref={box} className="toasts" popover="manual">
      <p role="status" className={toast?.tone === "info" ? "toast" : "hidden"}>{toast?.tone === "info" ? toast.text : ""}</p>
      <p role="alert" className={toast?.tone === "error" ? "toast error" : "hidden"}>{toast?.tone === "error" ? toast.text : ""}</p>
    </div>
  );
}
