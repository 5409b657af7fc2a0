import { useState } from "react";
import { COMMANDS } from "../commands";
import { openPlaces, proposal } from "../graph/connect";
import { find, score, titleOf } from "../graph/find";
import { replaceNode, replacements } from "../graph/replace";
import { addAt } from "../actions/edit";
import { looseEnd, openPalette, tryConnect } from "../canvas/gestures";
import { Icon } from "../icons";
import { display } from "../shortcuts";
import { current, edit } from "../state/document";
import { definitionIn, useSchema } from "../state/schema";
import { inGraph, reveal, show } from "../state/view";
import { t } from "../words";
import { Dialog } from "./Dialog";
import { Dot, matching } from "./Palette";
import { Picker, type Choice, type PickerProps } from "./Picker";

/** A dialog that is a search: it closes before what was chosen is done, unless it `stays` for the next question. */
function SearchDialog<T extends Choice>({ title, choose, stays = false, ...picker }: PickerProps<T> & { title: string; stays?: boolean }) {
  const done = (choice: T) => {
    if (!stays) show(null);
    choose(choice);
  };
  return <Dialog label={title} className="search"><Picker key={picker.label} {...picker} choose={done} /></Dialog>;
}

export function FindDialog() {
  const { graph, workflow } = current();
  const defs = useSchema.getState().definitions;
  const search = (query: string) => find(defs, workflow, graph, query).map((hit) => ({ key: hit.node, label: hit.title, hint: hit.where || hit.node }));
  return <SearchDialog title={t("do.find")} label={t("find.hint")} search={search} choose={({ key }) => reveal(key)} />;
}

/** Every action, and every node that can be added, from one field. */
export function CommandsDialog() {
  const defs = [...new Set(useSchema.getState().definitions.values())];
  const search = (query: string) => [
    ...COMMANDS.filter((one) => !one.native && one.id !== "escape" && score(query, t(one.label), one.id) > 0).map((one) => ({
      key: `do:${one.id}`, label: t(one.label), hint: one.keys?.[0] && display(one.keys[0]), lead: <Icon name={one.icon ?? "right"} />, run: one.run,
    })),
    ...(query ? matching(defs, query, null).slice(0, 20) : []).map((def) => ({
      key: `add:${def.type}`, label: t("commands.add", { title: def.title }), hint: def.category, lead: <Dot def={def} />,
      run: () => addAt(def, inGraph([innerWidth / 2 - 130, innerHeight / 3]), null),
    })),
  ];
  return <SearchDialog title={t("do.commands")} label={t("commands.hint")} search={search} choose={(choice) => choice.run()} />;
}

export function ReplaceDialog({ id }: { readonly id: string }) {
  const { graph, workflow } = current();
  const defs = useSchema.getState().definitions;
  const offers = replacements(defs, workflow, graph, id);
  const search = (query: string) =>
    offers.filter(({ def }) => score(query, def.title, def.type, def.category) > 0).map(({ def, kept, lost }) => ({
      key: def.type, label: def.title, lead: <Dot def={def} />, def,
      hint: lost.length ? t("replace.loses", { kept, lost: lost.join(", ") }) : t("replace.keepsAll", { kept }),
    }));
  const choose = ({ def }: Pick<(typeof offers)[number], "def">) => {
    edit((one) => replaceNode(defs, workflow, one, id, def).graph);
    reveal(id);
  };
  return <SearchDialog title={t("replace.title", { title: titleOf(defs, workflow, graph, id) })} label={t("palette.search")} search={search} choose={choose} />;
}

/** Makes a link without a pointer: first the output, then one of the places it fits, or a new node. */
export function ConnectDialog({ id }: { readonly id: string }) {
  const { graph, workflow } = current();
  const defs = useSchema.getState().definitions;
  const outputs = definitionIn(id)?.outputs ?? [];
  const [output, setOutput] = useState(outputs.length === 1 ? outputs[0]?.name : undefined);
  const title = titleOf(defs, workflow, graph, id);
  if (output === undefined) {
    const search = (query: string) => outputs.filter((port) => score(query, port.name, port.type) > 0).map((port) => ({ key: port.name, label: port.name, hint: port.type }));
    return <SearchDialog title={t("connect.from", { title })} label={t("connect.output")} search={search} choose={({ key }) => setOutput(key)} stays />;
  }
  const loose = looseEnd(id, output, "source");
  const places = loose ? openPlaces(defs, workflow, graph, loose) : [];
  const search = (query: string) => [
    ...places
      .map(({ node, port }) => ({ key: `${node} ${port}`, label: `${titleOf(defs, workflow, graph, node)} · ${port}`, hint: node, node, port }))
      .filter((one) => score(query, one.label, one.hint) > 0),
    { key: "new", label: t("connect.newNode"), hint: "", node: "", port: "" },
  ];
  const choose = ({ node, port }: { node: string; port: string }) => {
    if (!loose) return;
    if (!node) return openPalette([innerWidth / 2 - 180, innerHeight / 4], loose);
    tryConnect(proposal(loose, node, port));
    reveal(node);
  };
  return <SearchDialog title={t("connect.to", { title, output })} label={t("connect.input")} search={search} choose={choose} />;
}
