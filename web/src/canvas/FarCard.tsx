import { useStore, useStoreApi, type InternalNode } from "@xyflow/react";
import { useState } from "react";
import type { NodeDef } from "../graph/schema";
import { useView } from "../state/view";
import { Results } from "./Results";
import { colorOf } from "./types";

/** Below this zoom a card cannot be read. */
export const FAR = 0.35;
/** A card no taller shows its title only: how tall it is open is not known. */
const FOLDED = 60;

/** The height to keep while a card is drawn without its rows; 0 when it has to be drawn in full. */
export function useFarHeight(id: string): number {
  const far = useView((view) => view.far && view.renaming !== id);
  const height = useStore((state) => (far ? (state.nodeLookup.get(id)?.measured.height ?? 0) : 0));
  return height > FOLDED ? height : 0;
}

/** A socket where it was when the card was drawn in full; React Flow finds it by class and data, as it finds its own. */
function FarSocket({ side, name, type, bounds }: { side: "source" | "target"; name: string; type: string; bounds: InternalNode["internals"]["handleBounds"] }) {
  const was = bounds?.[side]?.find((one) => one.id === name);
  const place = was ? { left: was.x, top: was.y } : { top: 6, [side === "source" ? "right" : "left"]: -12 };
  return <i className={`far-socket ${side}`} data-handleid={name} data-handlepos={side === "source" ? "right" : "left"} style={{ ...place, color: colorOf(type) }} />;
}

/** What is left of a card from afar: its title, its pictures, and its sockets, so that links stay where they are. */
export function FarCard({ id, def, title }: { id: string; def: NodeDef; title: string }) {
  const store = useStoreApi();
  const [bounds] = useState(() => store.getState().nodeLookup.get(id)?.internals.handleBounds);
  return (
    <>
      <header className="card-title"><span className="card-name">{title}</span></header>
      {def.outputs.map((port) => <FarSocket key={port.name} side="source" name={port.name} type={port.type} bounds={bounds} />)}
      {def.inputs.map((port) => <FarSocket key={port.name} side="target" name={port.name} type={port.type} bounds={bounds} />)}
      <div className="far-results"><Results id={id} /></div>
    </>
  );
}
