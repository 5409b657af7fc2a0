import { useEffect, useRef, type ReactNode } from "react";
import { IconButton } from "../icons";
import { show } from "../state/view";
import { t } from "../words";

interface Props {
  readonly label: string;
  readonly className?: string;
  readonly children: ReactNode;
}

/** A modal dialog: the browser keeps the focus inside; Escape and a click beside it close it. */
export function Dialog({ label, className = "", children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    if (dialog.current && !dialog.current.open) dialog.current.showModal();
    dialog.current?.querySelector<HTMLElement>("input:not([type=range]), textarea, select")?.focus();
    return () => before?.focus?.({ preventScroll: true });
  }, []);
  return (
    <dialog
      ref={dialog} className={`dialog ${className}`} aria-label={label} onClose={() => show(null)} onCancel={(event) => { event.preventDefault(); show(null); }}
      onPointerDown={(event) => event.target === dialog.current && show(null)}
    >
      <div className="dialog-inner">
        <header><h2>{label}</h2><IconButton icon="close" label={t("dialog.close")} onClick={() => show(null)} /></header>
        {children}
      </div>
    </dialog>
  );
}
