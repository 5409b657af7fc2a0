import { Background, BackgroundVariant, ReactFlow, SelectionMode, ViewportPortal, useNodesInitialized, useStore } from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import { useEffect, useRef, type DragEvent, type MouseEvent } from "react";
import { showOpened } from "../actions/view";
import { openFiles } from "../files";
import { useDocument } from "../state/document";
import { inGraph, show, useView, type ViewNode, type WireEdge } from "../state/view";
import { t } from "../words";
import { FAR } from "./FarCard";
import { FrameCard } from "./FrameCard";
import { Link, addBend } from "./Link";
import { NodeCard } from "./NodeCard";
import * as gestures from "./gestures";
import { Overview } from "./Overview";
import { CULL_FROM } from "./projection";
import { ViewTools } from "./ViewTools";

const NODE_TYPES = { card: NodeCard, frame: FrameCard };
const EDGE_TYPES = { wire: Link };
const GRID: [number, number] = [8, 8];
const MULTI = ["Shift", "Meta", "Control"];

/** Fits the view once after a workflow was opened and its cards were measured; until then the canvas is busy. */
function Fit() {
  const opened = useDocument((state) => state.opened);
  const ready = useNodesInitialized();
  useEffect(() => {
    const { flow, nodes, fitted } = useView.getState();
    const done = () => useView.setState({ fitted: opened });
    if (fitted === opened) return;
    if (nodes.length === 0) done();
    else if (ready && flow) void showOpened().then(done);
  }, [ready, opened]);
  return null;
}

function Far() {
  const far = useStore((state) => state.transform[2] < FAR);
  useEffect(() => useView.setState({ far }), [far]);
  return null;
}

/** What a version had and the open workflow has not, where it stood. */
function Ghosts() {
  const ghosts = useView((view) => view.ghosts);
  return (
    <ViewportPortal>
      {ghosts.map(({ id, title, position: [x, y] }) => <del key={id} className="ghost-card" style={{ transform: `translate(${x}px, ${y}px)` }}>{title}</del>)}
    </ViewportPortal>
  );
}

/** An empty canvas says how to begin. */
function Welcome() {
  return (
    <div className="welcome">
      <h2>{t("welcome.title")}</h2>
      <p>{t("welcome.text")}</p>
      <p className="buttons">
        <button type="button" className="primary" onClick={() => show({ kind: "library" })}>{t("welcome.template")}</button>
        <button type="button" onClick={() => gestures.openPalette([innerWidth / 2 - 180, innerHeight / 3])}>{t("welcome.add")}</button>
      </p>
    </div>
  );
}

function openAtPointer(event: MouseEvent): void {
  if ((event.target as Element).classList.contains("react-flow__pane")) gestures.openPalette([event.clientX, event.clientY]);
}

function drop(event: DragEvent): void {
  event.preventDefault();
  void openFiles(event.dataTransfer, inGraph([event.clientX, event.clientY]));
}

export function Canvas() {
  const nodes = useView((view) => view.nodes);
  const edges = useView((view) => view.edges);
  const snap = useView((view) => view.snap);
  const fitted = useView((view) => view.fitted);
  const opened = useDocument((state) => state.opened);
  const locked = useDocument((state) => state.locked);
  const reconnecting = useRef<WireEdge | null>(null);
  const area = useRef<HTMLDivElement>(null);
  return (
    <div
      className="canvas" ref={area} role="region" tabIndex={-1} aria-label={t("canvas.label")} aria-busy={fitted !== opened} onDoubleClick={openAtPointer} onDrop={drop} onDragOver={(event) => event.preventDefault()}
    >
      <ReactFlow<ViewNode, WireEdge>
        nodes={nodes as ViewNode[]} edges={edges as WireEdge[]} nodeTypes={NODE_TYPES} edgeTypes={EDGE_TYPES}
        onNodesChange={gestures.takeNodeChanges} onEdgesChange={gestures.takeEdgeChanges} onInit={(flow) => useView.setState({ flow })}
        nodesDraggable={!locked} nodesConnectable={!locked} edgesReconnectable={!locked}
        isValidConnection={gestures.mayConnect} onConnect={gestures.connectEnds}
        onConnectStart={(_, { nodeId, handleId, handleType }) => useView.setState({ linking: gestures.looseEnd(nodeId ?? "", handleId ?? "", handleType ?? "source"), palette: null })}
        onConnectEnd={(event, state) => {
          const { linking } = useView.getState();
          useView.setState({ linking: null });
          if (reconnecting.current) gestures.dropReconnected(reconnecting.current, event, state);
          else gestures.dropLink(event, state, linking);
        }}
        onReconnectStart={(_, edge) => { reconnecting.current = edge; }}
        onReconnect={gestures.reconnect}
        onReconnectEnd={() => { reconnecting.current = null; useView.setState({ linking: null }); }}
        onNodeDragStart={(_, node) => gestures.startDrag(node)} onNodeDrag={(_, node) => gestures.whileDragging(node)}
        onNodeDragStop={(event, _, dragged) => gestures.endDrag(event, dragged)}
        onEdgeDoubleClick={(event, edge) => addBend(edge.id, inGraph([event.clientX, event.clientY]))}
        onNodeContextMenu={(event, node) => {
          event.preventDefault();
          if (node.type === "card") useView.setState({ menu: { screen: [event.clientX, event.clientY], node: node.id } });
        }}
        onPaneClick={() => { useView.setState({ palette: null, menu: null }); area.current?.focus({ preventScroll: true }); }}
        onPaneMouseMove={(event) => gestures.noteRest([event.clientX, event.clientY])} onPaneMouseLeave={() => useView.getState().palette === null && gestures.noteRest(null)}
        deleteKeyCode={null} disableKeyboardA11y selectionMode={SelectionMode.Partial} multiSelectionKeyCode={MULTI} selectionKeyCode="Shift"
        zoomOnDoubleClick={false} snapToGrid={snap} snapGrid={GRID} minZoom={0.05} maxZoom={2.5} connectionRadius={26} edgesFocusable={false}
        onlyRenderVisibleElements={nodes.length > CULL_FROM} elevateNodesOnSelect
      >
        <Background variant={BackgroundVariant.Dots} gap={24} size={1.2} />
        <Overview />
        <ViewTools />
        <Ghosts />
        <Fit />
        <Far />
      </ReactFlow>
      {nodes.length === 0 && <Welcome />}
    </div>
  );
}
