/** Opening and saving: files, drops, pastes, links. Opening never runs anything. */
import { LIMITS, UnreadableFile, isOurs, readWorkflow, writeWorkflow } from "./graph/file";
import { isRecord, parseJson } from "./graph/json";
import { addNode, setDrawn, setValue } from "./graph/edit";
import { widgetOf } from "./graph/schema";
import type { Position, Workflow } from "./graph/workflow";
import { ServerError } from "./server/api";
import { convert, type Converted } from "./server/assets";
import { current, edit } from "./state/document";
import { upload, useSchema } from "./state/schema";
import { openWorkflow } from "./state/session";
import { messageOf, say, sayError } from "./state/view";
import { t } from "./words";

export const isPicture = (file: Blob): boolean => (file.type.startsWith("image/") && file.type !== "image/svg+xml") || file.type.startsWith("video/");

/** Seeds of a shared picture are fixed, so that its first run makes it again. */
function fixSeeds(workflow: Workflow): Workflow {
  return Object.entries(workflow.layout).reduce((next, [id, box]) => (box.draw ?? []).reduce((one, input) => setDrawn(one, id, input, false), next), workflow);
}

/** Seeds of a new workflow are drawn anew for each run. */
export function drawAllSeeds(workflow: Workflow): Workflow {
  const defs = useSchema.getState().definitions;
  return Object.entries(workflow.nodes).reduce((next, [id, node]) => {
    const seeds = (defs.get(node.type)?.inputs ?? []).filter((port) => port.field && widgetOf(port.field).kind === "seed");
    return seeds.reduce((one, port) => setDrawn(one, id, port.name, true), next);
  }, workflow);
}

const name = (file: Blob): string => (file instanceof File ? file.name : "");

async function read(file: Blob): Promise<Converted> {
  if (isPicture(file)) {
    const converted = await convert(file);
    return { ...converted, workflow: fixSeeds(converted.workflow) };
  }
  if (file.size > LIMITS.bytes) throw new UnreadableFile("file.tooLarge");
  const text = await file.text();
  try {
    return { workflow: readWorkflow(text), notes: [] };
  } catch (error) {
    if (!(error instanceof UnreadableFile) || error.problem !== "file.foreign") throw error;
    const converted = await convert(new Blob([text], { type: "application/json" }));
    if (!Object.keys(converted.workflow.nodes).length) throw error; // understood, but there is nothing in it
    return converted;
  }
}

/** Opens a workflow file or picture. A picture without a workflow becomes a Load Image node, and that is said. */
export async function openFile(file: Blob, at: Position = [0, 0]): Promise<void> {
  try {
    const { workflow, notes } = await read(file);
    openWorkflow(workflow.name ? workflow : { ...workflow, name: name(file).replace(/\.\w+$/, "") });
    say(notes.length ? t("file.openedWith", { notes: notes.join(" ") }) : t("file.opened", { name: name(file) || workflow.name }));
  } catch (error) {
    if (isPicture(file) && error instanceof ServerError && error.status !== 0 && error.status < 500) return loadPicture(file, at);
    const sentence = error instanceof UnreadableFile ? t(error.problem) : messageOf(error);
    sayError(`${name(file)}: ${sentence}`);
  }
}

/** Uploads a picture and adds a node that loads it. */
export async function loadPicture(file: Blob, at: Position): Promise<void> {
  const def = useSchema.getState().definitions.get("LoadImage");
  try {
    const asset = await upload(file, name(file) || "pasted.png");
    if (!def) return;
    edit((graph) => {
      const { graph: next, id } = addNode(graph, def, at);
      return setValue(next, id, "image", asset.name);
    });
    say(t("file.noWorkflow", { name: asset.name }));
  } catch (error) {
    sayError(`${name(file)}: ${messageOf(error)}`);
  }
}

export async function openFiles(transfer: DataTransfer, at: Position): Promise<void> {
  const file = transfer.files[0];
  if (file) return openFile(file, at);
  const text = transfer.getData("text/plain");
  if (text.trimStart().startsWith("{")) await openFile(new File([text], "workflow.json", { type: "application/json" }), at);
}

/** Whether a pasted text is a whole workflow of any kind. */
export function looksLikeWorkflow(text: string): boolean {
  if (!text.trimStart().startsWith("{")) return false;
  try {
    const json = parseJson(text);
    return isOurs(json) || (isRecord(json) && Object.values(json).some((one) => isRecord(one) && "class_type" in one));
  } catch {
    return false;
  }
}

export function chooseFile(): void {
  const input = document.createElement("input");
  input.type = "file";
  input.accept = ".json,.png,.webp,.jpg,.jpeg,application/json,image/*";
  input.onchange = () => input.files?.[0] && void openFile(input.files[0]);
  input.click();
}

export function download(): void {
  const { workflow } = current();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([writeWorkflow(workflow)], { type: "application/json" }));
  link.download = `${(workflow.name || "workflow").replace(/[^\w .-]+/g, "_")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
