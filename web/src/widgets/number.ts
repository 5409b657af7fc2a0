/** Numbers as people type them. */
import type { Widget } from "../graph/schema";

export type Numeric = number | bigint;

/** Reads what was typed; null when it is no number. Whole numbers beyond 2^53 stay exact. */
export function readNumber(text: string, widget: Widget): Numeric | null {
  const trimmed = text.trim().replace(",", ".");
  if (!trimmed || !Number.isFinite(Number(trimmed))) return null;
  if (!widget.whole) return Number(trimmed);
  if (/^[+-]?\d+$/.test(trimmed) && !Number.isSafeInteger(Number(trimmed))) return BigInt(trimmed);
  return Math.round(Number(trimmed));
}

export function clamp(value: Numeric, widget: Widget): Numeric {
  if (widget.min !== undefined && value < widget.min) return widget.min;
  if (widget.max !== undefined && value > widget.max) return widget.whole && widget.max > Number.MAX_SAFE_INTEGER ? BigInt(widget.max) - 1n : widget.max;
  return value;
}

/** Adds steps without the dust of binary fractions. */
export function stepped(value: Numeric, steps: number, widget: Widget): Numeric {
  if (typeof value === "bigint") return clamp(value + BigInt(steps), widget);
  const step = widget.step ?? 1;
  const digits = Math.max(0, -Math.floor(Math.log10(step)) + 1);
  return clamp(Number((value + steps * step).toFixed(digits)), widget);
}
