import { useEffect, useRef, useState, type CSSProperties, type PointerEvent } from "react";
import { setValue } from "../graph/edit";
import { Icon } from "../icons";
import { assetUrl, newKey } from "../server/api";
import { edit } from "../state/document";
import { upload } from "../state/schema";
import { sayError, show } from "../state/view";
import { t } from "../words";
import { Dialog } from "./Dialog";

function load(address: string): Promise<HTMLImageElement> {
  const image = Object.assign(new Image(), { src: address });
  return image.decode().then(() => image);
}

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

/** Paints a mask over a picture: brush and eraser with pen, touch or mouse; undo; invert. */
export function MaskDialog({ node, input, asset }: { readonly node: string; readonly input: string; readonly asset: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const picture = useRef<HTMLImageElement | null>(null);
  const past = useRef<ImageData[]>([]);
  const last = useRef<readonly [number, number] | null>(null);
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
  const stroke = (event: PointerEvent<HTMLCanvasElement>) => {
    const context = contextOf(event.currentTarget);
    const from = last.current;
    if (!context || !from) return;
    const to = point(event);
    context.globalCompositeOperation = erase ? "destination-out" : "source-over";
    [context.strokeStyle, context.lineWidth, context.lineCap] = ["#fff", size * (event.pointerType === "pen" ? 0.4 + event.pressure : 1), "round"];
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(to[0] + 0.01, to[1]);
    context.stroke();
    last.current = to;
  };
  const undo = () => {
    const step = past.current.pop();
    if (step) contextOf(canvas.current)?.putImageData(step, 0, 0);
    setSteps(past.current.length);
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
        <button type="button" className="primary" onClick={() => void save()}>{t("mask.save")}</button>
      </p>
      <div className="mask-area" style={{ "--ratio": ratio } as CSSProperties}>
        <img src={assetUrl(asset)} alt="" />
        <canvas
          ref={canvas} aria-label={t("mask.canvas")}
          onPointerDown={(event) => { event.currentTarget.setPointerCapture(event.pointerId); keep(); last.current = point(event); stroke(event); }}
          onPointerMove={(event) => stroke(event)} onPointerUp={() => { last.current = null; }}
        />
      </div>
    </Dialog>
  );
}
