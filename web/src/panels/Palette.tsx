import { addAt } from "../actions/edit";
import { fittingPort, type Loose } from "../graph/connect";
import { score } from "../graph/find";
import { subgraphType, definitionOf, type Definitions, type NodeDef } from "../graph/schema";
import { useDocument } from "../state/document";
import { useSchema } from "../state/schema";
import { useView } from "../state/view";
import { colorOf } from "../canvas/types";
import { t } from "../words";
import { Picker, type Choice } from "./Picker";

interface NodeChoice extends Choice {
  readonly def: NodeDef;
}

/** Definitions for a search, best first; only those that a loose end fits, when there is one. */
export function matching(defs: readonly NodeDef[], query: string, loose: Loose | null): NodeDef[] {
  return defs
    .filter((def) => !loose || fittingPort(def, loose))
    .map((def) => ({ def, points: score(query, def.title, def.type, def.category, ...def.aliases) - (def.deprecated ? 1 : def.category.startsWith("_") ? 0.5 : 0) }))
    .filter(({ points }) => points > 0)
    .sort((a, b) => b.points - a.points || a.def.category.localeCompare(b.def.category) || a.def.title.localeCompare(b.def.title))
    .map(({ def }) => def);
}

export function Dot({ def }: { readonly def: NodeDef }) {
  return <i className="dot" style={{ background: colorOf(def.outputs[0]?.type ?? def.inputs[0]?.type ?? "*") }} />;
}

function useOffered(): NodeDef[] {
  const definitions: Definitions = useSchema((state) => state.definitions);
  const workflow = useDocument((state) => state.workflow);
  const own = Object.keys(workflow.subgraphs).map((name) => definitionOf(definitions, workflow, "", { type: subgraphType(name), inputs: {} }));
  return [...new Set(definitions.values()), ...own];
}

export function Palette() {
  const palette = useView((view) => view.palette);
  const offered = useOffered();
  if (!palette) return null;
  const { screen, at, loose } = palette;
  const search = (query: string): NodeChoice[] =>
    matching(offered, query, loose).map((def) => ({ key: def.type, label: def.title, hint: def.category, lead: <Dot def={def} />, def }));
  const close = () => useView.setState({ palette: null });
  const choose = ({ def }: NodeChoice) => {
    close();
    addAt(def, at, loose);
    document.querySelector<HTMLElement>(".canvas")?.focus({ preventScroll: true });
  };
  const left = Math.max(8, Math.min(screen[0], innerWidth - 368));
  const top = Math.max(8, Math.min(screen[1], innerHeight - 400));
  return (
    <>
      <div className="veil clear" onPointerDown={close} />
      <div className="palette popover" role="dialog" aria-label={t("palette.label")} style={{ left, top }}>
        {loose && <p className="palette-note">{t(loose.side === "source" ? "palette.takes" : "palette.gives", { type: loose.type })}</p>}
        <Picker label={t("palette.search")} search={search} choose={choose} />
      </div>
    </>
  );
}
