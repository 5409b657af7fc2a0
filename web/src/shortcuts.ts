/** Keys: every press is looked up in the one table of commands. */
import { copied, nudge, pasteText, removeSelected } from "./actions/edit";
import { COMMANDS } from "./commands";
import { loadPicture, looksLikeWorkflow, openFile } from "./files";
import { select, selection, useView } from "./state/view";

const mac = navigator.platform.startsWith("Mac");

/** A key press in the words of the table: `Ctrl+Shift+Z`, `?`, `F2`. */
export function pressed(event: KeyboardEvent): string {
  const key = event.key.length === 1 ? event.key.toUpperCase() : event.key;
  const letter = /^[A-Z]$/.test(key) || event.key.length > 1;
  const parts = [event.ctrlKey || event.metaKey ? "Ctrl" : "", event.altKey ? "Alt" : "", event.shiftKey && letter ? "Shift" : "", key];
  return parts.filter(Boolean).join("+");
}

export const display = (keys: string): string => (mac ? keys.replace("Ctrl", "⌘").replace("Alt", "⌥") : keys);

function isTyping(target: EventTarget | null): boolean {
  const element = target as HTMLElement | null;
  if (!element?.matches) return false;
  return element.matches("textarea, select, [contenteditable], input:not([type=checkbox]):not([type=range]):not([type=file]):not([type=button])");
}

const ARROWS: Readonly<Record<string, readonly [number, number]>> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Enter selects the focused card; arrows move what is selected. */
function onCard(event: KeyboardEvent): boolean {
  const card = (event.target as HTMLElement).closest?.<HTMLElement>(".react-flow__node");
  const isCard = card !== null && card === event.target;
  if (isCard && (event.key === "Enter" || event.key === " ") && !event.ctrlKey && !event.altKey) {
    const id = card.dataset.id ?? "";
    select(event.shiftKey ? [...selection(), id] : [id]);
    return true;
  }
  const arrow = ARROWS[event.key];
  const onCanvas = isCard || document.activeElement === document.body || document.activeElement?.classList.contains("canvas");
  if (!arrow || !onCanvas || !selection().length) return false;
  const step = event.shiftKey ? 40 : 8;
  nudge(arrow[0] * step, arrow[1] * step);
  return true;
}

function keyDown(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.isComposing) return;
  const keys = pressed(event);
  const typing = isTyping(event.target);
  const command = COMMANDS.find((one) => one.keys?.includes(keys));
  const { dialog, palette } = useView.getState();
  if ((dialog || palette) && command?.id !== "escape") return;
  if (keys === "Tab" && !document.activeElement?.classList.contains("canvas")) return;
  if (!typing && onCard(event)) return event.preventDefault();
  if (!command || command.native || (typing && !command.inFields)) return;
  if (command.id === "escape" && typing && !dialog && !palette) return (event.target as HTMLElement).blur();
  if ((event.target as HTMLElement).closest?.("button, summary, a, [role=menuitem]") && (keys === "Enter" || keys === " ")) return;
  event.preventDefault();
  focusedAsSelection(command.needsNodes);
  command.run();
}

/** A command on nodes works on the focused card when nothing is selected. */
function focusedAsSelection(wanted: boolean | undefined): void {
  if (!wanted || selection().length) return;
  const card = document.activeElement?.closest<HTMLElement>(".react-flow__node-card");
  if (card?.dataset.id) select([card.dataset.id]);
}

let keepLinks = false;

function clipboard(event: ClipboardEvent): void {
  if (event.defaultPrevented || isTyping(event.target) || useView.getState().dialog) return;
  if (event.type === "paste") return pasteEvent(event);
  const text = copied();
  if (text === null || !event.clipboardData || !document.getSelection()?.isCollapsed) return;
  event.clipboardData.setData("text/plain", text);
  event.preventDefault();
  if (event.type === "cut") removeSelected();
}

function pasteEvent(event: ClipboardEvent): void {
  const file = event.clipboardData?.files[0];
  const text = event.clipboardData?.getData("text/plain") ?? "";
  if (file) void (file.type.startsWith("image/") ? loadPicture(file, [0, 0]) : openFile(file));
  else if (!pasteText(text, keepLinks) && looksLikeWorkflow(text)) void openFile(new File([text], "workflow.json"));
}

export function startShortcuts(): void {
  addEventListener("keydown", (event) => {
    keepLinks = event.shiftKey;
    keyDown(event);
  });
  for (const type of ["copy", "cut", "paste"] as const) document.addEventListener(type, clipboard);
}
