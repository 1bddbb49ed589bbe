// A `fetch` that carries the credential.

import { interruptible } from "./abort.js";
import type { Credential } from "./credential.js";
import { NoTokenError, otherOrigin } from "./errors.js";
import { strip } from "./fields.js";
import type { Platform } from "./platform.js";
import { rules } from "./plugin/rules.js";
import { originOf, type Token } from "./token.js";
import type { Fetch } from "./transport.js";

/** So many bytes of a streamed body are read before it is sent, so that it can be sent again. */
export const DEFAULT_REPLAY_UP_TO = 1024 * 1024;

export interface FetchOptions {
  readonly fetch: Fetch;
  /** What every request that carries the credential is sent with. */
  readonly request: NonNullable<Platform["request"]>;
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
  const carrier = new Carrier(carried, options);
  return (request, next) => {
    const { url, ...init } = request;
    return carrier.carry(url, init as RequestInit, (input, changed) => next({ ...request, ...changed, url: urlOf(input) }));
  };
}

/** @see Credential.fetch */
export function credentialedFetch(carried: Carried, options: FetchOptions): Fetch {
  const carrier = new Carrier(carried, options);
  const { fetch } = options;
  return (input, init) => carrier.carry(input, init, fetch);
}

/** A request that is about to be sent. */
interface Sending {
  readonly fetch: Fetch;
  readonly place: Place;
  /** Where the caller gave a request, and not a URL alone. */
  readonly given: Request | undefined;
  /** What the caller gave beside it. */
  readonly more: RequestInit | undefined;
}

class Carrier {
  readonly #credential: Credential;
  readonly #known: Carried["origin"];
  readonly #credentials: "omit" | undefined;
  readonly #origin: string | undefined;
  readonly #replayUpTo: number;
  /** A program's requests go to few places, and to parse a URL is dear. */
  #last: Place | undefined;

  constructor({ credential, origin: known }: Carried, { request, origin, replayUpTo }: FetchOptions) {
    this.#credential = credential;
    this.#known = known;
    this.#credentials = request.credentials;
    this.#origin = origin;
    this.#replayUpTo = replayUpTo;
  }

  /** Sends a request by this function: with the credential if it goes to the token's origin. */
  async carry(input: string | URL | Request, init: RequestInit | undefined, fetch: Fetch): Promise<Response> {
    const origin = this.#origin;
    const place = this.#placeOf(urlOf(input));
    const target = place.origin;
    if (origin !== undefined) {
      const actual = this.#known();
      // Whoever asks for one of the two expects a credential there, and not that their own goes out.
      if (actual !== undefined && actual !== origin) throw elsewhere(origin, actual);
    }
    if (target === undefined || (origin !== undefined && origin !== target)) return fetch(input, init);

    // Of a request in place of `init` everything counts, as the platforms have it.
    const asked = isRequest(input) ? input : undefined;
    const signal = init?.signal ?? asked?.signal ?? undefined;
    let headers = copied(init?.headers ?? asked?.headers);
    const exempt = isExempt(init?.method ?? asked?.method ?? "GET", headers);
    const token = exempt && origin !== undefined ? undefined : (this.#credential.current() ?? (await this.#comes(signal)));
    if (token !== undefined && token.origin !== target) {
      if (origin !== undefined) throw elsewhere(origin, token.origin);
      return fetch(input, init);
    }

    const given = ownRequest(input, init);
    const more = replaces(init) ? undefined : init;
    if (given !== undefined) headers = copied(more?.headers ?? given.headers);
    // The runtime says where the request really goes.
    headers.delete("host");
    const sending: Sending = { fetch, place, given, more };
    const body = bodyOf(more, given);
    if (!exempt && token !== undefined) return this.#attempts(sending, body, headers, token, signal);
    strip(headers);
    return this.#send(sending, body, headers);
  }

  /** Once, and once more where the API has rejected the token and there is another. */
  async #attempts(
    sending: Sending,
    asked: Body,
    headers: Headers,
    first: Token,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    const credential = this.#credential;
    const target = sending.place.origin;
    let body = asked;
    let token = first;
    if (asked.stream !== undefined && this.#replayUpTo > 0) {
      body = await readBody(asked.stream, this.#replayUpTo, signal);
      // Meanwhile the token may have come to its end.
      token = credential.current() ?? (await this.#comes(signal));
      if (token.origin !== target) throw elsewhere(target, token.origin);
      if (body.stream === undefined) headers.delete("content-length");
    }
    token.apply(headers);
    const answer = await this.#send(sending, body, headers);
    if (!isRejection(answer)) return answer;
    if (!body.repeatable) {
      credential.rejected(token.id);
      return answer;
    }
    const other = await credential.replacement(token.id, limits(signal));
    if (other === undefined || other.origin !== target) return answer;
    // Its text is of no interest, nor is whether it could be stopped.
    answer.body?.cancel().catch(() => undefined);
    const again = new Headers(headers);
    other.apply(again);
    const second = await this.#send(sending, body, again);
    if (isRejection(second)) credential.rejected(other.id);
    return second;
  }

  #send({ fetch, place, given, more }: Sending, body: Body, headers: Headers): Promise<Response> {
    // A redirect would take the credential along.
    const redirect = more?.redirect === "error" || given?.redirect === "error" ? "error" : "manual";
    const credentials = this.#credentials;
    // First what is always there, and then what the caller gave: the other way round takes fifteen times as long.
    const changed: RequestInit & { duplex?: "half"; credentials?: RequestCredentials } =
      credentials === undefined ? { headers, redirect, ...more } : { headers, redirect, credentials, ...more };
    changed.headers = headers;
    changed.redirect = redirect;
    if (credentials !== undefined) changed.credentials = credentials;
    if (body.content !== undefined) changed.body = body.content;
    if (body.stream !== undefined) changed.duplex = "half";
    return given === undefined ? fetch(place.plain, changed) : fetch(new Request(given, changed));
  }

  #comes(signal: AbortSignal | undefined): Promise<Token> {
    return this.#credential.token(limits(signal));
  }

