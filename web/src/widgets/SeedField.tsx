import { isDrawn, setDrawn } from "../graph/edit";
import { Icon } from "../icons";
import { edit, useDocument } from "../state/document";
import { t } from "../words";
import type { WidgetProps } from "./Field";
import { NumberField } from "./NumberField";

/** A seed: drawn anew for each run, or fixed. After a run the number shown is the one it used. */
export function SeedField(props: WidgetProps) {
  const { node, input } = props;
  const drawn = useDocument((state) => isDrawn(state.graph, node, input));
  const put = (next: boolean) => edit((graph) => setDrawn(graph, node, input, next));
  return (
    <span className="seed-field nodrag">
      <NumberField {...props} set={(value) => props.set(value)} />
      <button
        type="button" className="toggle-icon" aria-pressed={drawn} aria-label={t("seed.new", { label: props.label })}
        title={t(drawn ? "seed.isNew" : "seed.isFixed")} onClick={() => put(!drawn)}
      >
        <Icon name={drawn ? "dice" : "lock"} />
      </button>
    </span>
  );
}
