import { useEffect, useRef } from "react";
import { IconButton } from "../icons";
import { closeError, useView } from "../state/view";
import { t } from "../words";

const AT_LEAST_MS = 2500;
const MS_PER_LETTER = 40;

/** Says notes and errors, above dialogs too; the live regions stay, so that screen readers hear each of them. */
export function Toast() {
  const note = useView((view) => view.note);
  const errors = useView((view) => view.errors);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    box.current?.hidePopover();
    box.current?.showPopover(); // the last one shown lies on top, where dialogs lie
  }, [note, errors]);
  useEffect(() => {
    const timer = note && setTimeout(() => useView.setState({ note: null }), AT_LEAST_MS + MS_PER_LETTER * note.text.length);
    return () => clearTimeout(timer ?? undefined);
  }, [note]);
  return (
    <div ref={box} className="toasts" popover="manual">
      <div role="alert">
        {errors.map((said, index) => (
          <p key={`${index} ${said.text}`} className="toast error">{said.text}<IconButton icon="close" label={t("dialog.close")} onClick={() => closeError(said)} /></p>
        ))}
      </div>
      <p role="status" className={note ? "toast" : "hidden"}>{note?.text}</p>
    </div>
  );
}
