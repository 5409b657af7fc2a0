/** The form view: the inputs of a workflow that matter to someone who only wants to run it. */
import { definitionOf, widgetOf, type Definitions } from "./schema";
import { inOrder, sourceOf, type FormItem, type Workflow } from "./workflow";

const LIKELY = new Set(["multiline", "seed", "image", "file"]);

/** The items to show: those marked, or else prompts, pictures and seeds. Items whose node is gone are left out. */
export function formItems(defs: Definitions, workflow: Workflow): FormItem[] {
  if (workflow.form?.length) return workflow.form.filter((item) => workflow.nodes[item.node]);
  return inOrder(workflow).flatMap((id) => {
    const node = workflow.nodes[id];
    if (!node || node.mode) return [];
    return definitionOf(defs, workflow, id, node)
      .inputs.filter((port) => port.field && LIKELY.has(widgetOf(port.field).kind) && !sourceOf(node.inputs[port.name]))
      .map((port) => ({ node: id, input: port.name }));
  });
}

export const isMarked = (workflow: Workflow, node: string, input: string): boolean =>
  Boolean(workflow.form?.some((item) => item.node === node && item.input === input));

/** Marks an input for the form, or takes the mark away. */
export function toggleMark(workflow: Workflow, node: string, input: string): Workflow {
  const rest = (workflow.form ?? []).filter((item) => item.node !== node || item.input !== input);
  return { ...workflow, form: isMarked(workflow, node, input) ? rest : [...rest, { node, input }] };
}

export function changeItem(workflow: Workflow, index: number, change: Partial<FormItem>): Workflow {
  return { ...workflow, form: (workflow.form ?? []).map((item, i) => (i === index ? { ...item, ...change } : item)) };
}

export function moveItem(workflow: Workflow, index: number, by: number): Workflow {
  const form = [...(workflow.form ?? [])];
  const target = index + by;
  const item = form[index];
  if (!item || target < 0 || target >= form.length) return workflow;
  form.splice(index, 1);
  form.splice(target, 0, item);
  return { ...workflow, form };
}
