import { useEffect, useRef, useState, type CSSProperties, type PointerEvent } from "react";
import { setValue } from "../graph/edit";
import type { Position } from "../graph/workflow";
import { Icon, IconButton } from "../icons";
import { assetUrl, newKey } from "../server/api";
import { edit } from "../state/document";
import { upload } from "../state/schema";
import { sayError, show } from "../state/view";
import { WHOLE, pinched } from "../widgets/pinch";
import { t } from "../words";
import { Dialog } from "./Dialog";

function load(address: string): Promise<HTMLImageElement> {
  const image = Object.assign(new Image(), { src: address });
  return image.decode().then(() => image);
}

/** The bit of `buttons` that says that a pen is held upside down. */
const PEN_ERASER = 32;

const contextOf = (canvas: HTMLCanvasElement | null) => canvas?.getContext("2d", { willReadFrequently: true }) ?? null;

/** The picture with the painted part made transparent: what Load Image reads as its mask. */
function withHole(picture: HTMLImageElement, mask: HTMLCanvasElement): Promise<Blob | null> {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [mask.width, mask.height];
  const context = contextOf(canvas);
  context?.drawImage(picture, 0, 0);
  if (context) context.globalCompositeOperation = "destination-out";
  context?.drawImage(mask, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

/** What is being painted: by which pointer, from where on the page, and how far the brush came in the picture. */
interface Stroke {
  readonly pointer: number;
  readonly began: Position;
  last: Position;
  /** A second finger would end it, and make it a move of two fingers. */
  mayEnd: boolean;
}

/** A finger that has not moved so far (pixels of the page) may still be the first of two. */
const SHORT = 12;

/** Paints a mask over a picture: brush and eraser with pen, finger or mouse; two fingers move and zoom; undo; invert.
 *  Once a pen was seen, single fingers are hands that rest. */
export function MaskDialog({ node, input, asset }: { readonly node: string; readonly input: string; readonly asset: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const picture = useRef<HTMLImageElement | null>(null);
  const past = useRef<ImageData[]>([]);
  const painting = useRef<Stroke | null>(null);
  const fingers = useRef(new Map<number, Position>());
  const pen = useRef(false);
  const [view, setView] = useState(WHOLE);
  const [size, setSize] = useState(32);
  const [erase, setErase] = useState(false);
  const [steps, setSteps] = useState(0);
  const [ratio, setRatio] = useState(1);
  useEffect(() => {
    void load(assetUrl(asset)).then((image) => {
      picture.current = image;
      if (canvas.current) [canvas.current.width, canvas.current.height] = [image.naturalWidth, image.naturalHeight];
      setSize(Math.max(4, Math.round(image.naturalWidth / 16)));
      setRatio(image.naturalWidth / image.naturalHeight);
    }, () => sayError(t("mask.unreadable")));
  }, [asset]);
  const keep = () => {
    const [context, area] = [contextOf(canvas.current), canvas.current];
    if (context && area) past.current = [...past.current, context.getImageData(0, 0, area.width, area.height)].slice(-20);
    setSteps(past.current.length);
  };
  const point = (event: PointerEvent<HTMLCanvasElement>): readonly [number, number] => {
    const box = event.currentTarget.getBoundingClientRect();
    return [((event.clientX - box.x) / box.width) * event.currentTarget.width, ((event.clientY - box.y) / box.height) * event.currentTarget.height];
  };
  const stroke = (event: PointerEvent<HTMLCanvasElement>, from: Stroke) => {
    const context = contextOf(event.currentTarget);
    if (!context) return;
    const to = point(event);
    context.globalCompositeOperation = erase || event.buttons & PEN_ERASER ? "destination-out" : "source-over";
    [context.strokeStyle, context.lineWidth, context.lineCap] = ["#fff", size * (event.pointerType === "pen" ? 0.4 + event.pressure : 1), "round"];
    context.beginPath();
    context.moveTo(...from.last);
    context.lineTo(to[0] + 0.01, to[1]);
    context.stroke();
    from.last = to;
  };
  const undo = () => {
    const step = past.current.pop();
    if (step) contextOf(canvas.current)?.putImageData(step, 0, 0);
    setSteps(past.current.length);
  };
  const press = (event: PointerEvent<HTMLCanvasElement>) => {
    const [at, touches]: [Position, boolean] = [[event.clientX, event.clientY], event.pointerType === "touch"];
    pen.current ||= event.pointerType === "pen";
    const now = painting.current;
    if (now && event.pointerType !== "pen" && !(touches && now.mayEnd)) return; // a hand that rests beside the brush
    event.currentTarget.setPointerCapture(event.pointerId);
    if (touches) fingers.current.set(event.pointerId, at);
    if (now?.mayEnd) undo();
    painting.current = null;
    if (touches && (pen.current || fingers.current.size > 1)) return;
    painting.current = { pointer: event.pointerId, began: at, mayEnd: touches, last: point(event) };
    keep();
    stroke(event, painting.current);
  };
  const move = (event: PointerEvent<HTMLCanvasElement>) => {
    const [at, now]: [Position, Stroke | null] = [[event.clientX, event.clientY], painting.current];
    if (now?.pointer === event.pointerId) {
      now.mayEnd &&= Math.hypot(at[0] - now.began[0], at[1] - now.began[1]) < SHORT;
      stroke(event, now);
    }
    const from = fingers.current.get(event.pointerId);
    const held = [...fingers.current].find(([finger]) => finger !== event.pointerId)?.[1];
    const frame = event.currentTarget.parentElement?.getBoundingClientRect();
    if (from) fingers.current.set(event.pointerId, at);
    if (from && held && frame && !now) setView((old) => pinched(old, held, from, at, frame));
  };
  const lift = (event: PointerEvent) => {
    fingers.current.delete(event.pointerId);
    if (painting.current?.pointer === event.pointerId) painting.current = null;
  };
  const invert = () => {
    const [context, area] = [contextOf(canvas.current), canvas.current];
    if (!context || !area) return;
    keep();
    context.globalCompositeOperation = "source-out";
    context.fillStyle = "#fff";
    context.fillRect(0, 0, area.width, area.height);
  };
  const save = async () => {
    const blob = picture.current && canvas.current ? await withHole(picture.current, canvas.current) : null;
    if (!blob) return;
    try {
      const made = await upload(blob, `masked-${newKey().slice(0, 6)}.png`);
      edit((graph) => setValue(graph, node, input, made.name));
      show(null);
    } catch (error) {
      sayError(error);
    }
  };
  return (
    <Dialog label={t("mask.paint")} className="mask">
      <p className="buttons">
        <button type="button" aria-pressed={!erase} onClick={() => setErase(false)}><Icon name="brush" />{t("mask.brush")}</button>
        <button type="button" aria-pressed={erase} onClick={() => setErase(true)}><Icon name="minus" />{t("mask.erase")}</button>
        <label>{t("mask.size")}<input type="range" min={2} max={256} value={size} onChange={(event) => setSize(Number(event.target.value))} /></label>
        <button type="button" disabled={!steps} onClick={undo}><Icon name="undo" />{t("do.undo")}</button>
        <button type="button" onClick={invert}>{t("mask.invert")}</button>
        {view.scale > 1 && <IconButton icon="fit" label={t("view.fit")} title={t("view.fit")} onClick={() => setView(WHOLE)} />}
        <button type="button" className="primary" onClick={() => void save()}>{t("mask.save")}</button>
      </p>
      <div className="mask-area" style={{ "--ratio": ratio, "--view": `translate(${view.x}px, ${view.y}px) scale(${view.scale})` } as CSSProperties}>
        <img src={assetUrl(asset)} alt="" />
        <canvas
          ref={canvas} aria-label={t("mask.canvas")}
          onPointerDown={press} onPointerMove={move} onPointerUp={lift} onPointerCancel={lift}
        />
      </div>
    </Dialog>
  );
}