  #placeOf(url: string): Place {
    return this.#last?.url === url ? this.#last : (this.#last = placed(url));
  }
}

function elsewhere(told: string | undefined, actual: string): NoTokenError {
  return new NoTokenError(otherOrigin(told ?? actual, actual));
}

function limits(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

/** What is no request to the API as such: preflights, tunnels, echoes, other protocols. */
function isExempt(method: string, headers: Headers): boolean {
  const asked = method.toUpperCase();
  return rules["exempt-methods"].some((exempt) => exempt === asked) || isUpgrade(headers);
}

/** Without `connection: upgrade` the field asks for nothing (RFC 9110 section 7.8). */
function isUpgrade(headers: Headers): boolean {
  return headers.has("upgrade") && /(^|,)\s*upgrade\s*(,|$)/i.test(headers.get("connection") ?? "");
}

/** A request, of this runtime's class or of another's: of a library, or of another realm. */
function isRequest(value: unknown): value is Request {
  if (typeof value !== "object" || value === null || value instanceof URL) return false;
  if (value instanceof Request) return true;
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

/** Headers of our own: what is put on them is not the caller's to see. */
function copied(headers: HeadersInit | undefined): Headers {
  if (headers === undefined || headers instanceof Headers || !(Symbol.iterator in headers)) return new Headers(headers);
  // Of another class, its fields count all the same.
  return new Headers([...headers]);
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
    headers: copied(headers),
    ...(method === undefined ? {} : { method }),
    ...(redirect === undefined ? {} : { redirect }),
    ...(signal instanceof AbortSignal ? { signal } : {}),
    ...(body instanceof ReadableStream ? { body, duplex: "half" } : {}),
  };
}

/** A body, ready to be sent. */
interface Body {
  readonly content?: BodyInit;
  /** Whether it can be sent once more. */
  readonly repeatable: boolean;
  /** What can be read once only, if it is that. */
  readonly stream?: ReadableStream<Uint8Array>;
}

const NO_BODY: Body = { repeatable: true };

function bodyOf(init: RequestInit | undefined, given: Request | undefined): Body {
  const body = init?.body ?? given?.body;
  if (body === null || body === undefined) return NO_BODY;
  if (body instanceof ReadableStream) return streamed(body);
  const known =
    typeof body === "string" ||
    body instanceof ArrayBuffer ||
    ArrayBuffer.isView(body) ||
    body instanceof Blob ||
    body instanceof FormData ||
    body instanceof URLSearchParams;
  return { content: body, repeatable: known };
}

function streamed(stream: ReadableStream<Uint8Array>): Body {
  return { content: stream, repeatable: false, stream };
}

/** The same in memory, if it is not longer than this. */
async function readBody(stream: ReadableStream<Uint8Array>, limit: number, signal: AbortSignal | undefined): Promise<Body> {
  const read = await readUpTo(stream, limit, signal);
  return read instanceof ReadableStream ? streamed(read) : { content: read, repeatable: true };
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
