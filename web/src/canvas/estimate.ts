/** A card's size and sockets, told from its definition, so that only the cards in sight need to be drawn. When a card that
 *  is seen measures otherwise, that takes its place. */
import { Position } from "@xyflow/react";
import { shownPorts, widgetOf, type NodeDef, type Port, type Widget } from "../graph/schema";
import { sourceOf, type Box, type WorkflowNode } from "../graph/workflow";
import type { CardNode } from "../state/view";

/** Pixels; those of `style/canvas.css`. */
const WIDTH = 264;
const BORDER = 1;
const TITLE = 37;
const [ABOVE, BELOW] = [6, 11];
const ROW = 26;
const LINKED = 32;
const FIELD = 34;
const TALLER: Partial<Record<Widget["kind"], number>> = { multiline: 91, toggle: 30, file: 55, image: 125 };
const SOCKET = 24;

/** The rows of a card: inputs without a field beside the outputs, then those with one. */
export function rowsOf(def: NodeDef, node: WorkflowNode | undefined) {
  const ports = node ? shownPorts(def, node) : def.inputs;
  return {
    links: ports.filter((port) => !port.field),
    fields: ports.filter((port) => port.field && !port.advanced),
    advanced: ports.filter((port) => port.field && port.advanced),
  };
}

export const widthOf = (box: Box | undefined): number | undefined => (box?.size && !box.collapsed ? Math.min(Math.max(box.size[0], 220), 900) : undefined);

export function estimate(def: NodeDef, node: WorkflowNode, box: Box | undefined): Required<Pick<CardNode, "measured" | "handles">> {
  const width = widthOf(box) ?? WIDTH;
  const handles: NonNullable<CardNode["handles"]> = [];
  const socket = (type: "source" | "target", id: string, y: number) => {
    const [position, x] = type === "source" ? [Position.Right, width - BORDER] : [Position.Left, BORDER];
    handles.push({ id, type, position, x: x - SOCKET / 2, y: y - SOCKET / 2, width: SOCKET, height: SOCKET });
  };
  const { links, fields, advanced } = rowsOf(def, node);
  const folded = box?.collapsed === true;
  let y = TITLE + ABOVE;
  links.forEach((port, row) => socket("target", port.name, folded ? y : y + (row + 0.5) * ROW));
  def.outputs.forEach((output, row) => socket("source", output.name, folded ? y : y + (row + 0.5) * ROW));
  if (!folded) y += Math.max(links.length, def.outputs.length) * ROW;
  const field = (port: Port) => {
    const height = sourceOf(node.inputs[port.name]) ? LINKED : (TALLER[widgetOf(port.field ?? {}).kind] ?? FIELD);
    socket("target", port.name, folded ? y : y + height / 2);
    if (!folded) y += height;
  };
  fields.forEach(field);
  for (const port of advanced) socket("target", port.name, folded ? y : y + ROW / 2);
  if (advanced.length && !folded) y += ROW + 1;
  return { measured: { width, height: y + (folded ? ABOVE + 1 : BELOW) }, handles };
}
