import { createRoot } from "react-dom/client";
import { newWorkflow, openShared, openSaved, openTemplate, templates } from "./actions/library";
import { App } from "./app";
import { startProjection } from "./canvas/projection";
import { startShortcuts } from "./shortcuts";
import { startEvents } from "./state/events";
import { startProblems } from "./state/problems";
import { ServerError } from "./server/api";
import { loadDefinitions, loadModels, loadUploads } from "./state/schema";
import { openLast, startDrafts } from "./state/session";
import { lastPanel, sayError, tourSeen, useView } from "./state/view";
import "./style/tokens.css";
import "./style/base.css";
import "./style/canvas.css";
import "./style/widgets.css";
import "./style/panels.css";
import "./style/dialogs.css";
import "./style/form.css";
import { applyTheme } from "./theme";
import { loadWords, t } from "./words";

/** What a fresh install shows. */
const FIRST = "text-to-image";

/** Opens what the address names, else what was open last, else the first template. */
async function openFirst(): Promise<void> {
  const hash = new URLSearchParams(location.hash.slice(1));
  const share = hash.get("share");
  const saved = hash.get("workflow");
  if (share) return openShared(share);
  if (saved) return openSaved(saved);
  if (hash.has("new")) return newWorkflow();
  if (!hash.has("template") && (await openLast())) return;
  const shipped = await templates();
  const asked = hash.get("template");
  const found = shipped.find((one) => one.name === (asked ?? FIRST));
  const first = found ?? shipped[0];
  if (first) openTemplate(first);
  if (asked !== null && !found) sayError(t("library.noTemplate", { name: asked }));
  if (!tourSeen() && asked === null) setTimeout(() => useView.setState({ tour: 0 }), 600);
}

async function start(): Promise<void> {
  applyTheme();
  await loadWords();
  const narrow = innerWidth < 700;
  useView.setState({ panel: narrow ? null : lastPanel(), mode: location.hash === "#form" || (narrow && !location.hash) ? "form" : "canvas" });
  addEventListener("unhandledrejection", (event) => {
    if (!(event.reason instanceof ServerError)) return;
    event.preventDefault(); // what the server refused is said, whoever asked
    sayError(event.reason);
  });
  startProjection();
  startProblems();
  createRoot(document.getElementById("app") as HTMLElement).render(<App />);
  startShortcuts();
  await Promise.all([loadDefinitions(), loadModels(), loadUploads()]).catch(sayError);
  await openFirst().catch(sayError);
  startDrafts();
  startEvents();
  setTimeout(() => useView.setState({ settled: true }), 1500);
}

void start();
