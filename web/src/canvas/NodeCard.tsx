import type { NodeProps } from "@xyflow/react";
import { memo } from "react";
import type { NodeDef, Port } from "../graph/schema";
import { sourceOf } from "../graph/workflow";
import { useDocument } from "../state/document";
import { explain, useProblems } from "../state/problems";
import { useNodeRun } from "../state/node-run";
import { useDefinition } from "../state/schema";
import { useView, type CardNode } from "../state/view";
import { Field } from "../widgets/Field";
import { t } from "../words";
import { CardTitle } from "./CardTitle";
import { FarCard, useFarHeight } from "./FarCard";
import { rowsOf } from "./estimate";
import { Results } from "./Results";
import { Socket } from "./Socket";

const NONE: readonly never[] = [];

/** An input without a field: its socket and name, with the output of the same row at its right. */
function WireRow({ id, port, output, wrong }: { id: string; port: Port | undefined; output: NodeDef["outputs"][number] | undefined; wrong: string | undefined }) {
  const linked = useDocument((state) => Boolean(port && sourceOf(state.graph.nodes[id]?.inputs[port.name])));
  return (
    <div className={`wire-row ${wrong ? "wrong" : ""}`}>
      {port && (
        <span className="wire-in" title={port.description}>
          <Socket node={id} name={port.name} type={port.type} side="target" linked={linked} optional={!port.required} />
          {port.name}
        </span>
      )}
      {output && (
        <span className="wire-out" title={output.description}>
          {output.name}
          <Socket node={id} name={output.name} type={output.type} side="source" />
        </span>
      )}
      {wrong && <em className="row-problem">{wrong}</em>}
    </div>
  );
}

function FieldRow({ id, port, wrong }: { id: string; port: Port; wrong: string | undefined }) {
  const source = useDocument((state) => sourceOf(state.graph.nodes[id]?.inputs[port.name])?.node);
  return (
    <div className={`field-row ${wrong ? "wrong" : ""}`} data-input={port.name}>
      <Socket node={id} name={port.name} type={port.type} side="target" linked={source !== undefined} optional={!port.required} />
      {source !== undefined
        ? <span className="linked-name" title={port.description}>{port.name}</span>
        : <Field node={id} port={port} />}
      {wrong && <em className="row-problem">{wrong}</em>}
    </div>
  );
}

function Body({ id, def }: { id: string; def: NodeDef }) {
  const problems = useProblems((state) => state.byNode.get(id)) ?? NONE;
  const wrong = (input: string | undefined) => {
    const problem = input === undefined ? undefined : problems.find((one) => one.input === input);
    return problem && explain(problem);
  };
  const node = useDocument((state) => state.graph.nodes[id]);
  const { links, fields, advanced } = rowsOf(def, node);
  const rows = Array.from({ length: Math.max(links.length, def.outputs.length) }, (_, i) => i);
  return (
    <div className="card-body">
      {rows.map((i) => <WireRow key={i} id={id} port={links[i]} output={def.outputs[i]} wrong={wrong(links[i]?.name)} />)}
      {fields.map((port) => <FieldRow key={port.name} id={id} port={port} wrong={wrong(port.name)} />)}
      {advanced.length > 0 && (
        <details className="advanced nodrag">
          <summary>{t("card.advanced")}</summary>
          {advanced.map((port) => <FieldRow key={port.name} id={id} port={port} wrong={wrong(port.name)} />)}
        </details>
      )}
      {problems.filter((one) => one.input === null).map((one) => <p key={one.code} className="card-problem">{explain(one)}</p>)}
      <Results id={id} />
    </div>
  );
}

/** Collapsed cards keep every socket, so that links stay where they are. */
function Stack({ id, def }: { id: string; def: NodeDef }) {
  return (
    <div className="card-stack">
      {def.inputs.map((port) => <Socket key={port.name} node={id} name={port.name} type={port.type} side="target" />)}
      {def.outputs.map((port) => <Socket key={port.name} node={id} name={port.name} type={port.type} side="source" />)}
    </div>
  );
}

function Card({ id, selected }: NodeProps<CardNode>) {
  const def = useDefinition(id);
  const mode = useDocument((state) => state.graph.nodes[id]?.mode);
  const collapsed = useDocument((state) => state.graph.layout[id]?.collapsed);
  const title = useDocument((state) => state.graph.nodes[id]?.title);
  const frozen = useDocument((state) => Boolean(state.graph.nodes[id]?.frozen));
  const color = useDocument((state) => state.graph.layout[id]?.color);
  const state = useNodeRun(id)?.state;
  const mark = useView((view) => view.marks[id]);
  const broken = useProblems((problems) => problems.byNode.has(id));
  const farHeight = useFarHeight(id);
  if (!def) return null;
  const far = farHeight > 0 && !collapsed;
  const classes = ["card", mode ?? "", state ?? "", frozen ? "frozen" : "", mark ? `mark-${mark}` : "", selected ? "selected" : "", def.unknown ? "unknown" : "", broken ? "broken" : "", far ? "far" : ""];
  return (
    <article aria-label={title || def.title} className={classes.filter(Boolean).join(" ")} data-tint={color} data-state={state} style={far ? { minHeight: farHeight } : undefined}>
      {far ? <FarCard id={id} def={def} title={title || def.title} /> : <CardTitle id={id} def={def} />}
      {!far && (collapsed ? <Stack id={id} def={def} /> : <Body id={id} def={def} />)}
    </article>
  );
}

export const NodeCard = memo(Card, (before, after) => before.id === after.id && before.selected === after.selected);
