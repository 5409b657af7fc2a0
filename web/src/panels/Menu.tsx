import { useEffect, useRef, type KeyboardEvent } from "react";
import { tint } from "../actions/edit";
import { TINTS } from "../canvas/FrameCard";
import { commandOf, type Command } from "../commands";
import { Icon } from "../icons";
import { display } from "../shortcuts";
import { select, selection, useView } from "../state/view";
import { t } from "../words";

const ON_NODE = ["runTo", "rename", "duplicate", "bypass", "mute", "freeze", "collapse", "connect", "replace", "frame", "subgraph", "unpack", "help", "delete"];

export function MenuItem({ command, close }: { readonly command: Command; readonly close: () => void }) {
  return (
    <button type="button" role="menuitem" onClick={() => { close(); command.run(); }}>
      {command.icon ? <Icon name={command.icon} /> : <i className="icon-gap" />}
      <span>{t(command.label)}</span>
      {command.keys?.[0] && <kbd>{display(command.keys[0])}</kbd>}
    </button>
  );
}

/** Arrows move between items, as in every menu. */
export function menuKeys(event: KeyboardEvent<HTMLElement>): void {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (by === undefined) return;
  event.preventDefault();
  const items = [...event.currentTarget.querySelectorAll<HTMLElement>("[role^=menuitem]")];
  const at = items.indexOf(document.activeElement as HTMLElement);
  items[(at + by + items.length) % items.length]?.focus();
}

export function NodeMenu() {
  const menu = useView((view) => view.menu);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => box.current?.querySelector<HTMLElement>("[role=menuitem]")?.focus({ preventScroll: true }), [menu]);
  if (!menu) return null;
  if (menu.node && !selection().includes(menu.node)) select([menu.node]);
  const close = () => useView.setState({ menu: null });
  const [left, top] = [Math.min(menu.screen[0], innerWidth - 292), Math.max(8, Math.min(menu.screen[1], innerHeight - 480))];
  return (
    <>
      <div className="veil clear" onPointerDown={close} />
      <div ref={box} className="menu popover" role="menu" aria-label={t("card.menu")} style={{ left, top }} onKeyDown={menuKeys}>
        {ON_NODE.map(commandOf).map((command) => command && <MenuItem key={command.id} command={command} close={close} />)}
        <div className="tints" role="group" aria-label={t("card.color")}>
          {TINTS.map((color) => (
            <button key={color} type="button" role="menuitem" data-tint={color} aria-label={t(`tint.${color || "none"}`)} onClick={() => { close(); tint(color); }} />
          ))}
        </div>
      </div>
    </>
  );
}
