// A `fetch` that carries the credential.

import { interruptible } from "./abort.js";
import type { Credential } from "./credential.js";
import { NoTokenError, otherOrigin } from "./errors.js";
import { type Field, stripped } from "./fields.js";
import { rules } from "./plugin/rules.js";
import { originOf, type Token } from "./token.js";
import type { Fetch } from "./transport.js";

/** So many bytes of a streamed body are read before it is sent, so that it can be sent again. */
export const DEFAULT_REPLAY_UP_TO = 1024 * 1024;

export interface FetchOptions {
  readonly fetch: Fetch;
  /** What every request that carries the credential is sent with. */
  readonly request: RequestInit;
  /** The token's origin, if it was told beforehand. */
  readonly origin: string | undefined;
  readonly replayUpTo: number;
}

/** What is used of a credential and of what stands behind it. */
export interface Carried {
  readonly credential: Credential;
  /** The origin of the token that is there, if one is; asks for nothing. */
  origin(): string | undefined;
}

/** A request as the vendor's TypeScript SDK hands it to its middleware. */
export type SdkRequest = RequestInit & { url: string; headers: Headers };

/** What the vendor's TypeScript SDK takes as an element of `middleware`. */
export type Middleware = <Asked extends SdkRequest>(
  request: Asked,
  next: (request: Asked) => Promise<Response>,
) => Promise<Response>;

/** @see Credential.middleware */
export function credentialedMiddleware(carried: Carried, options: FetchOptions): Middleware {
  return (request, next) => {
    const { url, ...init } = request;
    const fetch: Fetch = (input, changed) => next({ ...request, ...changed, url: urlOf(input) });
    return credentialedFetch(carried, { ...options, fetch })(url, init as RequestInit);
  };
}

/** @see Credential.fetch */
export function credentialedFetch({ credential, origin: known }: Carried, options: FetchOptions): Fetch {
  const { fetch, request, origin, replayUpTo } = options;
  const elsewhere = (actual: string, told = origin) => new NoTokenError(otherOrigin(told ?? actual, actual));
  // A program's requests go to few places, and to parse a URL is the dearest of all that is done here.
  let last: Place | undefined;
  const placeOf = (url: string) => (last?.url === url ? last : (last = placed(url)));
  return async (input, init) => {
    const place = placeOf(urlOf(input));
    const target = place.origin;
    if (origin !== undefined) {
      const actual = known();
      // Whoever asks for one of the two expects a credential there, and not that their own goes out.
      if (actual !== undefined && actual !== origin) throw elsewhere(actual);
    }
    if (target === undefined || (origin !== undefined && origin !== target)) return fetch(input, init);

    // Of a request in place of `init` everything counts, as the platforms have it.
    const asked = isRequest(input) ? input : undefined;
    const signal = init?.signal ?? asked?.signal ?? undefined;
    const limits = signal === undefined ? {} : { signal };
    let fields = fieldsOf(init?.headers ?? asked?.headers);
    const exempt = isExempt(init?.method ?? asked?.method ?? "GET", fields);
    let token = exempt && origin !== undefined ? undefined : await credential.token(limits);
    if (token !== undefined && token.origin !== target) {
      if (origin !== undefined) throw elsewhere(token.origin);
      return fetch(input, init);
    }

    const given = ownRequest(input, init);
    const more = replaces(init) ? undefined : init;
    if (given !== undefined) fields = fieldsOf(more?.headers ?? given.headers);
    // The runtime says where the request really goes.
    fields = fields.filter(([name]) => name !== "host");
    if (exempt || token === undefined) return send(await bodyOf(more, given, 0, signal), stripped(fields));
    const body = await bodyOf(more, given, replayUpTo, signal);
    // While a stream was read the token may have come to its end.
    if (body.read) token = credential.current() ?? (await credential.token(limits));
    if (token.origin !== target) throw elsewhere(token.origin, target);
    if (body.bytes) fields = fields.filter(([name]) => name !== "content-length");
    const first = await send(body, token.applied(fields));
    if (!isRejection(first)) return first;
    if (!body.repeatable) {
      credential.rejected(token.id);
      return first;
    }
    const other: Token | undefined = await credential.replacement(token.id, limits);
    if (other === undefined || other.origin !== target) return first;
    // Its text is of no interest, nor is whether it could be stopped.
    first.body?.cancel().catch(() => undefined);
    const second = await send(body, other.applied(fields));
    if (isRejection(second)) credential.rejected(other.id);
    return second;

    function send(body: Body, sent: Field[]): Promise<Response> {
      const headers = new Headers(sent as [string, string][]);
      // A redirect would take the credential along.
      const redirect = more?.redirect === "error" || given?.redirect === "error" ? "error" : "manual";
      const changed = { ...more, ...request, headers, redirect, ...body.init } as const;
      return given === undefined ? fetch(place.plain, changed) : fetch(new Request(given, changed));
    }
  };
}

/** What is no request to the API as such: preflights, tunnels, echoes, other protocols. */
function isExempt(method: string, fields: readonly Field[]): boolean {
  const asked = method.toUpperCase();
  return rules["exempt-methods"].some((exempt) => exempt === asked) || isUpgrade(fields);
}

