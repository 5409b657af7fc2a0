import { useEffect, useId, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { t } from "../words";

export interface Choice {
  readonly key: string;
  readonly label: string;
  readonly hint?: string | undefined;
  readonly lead?: ReactNode;
}

export interface PickerProps<T extends Choice> {
  readonly label: string;
  readonly search: (query: string) => readonly T[];
  readonly choose: (choice: T) => void;
}

const MOST = 80;

/** A search field above a list: arrows move, Enter takes. Serves every search in the editor. */
export function Picker<T extends Choice>({ label, search, choose }: PickerProps<T>) {
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const id = useId();
  const list = useRef<HTMLUListElement>(null);
  const found = search(query).slice(0, MOST);
  const chosen = found[Math.min(at, found.length - 1)];
  useEffect(() => void list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" }), [at, query]);
  
  const key = (event: KeyboardEvent) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (by !== undefined) {
      event.preventDefault();
      setAt(Math.max(0, Math.min(found.length - 1, at + by)));
    } else if (event.key === "Enter" && chosen) {
      event.preventDefault();
      choose(chosen);
    }
  };
  return (
    <div className="picker">
      <input
        type="text" role="combobox" aria-label={label} aria-expanded="true" aria-controls={`${id}-list`} autoFocus autoComplete="off" spellCheck={false}
        aria-activedescendant={chosen ? `${id}-${chosen.key}` : undefined} placeholder={label} value={query}
        onChange={(event) => { setQuery(event.target.value); setAt(0); }} onKeyDown={key}
      />
      <ul id={`${id}-list`} role="listbox" aria-label={label} ref={list} tabIndex={-1}>
        {found.map((choice, index) => (
          <li
            key={choice.key} id={`${id}-${choice.key}`} role="option" aria-selected={choice === chosen}
            onPointerMove={() => at !== index && setAt(index)} onClick={() => choose(choice)}
          >
            {choice.lead}
            <span className="picker-label">{choice.label}</span>
            {choice.hint && <small>{choice.hint}</small>}
          </li>
        ))}
        {found.length === 0 && <li role="option" aria-selected="false" aria-disabled="true" className="nothing">{t("picker.nothing")}</li>}
      </ul>
    </div>
  );
}
