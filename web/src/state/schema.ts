/** What the server can do: node definitions and model files. */
import { useMemo } from "react";
import { create } from "zustand";
import { definitions, definitionOf, type Definitions, type NodeDef } from "../graph/schema";
import { call } from "../server/api";
import type { Asset, ModelFile, NodesAnswer } from "../server/types";
import { current, useDocument } from "./document";

interface SchemaState {
  readonly definitions: Definitions;
  readonly folders: Readonly<Record<string, readonly ModelFile[]>>;
  /** Uploaded files, newest first. */
  readonly uploads: readonly Asset[];
}

export const useSchema = create<SchemaState>(() => ({ definitions: new Map(), folders: {}, uploads: [] }));

export async function loadDefinitions(): Promise<void> {
  const { nodes } = await call<NodesAnswer>("v1/nodes");
  useSchema.setState({ definitions: definitions(nodes) });
}

export async function loadModels(): Promise<void> {
  const { folders } = await call<{ folders: SchemaState["folders"] }>("v1/models");
  useSchema.setState({ folders });
}

export async function loadUploads(): Promise<void> {
  const { assets } = await call<{ assets: readonly Asset[] }>("v1/assets?kind=input&limit=200");
  useSchema.setState({ uploads: assets });
}

/** Uploads a file and lists it among the uploads. */
export async function upload(file: Blob, name: string): Promise<Asset> {
  const asset = await call<Asset>(`v1/assets?name=${encodeURIComponent(name)}`, { body: file });
  await loadUploads();
  return asset;
}

/** Names that can be chosen in a folder; undefined while they are not known. */
export function choices(folder: string): readonly string[] | undefined {
  const { folders, uploads } = useSchema.getState();
  return folder === "input" ? uploads.map((asset) => asset.name) : folders[folder]?.map((file) => file.name);
}

/** The definition of a node of the graph being looked at. */
export function useDefinition(id: string): NodeDef | undefined {
  const defs = useSchema((state) => state.definitions);
  const node = useDocument((state) => state.graph.nodes[id]);
  const known = node && defs.get(node.type);
  const graph = useDocument((state) => (known ? null : state.graph));
  return useMemo(
    () => known ?? (node && graph ? definitionOf(defs, current().workflow, id, node, graph) : undefined),
    [defs, id, node, known, graph],
  );
}

export function definitionIn(id: string): NodeDef | undefined {
  const { graph, workflow } = current();
  const node = graph.nodes[id];
  return node && definitionOf(useSchema.getState().definitions, workflow, id, node, graph);
}
