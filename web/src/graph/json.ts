/** JSON that keeps whole numbers beyond 2^53 (seeds reach 2^64 - 1) as bigints. */
export type Json = null | boolean | number | bigint | string | readonly Json[] | { readonly [key: string]: Json };

type Reviver = (key: string, value: unknown, context?: { source?: string }) => unknown;
const raw = (JSON as unknown as { rawJSON?: (text: string) => unknown }).rawJSON;

/** Reads JSON; drops `__proto__` keys, so that no text can reach a prototype. Throws `SyntaxError`. */
export function parseJson(text: string): Json {
  const revive: Reviver = (key, value, context) => {
    if (key === "__proto__") return undefined;
    if (typeof value !== "number" || Number.isSafeInteger(value) || !context?.source) return value;
    return /^-?\d+$/.test(context.source) ? BigInt(context.source) : value;
  };
  return JSON.parse(text, revive as (key: string, value: unknown) => unknown) as Json;
}

/** Writes JSON; the same value gives the same bytes. */
export function writeJson(value: unknown, indent?: number): string {
  const replace = (_key: string, item: unknown) =>
    typeof item === "bigint" ? (raw ? raw(item.toString()) : Number(item)) : item;
  return JSON.stringify(value, replace, indent);
}

export function isRecord(value: unknown): value is Record<string, Json> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function sameJson(a: unknown, b: unknown): boolean {
  return a === b || writeJson(a) === writeJson(b);
}

/** How deeply arrays and objects are nested; stops counting at `limit`. */
export function depth(value: unknown, limit = 100): number {
  if (typeof value !== "object" || value === null || limit === 0) return 0;
  let deepest = 0;
  for (const item of Object.values(value)) deepest = Math.max(deepest, depth(item, limit - 1));
  return deepest + 1;
}
