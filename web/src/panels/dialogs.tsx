import { useView, type Dialog as Shown } from "../state/view";
import { BatchDialog } from "./BatchDialog";
import { Compare } from "./Compare";
import { LibraryDialog } from "./LibraryDialog";
import { CommandsDialog, ConnectDialog, FindDialog, ReplaceDialog } from "./searches";
import { MaskDialog } from "./MaskDialog";
import { ConflictDialog, SaveDialog } from "./saving";
import { ShortcutsDialog } from "./ShortcutsDialog";
import { TextDialog } from "./TextDialog";
import { Viewer } from "./Viewer";

function body(dialog: Shown) {
  switch (dialog.kind) {
    case "shortcuts": return <ShortcutsDialog />;
    case "commands": return <CommandsDialog />;
    case "find": return <FindDialog />;
    case "library": return <LibraryDialog />;
    case "viewer": return <Viewer key={dialog.asset.id} asset={dialog.asset} />;
    case "compare": return <Compare left={dialog.left} right={dialog.right} />;
    case "replace": return <ReplaceDialog id={dialog.node} />;
    case "connect": return <ConnectDialog id={dialog.node} />;
    case "mask": return <MaskDialog node={dialog.node} input={dialog.input} asset={dialog.asset} />;
    case "text": return <TextDialog node={dialog.node} input={dialog.input} />;
    case "batch": return <BatchDialog />;
    case "save": return <SaveDialog />;
    case "conflict": return <ConflictDialog />;
  }
}

export function Dialogs() {
  const dialog = useView((view) => view.dialog);
  return dialog && body(dialog);
}
