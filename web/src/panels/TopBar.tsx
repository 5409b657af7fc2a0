import { useEffect, useRef, useState } from "react";
import { COMMANDS, commandOf } from "../commands";
import { Icon, IconButton } from "../icons";
import { display } from "../shortcuts";
import { editWorkflow, unlock, useDocument } from "../state/document";
import { useSession } from "../state/session";
import { nextTheme, theme, type Theme } from "../theme";
import { setMode } from "../actions/view";
import { useView } from "../state/view";
import { LANGUAGES, chooseLanguage, language, t } from "../words";
import { MenuItem, menuKeys } from "./Menu";
import { RunBar } from "./RunBar";
import { Status } from "./Status";

function FileMenu() {
  const [open, setOpen] = useState(false);
  const anchor = useRef<HTMLSpanElement>(null);
  const close = () => setOpen(false);
  useEffect(() => {
    if (open) anchor.current?.querySelector<HTMLElement>("[role=menuitem]")?.focus();
  }, [open]);
  return (
    <span ref={anchor} className="menu-anchor" onKeyDown={(event) => event.key === "Escape" && close()}>
      <button type="button" className="ghost brand" aria-haspopup="menu" aria-expanded={open} aria-label={t("bar.menu")} onClick={() => setOpen(!open)}>
        <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true"><path className="brand-line" d="M9 9h4c5 0 5 14 10 14h0M9 23h4c3 0 4-5 5-7" /><circle cx="7" cy="9" r="4" /><circle cx="7" cy="23" r="4" /><circle cx="25" cy="23" r="4" /></svg>
        <Icon name="down" size={12} />
      </button>
      {open && (
        <>
          <div className="veil clear" onPointerDown={close} />
          <div className="menu popover" role="menu" aria-label={t("bar.menu")} onKeyDown={menuKeys}>
            {COMMANDS.filter((one) => one.group === "file").map((command) => <MenuItem key={command.id} command={command} close={close} />)}
            <hr />
            {["tour", "shortcuts"].map(commandOf).map((command) => command && <MenuItem key={command.id} command={command} close={close} />)}
            <hr />
            {Object.entries(LANGUAGES).map(([key, name]) => (
              <button key={key} type="button" role="menuitemradio" aria-checked={key === language()} lang={key} onClick={() => chooseLanguage(key)}>
                {key === language() ? <Icon name="check" /> : <i className="icon-gap" />}<span>{name}</span>
              </button>
            ))}
          </div>
        </>
      )}
    </span>
  );
}

function ThemeButton() {
  const [now, setNow] = useState<Theme>(theme());
  return (
    <IconButton icon={now === "light" ? "sun" : now === "dark" ? "moon" : "color"} className="theme" label={t(`theme.${now}`)} title={t(`theme.${now}`)} onClick={() => setNow(nextTheme())} />
  );
}

function Name() {
  const name = useDocument((state) => state.workflow.name);
  const saved = useSession((state) => state.saved);
  const locked = useDocument((state) => state.locked);
  return (
    <span className="document-name">
      <input
        aria-label={t("bar.name")} placeholder={t("file.untitled")} value={name} size={Math.min(Math.max(name.length, 10), 28)}
        onChange={(event) => editWorkflow((workflow) => ({ ...workflow, name: event.target.value }), "name")}
      />
      <small className={`saved ${saved}`}>
        {t(locked ? "saved.shared" : `saved.${saved}`)}
        {locked && <button type="button" className="link" onClick={unlock}>{t("share.own")}</button>}
      </small>
    </span>
  );
}

function Tool({ id, disabled = false }: { id: string; disabled?: boolean }) {
  const command = commandOf(id);
  if (!command?.icon) return null;
  const title = `${t(command.label)}${command.keys?.[0] ? ` (${display(command.keys[0])})` : ""}`;
  return <IconButton icon={command.icon} label={t(command.label)} title={title} disabled={disabled} onClick={command.run} />;
}

export function TopBar() {
  const canUndo = useDocument((state) => state.past.length > 0);
  const canRedo = useDocument((state) => state.future.length > 0);
  const mode = useView((view) => view.mode);
  return (
    <header className="top-bar">
      <FileMenu />
      <Name />
      <span className="tools wide">
        <Tool id="undo" disabled={!canUndo} /><Tool id="redo" disabled={!canRedo} />
        <Tool id="add" /><Tool id="save" /><Tool id="library" /><Tool id="find" /><Tool id="arrange" />
      </span>
      <span className="segmented" role="group" aria-label={t("bar.view")}>
        <button type="button" aria-label={t("bar.graph")} aria-pressed={mode === "canvas"} onClick={() => setMode("canvas")}><Icon name="graph" /><span>{t("bar.graph")}</span></button>
        <button type="button" aria-label={t("bar.form")} aria-pressed={mode === "form"} onClick={() => setMode("form")}><Icon name="form" /><span>{t("bar.form")}</span></button>
      </span>
      <span className="spacer" />
      <Status />
      <ThemeButton />
      <RunBar />
    </header>
  );
}
