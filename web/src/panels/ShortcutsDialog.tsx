import { COMMANDS, type Group } from "../commands";
import { display } from "../shortcuts";
import { t } from "../words";
import { Dialog } from "./Dialog";

const GROUPS: readonly Group[] = ["run", "edit", "node", "view", "file"];

export function ShortcutsDialog() {
  return (
    <Dialog label={t("do.shortcuts")} className="shortcuts">
      <div className="columns">
        {GROUPS.map((group) => (
          <section key={group}>
            <h3>{t(`group.${group}`)}</h3>
            <dl>
              {COMMANDS.filter((one) => one.group === group && one.keys).map((one) => (
                <div key={one.id}><dt>{t(one.label)}</dt><dd>{one.keys?.map((keys) => <kbd key={keys}>{display(keys)}</kbd>)}</dd></div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <p>{t("shortcuts.mouse")}</p>
    </Dialog>
  );
}
