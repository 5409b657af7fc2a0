import { cleanWorkflow } from "../graph/file";
import type { Json } from "../graph/json";
import { wires } from "../graph/workflow";

const [WIDTH, HEIGHT] = [240, 150];

/** A workflow as a small drawing: a box a node, a line a link. */
export function MiniGraph({ document }: { readonly document: Readonly<Record<string, Json>> }) {
  const graph = cleanWorkflow(document);
  const places = Object.keys(graph.nodes).map((id) => [id, graph.layout[id]?.position ?? ([0, 0] as const)] as const);
  const [xs, ys] = [places.map(([, p]) => p[0]), places.map(([, p]) => p[1])];
  const [left, top] = [Math.min(...xs) - 80, Math.min(...ys) - 80];
  const [width, height] = [Math.max(...xs) + WIDTH + 80 - left, Math.max(...ys) + HEIGHT + 80 - top];
  const at = new Map(places);
  const line = (from: string, to: string): string => {
    const [a, b] = [at.get(from), at.get(to)];
    return a && b ? `M${a[0] + WIDTH},${a[1] + HEIGHT / 2} C${a[0] + WIDTH + 80},${a[1] + HEIGHT / 2} ${b[0] - 80},${b[1] + HEIGHT / 2} ${b[0]},${b[1] + HEIGHT / 2}` : "";
  };
  return (
    <svg className="library-blank mini-graph" viewBox={places.length ? `${left} ${top} ${width} ${height}` : "0 0 1 1"} aria-hidden="true">
      {wires(graph).map((wire) => <path key={`${wire.target} ${wire.input}`} d={line(wire.node, wire.target)} />)}
      {places.map(([id, [x, y]]) => <rect key={id} x={x} y={y} width={WIDTH} height={HEIGHT} rx="24" />)}
    </svg>
  );
}
