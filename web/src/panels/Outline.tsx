import { useState } from "react";
import { find } from "../graph/find";
import { inOrder } from "../graph/workflow";
import { badgeText } from "../canvas/CardTitle";
import { useDocument } from "../state/document";
import { useProblems } from "../state/problems";
import { useNodeRun } from "../state/node-run";
import { useSchema } from "../state/schema";
import { reveal } from "../state/view";
import { t } from "../words";

function Row({ id, title, where }: { id: string; title: string; where: string }) {
  const run = useNodeRun(id);
  const broken = useProblems((state) => state.byNode.has(id));
  const type = useDocument((state) => state.graph.nodes[id]?.type);
  const mode = useDocument((state) => state.graph.nodes[id]?.mode);
  return (
    <li>
      <button type="button" className={`outline-row ${broken ? "broken" : ""} ${mode ?? ""}`} onClick={() => reveal(id)}>
        <b>{title}</b><small>{where || (type === title ? id : type)}</small>{run && <span className={`badge ${run.state}`}>{badgeText(run)}</span>}
      </button>
    </li>
  );
}

/** The graph as a list in the order it runs: for screen readers, for phones, and for finding one's way. */
export function Outline() {
  const [query, setQuery] = useState("");
  const graph = useDocument((state) => state.graph);
  const workflow = useDocument((state) => state.workflow);
  const defs = useSchema((state) => state.definitions);
  const hits = new Map(find(defs, workflow, graph, query).map((hit) => [hit.node, hit]));
  return (
    <div className="outline">
      <input type="search" aria-label={t("outline.search")} placeholder={t("outline.search")} value={query} onChange={(event) => setQuery(event.target.value)} />
      <ol aria-label={t("panel.outline")}>
        {inOrder(graph).flatMap((id) => {
          const hit = hits.get(id);
          return hit ? [<Row key={id} id={id} title={hit.title} where={hit.where} />] : [];
        })}
      </ol>
    </div>
  );
}
