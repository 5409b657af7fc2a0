/** The one table of what can be done: it drives keys, menus, the command list and the help sheet. */
import * as edits from "./actions/edit";
import * as library from "./actions/library";
import * as looks from "./actions/view";
import { openPaletteHere } from "./canvas/gestures";
import { chooseFile, download } from "./files";
import type { IconName } from "./icons";
import { redo, undo } from "./state/document";
import { cancelShown, run, setPaused } from "./state/submit";
import { useRun } from "./state/run";
import { selection, show, togglePanel, useView } from "./state/view";
import type { Key } from "./words";

export type Group = "run" | "edit" | "node" | "view" | "file";

export interface Command {
  readonly id: string;
  readonly label: Key;
  readonly group: Group;
  /** For example `Ctrl+Shift+Z`, `?`, `F2`; Ctrl is Cmd on a Mac. */
  readonly keys?: readonly string[];
  readonly icon?: IconName;
  /** Also while typing in a field. */
  readonly inFields?: boolean;
  /** The browser's own event does it (copy, cut, paste); the key is only shown. */
  readonly native?: boolean;
  /** Needs selected nodes. */
  readonly needsNodes?: boolean;
  readonly run: () => void;
}

const nothing = (): void => undefined;

export const COMMANDS: readonly Command[] = [
  { id: "run", group: "run", label: "do.run", keys: ["Ctrl+Enter"], icon: "play", inFields: true, run: () => void run() },
  { id: "runFront", group: "run", label: "do.runFront", keys: ["Ctrl+Shift+Enter"], inFields: true, run: () => void run({ front: true }) },
  { id: "runTo", group: "run", label: "do.runTo", keys: ["Alt+Enter"], icon: "play", needsNodes: true, run: () => void run({ targets: selection() }) },
  { id: "cancel", group: "run", label: "do.cancel", keys: ["Alt+Backspace"], icon: "stop", run: cancelShown },
  { id: "pause", group: "run", label: "do.pause", icon: "pause", run: () => void setPaused(!useRun.getState().paused) },
  { id: "batch", group: "run", label: "do.batch", keys: ["Shift+B"], icon: "grid", run: () => show({ kind: "batch" }) },

  { id: "undo", group: "edit", label: "do.undo", keys: ["Ctrl+Z"], icon: "undo", run: undo },
  { id: "redo", group: "edit", label: "do.redo", keys: ["Ctrl+Shift+Z", "Ctrl+Y"], icon: "redo", run: redo },
  { id: "cut", group: "edit", label: "do.cut", keys: ["Ctrl+X"], native: true, run: nothing },
  { id: "copy", group: "edit", label: "do.copy", keys: ["Ctrl+C"], native: true, run: nothing },
  { id: "paste", group: "edit", label: "do.paste", keys: ["Ctrl+V"], native: true, run: nothing },
  { id: "pasteLinked", group: "edit", label: "do.pasteLinked", keys: ["Ctrl+Shift+V"], native: true, run: nothing },
  { id: "duplicate", group: "edit", label: "do.duplicate", keys: ["Ctrl+D"], icon: "copy", needsNodes: true, run: edits.duplicate },
  { id: "selectAll", group: "edit", label: "do.selectAll", keys: ["Ctrl+A"], run: looks.selectAll },
  { id: "find", group: "edit", label: "do.find", keys: ["Ctrl+F"], icon: "search", inFields: true, run: () => show({ kind: "find" }) },
  { id: "arrange", group: "edit", label: "do.arrange", keys: ["Shift+A"], icon: "arrange", run: () => void edits.arrange() },

  { id: "add", group: "node", label: "do.add", keys: ["Tab", "Shift+N"], icon: "plus", run: openPaletteHere },
  { id: "rename", group: "node", label: "do.rename", keys: ["F2"], needsNodes: true, run: edits.rename },
  { id: "bypass", group: "node", label: "do.bypass", keys: ["Ctrl+B"], icon: "bypass", needsNodes: true, run: edits.bypass },
  { id: "mute", group: "node", label: "do.mute", keys: ["Ctrl+M"], icon: "mute", needsNodes: true, run: edits.mute },
  { id: "freeze", group: "node", label: "do.freeze", keys: ["Shift+F"], icon: "snow", needsNodes: true, run: edits.freeze },
  { id: "collapse", group: "node", label: "do.collapse", keys: ["Alt+C"], icon: "down", needsNodes: true, run: edits.collapse },
  { id: "connect", group: "node", label: "do.connect", keys: ["C"], icon: "share", needsNodes: true, run: edits.connectFrom },
  { id: "replace", group: "node", label: "do.replace", keys: ["Shift+R"], icon: "swap", needsNodes: true, run: edits.replace },
  { id: "frame", group: "node", label: "do.frame", keys: ["Ctrl+G"], icon: "frame", needsNodes: true, run: edits.frame },
  { id: "subgraph", group: "node", label: "do.subgraph", keys: ["Ctrl+Shift+G"], icon: "enter", needsNodes: true, run: edits.subgraph },
  { id: "unpack", group: "node", label: "do.unpack", needsNodes: true, run: edits.unpackSelected },
  { id: "delete", group: "node", label: "do.delete", keys: ["Delete", "Backspace"], icon: "trash", needsNodes: true, run: edits.removeSelected },
  { id: "help", group: "node", label: "do.help", keys: ["H"], icon: "help", run: () => togglePanel("node") },

  { id: "commands", group: "view", label: "do.commands", keys: ["Ctrl+K"], inFields: true, run: () => show({ kind: "commands" }) },
  { id: "form", group: "view", label: "do.form", keys: ["V"], icon: "form", run: looks.toggleForm },
  { id: "fit", group: "view", label: "do.fit", keys: ["F"], icon: "fit", run: looks.fitAll },
  { id: "zoomIn", group: "view", label: "do.zoomIn", keys: ["+", "="], run: looks.zoomIn },
  { id: "zoomOut", group: "view", label: "do.zoomOut", keys: ["-"], run: looks.zoomOut },
  { id: "actualSize", group: "view", label: "do.actualSize", keys: ["1"], run: looks.actualSize },
  { id: "snap", group: "view", label: "do.snap", keys: ["G"], icon: "grid", run: looks.toggleSnap },
  { id: "results", group: "view", label: "do.results", keys: ["R"], icon: "image", run: () => togglePanel("results") },
  { id: "queue", group: "view", label: "do.queue", keys: ["Q"], icon: "queue", run: () => togglePanel("queue") },
  { id: "outline", group: "view", label: "do.outline", keys: ["O"], icon: "outline", run: () => togglePanel("outline") },
  { id: "problems", group: "view", label: "do.problems", keys: ["P"], icon: "warning", run: () => togglePanel("problems") },
  { id: "shortcuts", group: "view", label: "do.shortcuts", keys: ["?"], icon: "info", run: () => show({ kind: "shortcuts" }) },
  { id: "tour", group: "view", label: "do.tour", icon: "help", run: () => useView.setState({ tour: 0, mode: "canvas" }) },
  { id: "escape", group: "view", label: "do.escape", keys: ["Escape"], inFields: true, run: looks.escape },

  { id: "new", group: "file", label: "do.new", keys: ["Alt+N"], icon: "plus", run: library.newWorkflow },
  { id: "library", group: "file", label: "do.library", keys: ["L"], icon: "library", run: () => show({ kind: "library" }) },
  { id: "save", group: "file", label: "do.save", keys: ["Ctrl+S"], icon: "save", inFields: true, run: () => void library.save() },
  { id: "saveAs", group: "file", label: "do.saveAs", keys: ["Ctrl+Shift+S"], inFields: true, run: () => show({ kind: "save" }) },
  { id: "versions", group: "file", label: "do.versions", icon: "history", run: () => togglePanel("versions") },
  { id: "open", group: "file", label: "do.open", keys: ["Ctrl+O"], icon: "upload", run: chooseFile },
  { id: "download", group: "file", label: "do.download", icon: "download", run: download },
  { id: "share", group: "file", label: "do.share", icon: "share", run: () => void library.share() },
  { id: "unshare", group: "file", label: "do.unshare", run: () => void library.unshare() },
  { id: "curl", group: "file", label: "do.curl", icon: "code", run: () => void library.copyCurl() },
  { id: "python", group: "file", label: "do.python", icon: "code", run: () => void library.copyPython() },
];

export const commandOf = (id: string): Command | undefined => COMMANDS.find((one) => one.id === id);
