import { useState, type ClipboardEvent, type DragEvent } from "react";
import { Icon, IconButton } from "../icons";
import { thumbnailUrl } from "../server/api";
import { upload, useSchema } from "../state/schema";
import { sayError, show } from "../state/view";
import { t } from "../words";
import type { WidgetProps } from "./Field";

/** A picture or file among the uploads: chosen, uploaded, dropped or pasted. */
export function FileField({ id, value, set, widget, node, input, label }: WidgetProps) {
  const uploads = useSchema((state) => state.uploads);
  const [busy, setBusy] = useState(false);
  const name = typeof value === "string" ? value : "";
  const fitting = uploads.filter((asset) => !widget.media || widget.media === "latent" || asset.media_type.startsWith(widget.media));
  const chosen = uploads.find((asset) => asset.name === name || asset.id === name);
  const id32 = chosen?.id ?? (/^[0-9a-f]{32}$/.test(name) ? name : null);
  const take = async (file: File | null | undefined) => {
    if (!file) return;
    setBusy(true);
    await upload(file, file.name || "pasted.png").then((asset) => set(asset.name), sayError);
    setBusy(false);
  };
  const takeFrom = (event: DragEvent | ClipboardEvent, transfer: DataTransfer) => {
    if (event.type === "paste" && !transfer.files.length) return;
    event.preventDefault();
    event.stopPropagation();
    void take(transfer.files[0]);
  };
  return (
    <span className="file-field nodrag" onDrop={(event) => takeFrom(event, event.dataTransfer)} onDragOver={(event) => event.preventDefault()} onPaste={(event) => takeFrom(event, event.clipboardData)}>
      <span className="file-row">
        <select id={id} value={chosen ? chosen.name : name} onChange={(event) => set(event.target.value)}>
          {!chosen && <option value={name}>{name || t("choice.none")}</option>}
          {fitting.map((asset) => <option key={asset.id + asset.name} value={asset.name}>{asset.name}</option>)}
          {(widget.extra ?? []).map((extra) => <option key={extra} value={extra}>{extra}</option>)}
        </select>
        <label className="ghost upload" title={t("file.upload")}>
          <Icon name="upload" />
          <input type="file" aria-label={t("file.uploadTo", { label })} accept={widget.media ? `${widget.media}/*` : undefined} onChange={(event) => void take(event.target.files?.[0])} />
        </label>
        {id32 && widget.kind === "image" && <IconButton icon="brush" label={t("mask.paint")} title={t("mask.paint")} onClick={() => show({ kind: "mask", node, input, asset: id32 })} />}
      </span>
      {busy && <small role="status">{t("file.uploading")}</small>}
      {id32 && widget.kind === "image" ? <img className="chosen" src={thumbnailUrl(id32)} alt={name} draggable={false} /> : widget.kind === "image" && <span className="drop-hint">{t("file.drop")}</span>}
    </span>
  );
}
