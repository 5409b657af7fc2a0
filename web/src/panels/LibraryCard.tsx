import { Icon, IconButton } from "../icons";
import type { Template } from "../server/types";
import { t } from "../words";
import { MiniGraph } from "./MiniGraph";

interface Props {
  readonly title: string;
  readonly text: string;
  readonly open: () => void;
  readonly picture?: string | null;
  readonly workflow?: Template["workflow"];
  readonly remove?: () => void;
  /** What the button that removes it calls it; the title when nothing else is said. */
  readonly name?: string;
}

/** A template, a saved workflow or a draft: its picture or a drawing of its graph, opened by a press. */
export function LibraryCard({ title, text, open, picture, workflow, remove, name = title }: Props) {
  return (
    <li className="library-card">
      <button type="button" onClick={open}>
        {picture ? <img src={picture} alt="" loading="lazy" /> : workflow ? <MiniGraph document={workflow} /> : <span className="library-blank"><Icon name="graph" size={28} /></span>}
        <b>{title}</b>
        <small>{text}</small>
      </button>
      {remove && <IconButton icon="trash" className="remove" label={t("library.remove", { name })} onClick={remove} />}
    </li>
  );
}
