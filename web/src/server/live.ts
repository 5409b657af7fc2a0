/** The one WebSocket: the server tells, the page listens. It heals itself. */
import { parseJson } from "../graph/json";
import { url } from "./api";
import type { LiveMessage } from "./types";

export interface Preview {
  readonly job: string;
  readonly node: string;
  readonly blob: Blob;
}

export interface Listener {
  readonly message: (message: LiveMessage) => void;
  readonly preview: (preview: Preview) => void;
  readonly lost: () => void;
}

/** Reads a binary frame; null when it is no preview. */
export function readPreview(buffer: ArrayBuffer): Preview | null {
  if (buffer.byteLength < 8) return null;
  const view = new DataView(buffer);
  const length = view.getUint32(4);
  if (view.getUint32(0) !== 1 || 8 + length > buffer.byteLength) return null;
  const header = parseJson(new TextDecoder().decode(new Uint8Array(buffer, 8, length))) as { job: string; node: string; media_type: string };
  return { job: header.job, node: header.node, blob: new Blob([new Uint8Array(buffer, 8 + length)], { type: header.media_type }) };
}

/** Connects, and again after 0.5, 1, 2 ... 10 s whenever the connection is lost. */
export function connectLive(listener: Listener): void {
  let wait = 500;
  const open = () => {
    const socket = new WebSocket(url("v1/live").replace(/^http/, "ws"));
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      wait = 500;
      if (typeof data === "string") return listener.message(parseJson(data) as unknown as LiveMessage);
      const preview = readPreview(data);
      if (preview) listener.preview(preview);
    };
    socket.onclose = () => {
      listener.lost();
      setTimeout(open, wait);
      wait = Math.min(wait * 2, 10_000);
    };
  };
  open();
}
