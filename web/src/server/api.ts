/** HTTP calls to the server this page came from; no other address is ever asked. */
import { isRecord, parseJson, writeJson, type Json } from "../graph/json";
import type { Problem } from "../graph/problems";
import { t } from "../words";

export class ServerError extends Error {
  constructor(message: string, readonly status: number, readonly code: string, readonly problems: readonly Problem[] = []) {
    super(message);
  }
}

export const url = (path: string): string => new URL(path.replace(/^\//, ""), document.baseURI).href;

function toProblem(json: Json): Problem {
  const one = isRecord(json) ? json : {};
  const text = (value: Json | undefined) => (typeof value === "string" ? value : null);
  return {
    node: text(one.node), input: text(one.input), message: text(one.message) ?? "", code: text(one.code) ?? "invalid",
    details: isRecord(one.details) ? one.details : {},
  };
}

/** Reads the one error shape; an answer in any other shape becomes one, too. */
export function toError(status: number, body: string): ServerError {
  try {
    const json = parseJson(body);
    const error = isRecord(json) && isRecord(json.error) ? json.error : null;
    if (error) {
      const list = Array.isArray(error.problems) ? (error.problems as readonly Json[]) : [];
      return new ServerError(String(error.message), status, String(error.code), list.map(toProblem));
    }
  } catch {
    // not JSON: said below
  }
  return new ServerError(t("server.failed", { status }), status, "http");
}

interface Options {
  readonly method?: string;
  readonly json?: unknown;
  readonly body?: Blob;
  readonly headers?: Record<string, string>;
}

/** Sends a request and throws `ServerError` unless it went well; status 0 means that the server is away. */
export async function send(path: string, options: Options = {}): Promise<Response> {
  const { json, body: file = null, headers = {} } = options;
  const body = json === undefined ? file : writeJson(json);
  const { method = body === null ? "GET" : "POST" } = options;
  const type: Record<string, string> = body === null ? {} : { "Content-Type": file ? file.type || "application/octet-stream" : "application/json" };
  let response: Response;
  try {
    response = await fetch(url(path), { method, body, headers: { ...type, ...headers } });
  } catch {
    throw new ServerError(t("server.away"), 0, "offline");
  }
  if (!response.ok) throw toError(response.status, await response.text());
  return response;
}

export async function call<T>(path: string, options: Options = {}): Promise<T> {
  const text = await (await send(path, options)).text();
  return (text ? parseJson(text) : null) as T;
}

export const assetUrl = (id: string): string => url(`v1/assets/${id}`);
export const thumbnailUrl = (id: string, size = 256): string => url(`v1/assets/${id}/thumbnail?size=${size}`);
export const newKey = (): string => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
