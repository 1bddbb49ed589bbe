// A `fetch` that carries the credential.

import type { Credential } from "./credential.js";
import { strip } from "./fields.js";
import { originOf, type Token } from "./token.js";
import type { Fetch } from "./transport.js";

/** So many bytes of a streamed body are read before it is sent, so that it can be sent again. */
export const DEFAULT_REPLAY_UP_TO = 1024 * 1024;

export interface FetchOptions {
  readonly fetch: Fetch;
  /** The token's origin, if it was told beforehand. */
  readonly origin: string | undefined;
  readonly replayUpTo: number;
}

/** @see Credential.fetch */
export function credentialedFetch(credential: Credential, { fetch, origin, replayUpTo }: FetchOptions): Fetch {
  return async (input, init) => {
    const given = input instanceof Request ? input : undefined;
    const url = given?.url ?? String(input);
    const target = originOf(url);
    if (target === undefined || (origin !== undefined && origin !== target)) return fetch(input, init);
    const signal = init?.signal ?? given?.signal;
    const token = await credential.token(signal == null ? {} : { signal });
    if (token.origin !== target) return fetch(input, init);

    const headers = new Headers(init?.headers ?? given?.headers);
    // The runtime says where the request really goes.
    headers.delete("host");
    if ((init?.method ?? given?.method ?? "GET").toUpperCase() === "OPTIONS") {
      strip(headers);
      return send(await bodyOf(init, given, 0), headers);
    }
    const body = await bodyOf(init, given, replayUpTo);
    if (body.bytes) headers.delete("content-length");
    const again = new Headers(headers);
    token.apply(headers);
    const first = await send(body, headers);
    if (!isRejection(first)) return first;
    if (!body.repeatable) {
      credential.rejected(token.id);
      return first;
    }
    const other: Token | undefined = await credential.replacement(token.id);
    if (other === undefined || other.origin !== target) return first;
    // Its text is of no interest, nor is whether it could be stopped.
    first.body?.cancel().catch(() => undefined);
    other.apply(again);
    const second = await send(body, again);
    if (isRejection(second)) credential.rejected(other.id);
    return second;

    function send(body: Body, headers: Headers): Promise<Response> {
      // A redirect would take the credential along.
      const redirect = init?.redirect === "error" || given?.redirect === "error" ? "error" : "manual";
      const changed = { ...init, headers, redirect, ...body.init } as const;
      return given === undefined ? fetch(withoutUser(url), changed) : fetch(new Request(given, changed));
    }
  };
}

/** A body, ready to be sent. */
interface Body {
  readonly init: RequestInit & { duplex?: "half" };
  /** Whether it can be sent once more. */
  readonly repeatable: boolean;
  /** Whether it was read into memory. */
  readonly bytes: boolean;
}

async function bodyOf(init: RequestInit | undefined, given: Request | undefined, limit: number): Promise<Body> {
  const body = init?.body ?? given?.body;
  if (body === null || body === undefined) return { init: {}, repeatable: true, bytes: false };
  if (!(body instanceof ReadableStream)) {
    const known =
      typeof body === "string" ||
      body instanceof ArrayBuffer ||
      ArrayBuffer.isView(body) ||
      body instanceof Blob ||
      body instanceof FormData ||
      body instanceof URLSearchParams;
    return { init: { body }, repeatable: known, bytes: false };
  }
  if (limit === 0) return { init: { body, duplex: "half" }, repeatable: false, bytes: false };
  const read = await readUpTo(body, limit);
  if (read instanceof ReadableStream) return { init: { body: read, duplex: "half" }, repeatable: false, bytes: false };
  return { init: { body: read }, repeatable: true, bytes: true };
}

/** The whole stream, or, if it is longer, a stream of all of it. */
async function readUpTo(
  stream: ReadableStream<Uint8Array>,
  limit: number,
): Promise<Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  while (length <= limit) {
    const { done, value } = await reader.read();
    if (done) {
      const whole = new Uint8Array(length);
      let at = 0;
      for (const chunk of chunks) {
        whole.set(chunk, at);
        at += chunk.length;
      }
      return whole;
    }
    chunks.push(value);
    length += value.byteLength;
  }
  return new ReadableStream({
    async pull(controller) {
      const chunk = chunks.shift();
      if (chunk !== undefined) {
        controller.enqueue(chunk);
        return;
      }
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

/** Whether this is the API's word that it does not accept the token. */
function isRejection(response: Response): boolean {
  return response.status === 401 || response.headers.get("grpc-status") === "16";
}

/** Name and password in a URL are a caller's credential, too. */
function withoutUser(text: string): string {
  const url = new URL(text);
  url.username = "";
  url.password = "";
  return url.href;
}
