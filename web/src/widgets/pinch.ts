/** Two fingers on a picture: they move and zoom it. */
import type { Position } from "../graph/workflow";

/** Where a picture lies in its frame, in the frame's pixels. */
export interface View {
  readonly x: number;
  readonly y: number;
  readonly scale: number;
}

export const WHOLE: View = { x: 0, y: 0, scale: 1 };
const CLOSEST = 8;

type Frame = Readonly<Record<"x" | "y" | "width" | "height", number>>;

const span = ([ax, ay]: Position, [bx, by]: Position): number => Math.max(1, Math.hypot(ax - bx, ay - by));

/** The view once a finger went `from` here `to` there (on the page) while another was `held`: what lay between them lies there
 *  still, and the frame stays filled. */
export function pinched(view: View, held: Position, from: Position, to: Position, frame: Frame): View {
  const scale = Math.min(CLOSEST, Math.max(1, (view.scale * span(held, to)) / span(held, from)));
  const place = (axis: 0 | 1, at: number, start: number, size: number): number => {
    const [was, is] = [(held[axis] + from[axis]) / 2 - start, (held[axis] + to[axis]) / 2 - start];
    return Math.min(0, Math.max(size * (1 - scale), is - ((was - at) * scale) / view.scale));
  };
  return { scale, x: place(0, view.x, frame.x, frame.width), y: place(1, view.y, frame.y, frame.height) };
}