/** Without `connection: upgrade` the field asks for nothing (RFC 9110 section 7.8). */
function isUpgrade(fields: readonly Field[]): boolean {
  const asks = ([name, value]: Field) => name === "connection" && /(^|,)\s*upgrade\s*(,|$)/i.test(value);
  return fields.some(([name]) => name === "upgrade") && fields.some(asks);
}

/** A request, of this runtime's class or of another's: of a library, or of another realm. */
function isRequest(value: unknown): value is Request {
  if (value instanceof Request) return true;
  if (typeof value !== "object" || value === null || value instanceof URL) return false;
  return "url" in value && typeof value.url === "string";
}

/** A request in place of `init`, whose fields it has. What is written as `{ … }` is none, whatever is in it. */
function replaces(init: RequestInit | undefined): init is Request {
  if (!isRequest(init)) return false;
  const prototype: unknown = Object.getPrototypeOf(init);
  return prototype !== null && Object.getPrototypeOf(prototype) !== null;
}

function urlOf(input: string | URL | Request): string {
  return isRequest(input) ? input.url : String(input);
}

/** The fields, their names in lower case. */
function fieldsOf(headers: HeadersInit | undefined): Field[] {
  if (headers === undefined) return [];
  return [...(headers instanceof Headers ? headers : headersOf(headers))];
}

function headersOf(headers: HeadersInit | undefined): Headers {
  // Of another class, its fields count all the same.
  return new Headers(headers === undefined || !(Symbol.iterator in headers) ? headers : [...headers]);
}

/** A request of this runtime's class, without user information in its URL. Undefined where there is a URL and `init` alone. */
function ownRequest(input: string | URL | Request, init: RequestInit | undefined): Request | undefined {
  const url = urlOf(input);
  if (replaces(init)) return new Request(withoutUser(url), own(init));
  if (!isRequest(input)) return undefined;
  return input instanceof Request && withoutUser(url) === url ? input : new Request(withoutUser(url), own(input));
}

function own(request: Request): RequestInit {
  if (request instanceof Request) return request;
  const { method, headers, body, redirect, signal } = request as Partial<Request>;
  const readable = body === undefined || body === null || body instanceof ReadableStream;
  if (!readable || headers === undefined || !(Symbol.iterator in headers)) {
    throw new TypeError("fetch takes a URL, or a Request of this runtime: give it new Request(url, init)");
  }
  return {
    headers: headersOf(headers),
    ...(method === undefined ? {} : { method }),
    ...(redirect === undefined ? {} : { redirect }),
    ...(signal instanceof AbortSignal ? { signal } : {}),
    ...(body instanceof ReadableStream ? { body, duplex: "half" } : {}),
  };
}

/** A body, ready to be sent. */
interface Body {
  readonly init: RequestInit & { duplex?: "half" };
  /** Whether it can be sent once more. */
  readonly repeatable: boolean;
  /** Whether it was read into memory. */
  readonly bytes: boolean;
  /** Whether something of it was read, which may have taken its time. */
  readonly read: boolean;
}

async function bodyOf(
  init: RequestInit | undefined,
  given: Request | undefined,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<Body> {
  const body = init?.body ?? given?.body;
  if (body === null || body === undefined) return { init: {}, repeatable: true, bytes: false, read: false };
  if (!(body instanceof ReadableStream)) {
    const known =
      typeof body === "string" ||
      body instanceof ArrayBuffer ||
      ArrayBuffer.isView(body) ||
      body instanceof Blob ||
      body instanceof FormData ||
      body instanceof URLSearchParams;
    return { init: { body }, repeatable: known, bytes: false, read: false };
  }
  if (limit === 0) return { init: { body, duplex: "half" }, repeatable: false, bytes: false, read: false };
  const read = await readUpTo(body, limit, signal);
  if (!(read instanceof ReadableStream)) return { init: { body: read }, repeatable: true, bytes: true, read: true };
  return { init: { body: read, duplex: "half" }, repeatable: false, bytes: false, read: true };
}

/** The whole stream, or, if it is longer, a stream of all of it. */
async function readUpTo(
  stream: ReadableStream<Uint8Array>,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  while (length <= limit) {
    const { done, value } = await interruptible(reader.read(), signal).catch((error: unknown) => {
      reader.cancel(error).catch(() => undefined);
      throw error;
    });
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
  const { status, "grpc-status": grpcStatus } = rules.rejections;
  return response.status === status || response.headers.get("grpc-status") === grpcStatus;
}

/** Where a request goes. */
interface Place {
  readonly url: string;
  /** Undefined for everything but `http` and `https`. */
  readonly origin: string | undefined;
  /** The URL without user information. */
  readonly plain: string;
}

function placed(url: string): Place {
  const origin = originOf(url);
  return { url, origin, plain: origin === undefined ? url : withoutUser(url) };
}

/** Name and password in a URL are a caller's credential, too. */
function withoutUser(text: string): string {
  const url = new URL(text);
  if (url.username === "" && url.password === "") return text;
  url.username = "";
  url.password = "";
  return url.href;
}
