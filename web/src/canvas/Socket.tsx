import { Handle, Position } from "@xyflow/react";
import { memo } from "react";
import { fits } from "../graph/schema";
import { useView } from "../state/view";
import { t } from "../words";
import { PATHS, colorOf, lookOf } from "./types";

interface Props {
  readonly node: string;
  readonly name: string;
  readonly type: string;
  readonly side: "source" | "target";
  readonly linked?: boolean;
  readonly optional?: boolean;
}

/** While a link is dragged: whether it may end here. Null when none is dragged. */
function useFit({ node, name, type, side }: Props): boolean | null {
  return useView(({ linking }) => {
    if (!linking) return null;
    if (linking.node === node) return linking.port === name && linking.side === side;
    if (linking.side === side) return false;
    return side === "target" ? fits(linking.type, type) : fits(type, linking.type);
  });
}

export const Socket = memo(function Socket(props: Props) {
  const { name, type, side, linked, optional } = props;
  const fit = useFit(props);
  const { shape, letter } = lookOf(type);
  return (
    <Handle
      type={side}
      id={name}
      position={side === "source" ? Position.Right : Position.Left}
      role="button"
      aria-label={t(side === "source" ? "socket.output" : "socket.input", { name, type })}
      title={`${name} · ${type}`}
      className={`socket ${fit === null ? "" : fit ? "fits" : "dimmed"} ${linked ? "linked" : ""} ${optional ? "optional" : ""}`}
    >
      <svg viewBox="0 0 16 16" aria-hidden="true" style={{ color: colorOf(type) }}>
        <path d={PATHS[shape]} />
        <text x={shape === "triangle" ? 6 : 8} y="11.2">{letter}</text>
      </svg>
    </Handle>
  );
});
