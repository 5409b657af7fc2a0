/** What this window looks at: the drawn nodes, the selection, open panels. Never undone. */
import type { Edge, Node, ReactFlowInstance } from "@xyflow/react";
import { create } from "zustand";
import type { Loose } from "../graph/connect";
import type { Position } from "../graph/workflow";
import type { Asset } from "../server/types";

export type CardNode = Node<{ readonly type: string }, "card">;
export type FrameNode = Node<{ readonly index: number }, "frame">;
export type ViewNode = CardNode | FrameNode;
export type WireEdge = Edge<{ readonly type: string; readonly bends: readonly Position[] | undefined }, "wire">;

export type Panel = "results" | "queue" | "node" | "outline" | "problems" | "versions";
export type Dialog =
  | { readonly kind: "shortcuts" | "library" | "commands" | "find" | "batch" | "save" | "conflict" }
  | { readonly kind: "viewer"; readonly asset: Asset }
  | { readonly kind: "compare"; readonly left: Asset; readonly right: Asset }
  | { readonly kind: "replace" | "connect"; readonly node: string }
  | { readonly kind: "mask"; readonly node: string; readonly input: string; readonly asset: string }
  | { readonly kind: "text"; readonly node: string; readonly input: string };

export interface Palette {
  readonly at: Position;
  readonly screen: Position;
  readonly loose: Loose | null;
}

export interface Said {
  readonly text: string;
}

interface ViewState {
  readonly nodes: readonly ViewNode[];
  readonly edges: readonly WireEdge[];
  readonly flow: ReactFlowInstance<ViewNode, WireEdge> | null;
  readonly linking: Loose | null;
  readonly palette: Palette | null;
  readonly menu: { readonly screen: Position; readonly node: string | null } | null;
  readonly dialog: Dialog | null;
  readonly panel: Panel | null;
  readonly mode: "canvas" | "form";
  readonly renaming: string | null;
  /** Said last, and gone soon. */
  readonly note: Said | null;
  /** What went wrong, until it is closed or the next run begins. */
  readonly errors: readonly Said[];
  readonly snap: boolean;
  /** Nodes to mark: those that would run again, or that a version changed. */
  readonly marks: Readonly<Record<string, "rerun" | "added" | "changed">>;
  /** Nodes that only the version compared with has. */
  readonly ghosts: readonly { readonly id: string; readonly title: string; readonly position: Position }[];
  readonly tour: number | null;
  /** Seen from so far that cards cannot be read. */
  readonly far: boolean;
  /** The page has nothing else to do: what was not needed so far may be loaded. */
  readonly settled: boolean;
  /** The opened workflow (`opened` of the document) that the view was fitted to. */
  readonly fitted: number;
}

export const useView = create<ViewState>(() => ({
  nodes: [], edges: [], flow: null, linking: null, palette: null, menu: null, dialog: null, panel: null, mode: "canvas",
  renaming: null, note: null, errors: [], snap: true, marks: {}, ghosts: [], tour: null, far: false, settled: false, fitted: 0,
}));

export const show = (dialog: Dialog | null): void => useView.setState({ dialog });

const PANEL = "graphflow.panel";

/** The panel that was open when this browser was last here. */
export const lastPanel = (): Panel | null => localStorage.getItem(PANEL) as Panel | null;

export function togglePanel(panel: Panel): void {
  const next = useView.getState().panel === panel ? null : panel;
  useView.setState({ panel: next });
  if (next) localStorage.setItem(PANEL, next);
  else localStorage.removeItem(PANEL);
}

/** Kept in this browser once the tour was closed for good. */
export const TOUR = "graphflow.tour";
export const tourSeen = (): boolean => localStorage.getItem(TOUR) !== null;

/** Says something in the live region, and in a note that goes away. */
export const say = (text: string): void => useView.setState({ note: { text } });

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Says what went wrong, beside the last others that nobody closed yet. */
export function sayError(error: unknown): void {
  const text = messageOf(error);
  useView.setState(({ errors }) => ({ errors: [...errors.filter((one) => one.text !== text), { text }].slice(-3) }));
}

export const closeError = (said: Said): void => useView.setState(({ errors }) => ({ errors: errors.filter((one) => one !== said) }));

/** Where a point of the window lies in the graph. */
export function inGraph([x, y]: Position): Position {
  const point = useView.getState().flow?.screenToFlowPosition({ x, y });
  return [point?.x ?? 0, point?.y ?? 0];
}

export const isFrame = (id: string): boolean => id.startsWith("frame:");
export const frameIndex = (id: string): number => Number(id.slice("frame:".length));

/** Ids of the selected nodes, without frames. */
export const selection = (): string[] =>
  useView.getState().nodes.filter((node) => node.selected && node.type === "card").map((node) => node.id);
export const selectedFrames = (): number[] =>
  useView.getState().nodes.filter((node) => node.selected && node.type === "frame").map((node) => frameIndex(node.id));

export function select(ids: Iterable<string>): void {
  const chosen = new Set(ids);
  useView.setState((state) => ({
    nodes: state.nodes.map((node) => (Boolean(node.selected) === chosen.has(node.id) ? node : { ...node, selected: chosen.has(node.id) })),
    edges: state.edges.map((edge) => (edge.selected ? { ...edge, selected: false } : edge)),
  }));
}

/** Width and height of the nodes as drawn. */
export function sizes(): Map<string, Position> {
  const found = new Map<string, Position>();
  for (const node of useView.getState().nodes)
    if (node.measured?.width && node.measured.height) found.set(node.id, [node.measured.width, node.measured.height]);
  return found;
}

/** Brings a node to the middle of the canvas, selects and focuses it. */
export function reveal(id: string): void {
  const { flow, nodes } = useView.getState();
  const node = nodes.find((one) => one.id === id);
  if (!node) return;
  useView.setState({ mode: "canvas" });
  select([id]);
  const [width, height] = [node.measured?.width ?? 260, node.measured?.height ?? 160];
  void flow?.setCenter(node.position.x + width / 2, node.position.y + height / 2, { zoom: Math.max(flow.getZoom(), 0.9), duration: 200 });
  requestAnimationFrame(() => document.querySelector<HTMLElement>(`.react-flow__node[data-id="${CSS.escape(id)}"]`)?.focus({ preventScroll: true }));
}
