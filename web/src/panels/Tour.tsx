import { useEffect, useRef, useState } from "react";
import { TOUR, useView } from "../state/view";
import { t, type Key } from "../words";

const HEIGHT = 164;
const STEPS: readonly { readonly at: string; readonly text: Key }[] = [
  { at: ".react-flow__node-card", text: "tour.nodes" },
  { at: ".field.multiline", text: "tour.prompt" },
  { at: ".primary.run", text: "tour.run" },
  { at: ".react-flow__pane", text: "tour.add" },
  { at: ".rail", text: "tour.results" },
];

/** Five short steps, each beside what it speaks of; closed once, it stays closed. */
export function Tour() {
  const step = useView((view) => view.tour);
  const [box, setBox] = useState<DOMRect | null>(null);
  const next = useRef<HTMLButtonElement>(null);
  const one = step === null ? undefined : STEPS[step];
  useEffect(() => {
    if (!one) return;
    setBox(document.querySelector(one.at)?.getBoundingClientRect() ?? null);
    next.current?.focus({ preventScroll: true });
  }, [one]);
  if (step === null || !one) return null;
  const go = (to: number) => {
    if (to >= STEPS.length) localStorage.setItem(TOUR, "1");
    useView.setState({ tour: to < STEPS.length ? to : null });
  };
  const wide = box && box.width > innerWidth / 2 && box.height > innerHeight / 2; // the canvas: in its middle
  const tall = box && box.height > innerHeight / 2 && !wide;
  const low = box && box.bottom + HEIGHT > innerHeight; // no room below: above
  const left = Math.max(12, Math.min(box ? (wide ? innerWidth / 2 - 160 : tall ? box.x - 336 : box.x) : innerWidth / 2 - 160, innerWidth - 332));
  const top = Math.max(60, Math.min(box ? (wide ? innerHeight / 2 : tall ? box.y + 24 : low ? box.y - HEIGHT : box.bottom + 12) : innerHeight / 3, innerHeight - HEIGHT));
  return (
    <div className="tour popover" role="dialog" aria-label={t("do.tour")} style={{ left, top }}>
      <p><small>{t("tour.step", { step: step + 1, of: STEPS.length })}</small></p>
      <p>{t(one.text)}</p>
      <p className="buttons">
        <button ref={next} type="button" className="primary" onClick={() => go(step + 1)}>{t(step + 1 < STEPS.length ? "tour.next" : "tour.done")}</button>
        <button type="button" onClick={() => go(STEPS.length)}>{t("tour.close")}</button>
      </p>
    </div>
  );
}
