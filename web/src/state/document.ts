/** The document: what is saved, undone and sent. Changed only by `edit`, `editWorkflow`, `undo` and `redo`. */
import { create } from "zustand";
import { changeAt, graphAt } from "../graph/subgraph";
import { EMPTY, type Graph, type Workflow } from "../graph/workflow";

const DEPTH = 200;
const MERGE_MS = 1000;

interface Step {
  readonly workflow: Workflow;
  readonly path: readonly string[];
}

interface DocumentState extends Step {
  /** The graph being looked at: the workflow, or the subgraph at the end of `path`. */
  readonly graph: Graph;
  readonly past: readonly Step[];
  readonly future: readonly Step[];
  /** Rises when another workflow is opened. */
  readonly opened: number;
  readonly lastKey: string;
  readonly lastTime: number;
  /** Somebody else's: to look at and to run, until `unlock` makes it one's own copy. */
  readonly locked: boolean;
  /** Rises when an edit was refused because of that. */
  readonly refused: number;
}

export const useDocument = create<DocumentState>(() => ({
  workflow: EMPTY, graph: EMPTY, path: [], past: [], future: [], opened: 0, lastKey: "", lastTime: 0, locked: false, refused: 0,
}));

const at = (step: Step) => ({ ...step, graph: graphAt(step.workflow, step.path) });

/** Changes the workflow as one undo step; edits with the same key within a second become one. */
export function editWorkflow(change: (workflow: Workflow) => Workflow, key = ""): void {
  useDocument.setState((state) => {
    const workflow = change(state.workflow);
    if (workflow === state.workflow) return state;
    if (state.locked) return { refused: state.refused + 1 };
    const now = performance.now();
    const merged = key !== "" && key === state.lastKey && now - state.lastTime < MERGE_MS;
    const past = merged ? state.past : [...state.past, { workflow: state.workflow, path: state.path }].slice(-DEPTH);
    return { ...at({ workflow, path: state.path }), past, future: [], lastKey: key, lastTime: now };
  });
}

/** Changes the graph being looked at as one undo step. */
export function edit(change: (graph: Graph) => Graph, key = ""): void {
  editWorkflow((workflow) => changeAt(workflow, useDocument.getState().path, change), key);
}

/** Changes the document without an undo step: what the run itself writes, such as the seeds drawn for it. */
export function amend(change: (workflow: Workflow) => Workflow): void {
  useDocument.setState((state) => at({ workflow: change(state.workflow), path: state.path }));
}

export function undo(): void {
  useDocument.setState((state) => {
    const step = state.past.at(-1);
    if (!step) return state;
    const future = [{ workflow: state.workflow, path: state.path }, ...state.future];
    return { ...at(step), past: state.past.slice(0, -1), future, lastKey: "" };
  });
}

export function redo(): void {
  useDocument.setState((state) => {
    const [step, ...future] = state.future;
    return step ? { ...at(step), past: [...state.past, { workflow: state.workflow, path: state.path }], future, lastKey: "" } : state;
  });
}

/** Opens another workflow, with a history of its own. */
export function open(workflow: Workflow, locked = false): void {
  useDocument.setState((state) => ({
    ...at({ workflow, path: [] }), past: [], future: [], lastKey: "", opened: state.opened + 1, locked,
  }));
}

export const unlock = (): void => useDocument.setState({ locked: false });

/** Looks into a subgraph, or out of it again. */
export function enter(path: readonly string[]): void {
  useDocument.setState((state) => ({ ...at({ workflow: state.workflow, path }), opened: state.opened + 1 }));
}

export const current = (): DocumentState => useDocument.getState();
