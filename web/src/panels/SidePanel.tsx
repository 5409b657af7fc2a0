import { Suspense } from "react";
import { Icon, IconButton, type IconName } from "../icons";
import { PanelBody } from "../later";
import { useProblems } from "../state/problems";
import { activeJobs, useRun } from "../state/run";
import { togglePanel, useView, type Panel } from "../state/view";
import { t } from "../words";

const TABS: readonly (readonly [Panel, IconName])[] = [
  ["results", "image"], ["queue", "queue"], ["node", "info"], ["outline", "outline"], ["problems", "warning"], ["versions", "history"],
];

function Count({ panel }: { panel: Panel }) {
  const jobs = useRun((state) => activeJobs(state).length);
  const problems = useProblems((state) => state.list.length);
  const number = panel === "queue" ? jobs : panel === "problems" ? problems : 0;
  return number > 0 ? <b className={`count ${panel}`}>{number}</b> : null;
}

export function SidePanel() {
  const panel = useView((view) => view.panel);
  return (
    <aside className={`side ${panel ? "open" : ""}`} aria-label={t("side.label")}>
      <nav className="rail" aria-label={t("side.tabs")}>
        {TABS.map(([name, icon]) => (
          <button key={name} type="button" aria-pressed={panel === name} title={t(`panel.${name}`)} onClick={() => togglePanel(name)}>
            <Icon name={icon} size={18} /><span>{t(`panel.${name}`)}</span><Count panel={name} />
          </button>
        ))}
      </nav>
      {panel && (
        <section className="side-body" aria-label={t(`panel.${panel}`)}>
          <header><h2>{t(`panel.${panel}`)}</h2><IconButton icon="close" label={t("side.close")} onClick={() => togglePanel(panel)} /></header>
          <Suspense><PanelBody panel={panel} /></Suspense>
        </section>
      )}
    </aside>
  );
}
