// One request to the token endpoint or of a source: checked, sent once, and told apart by whether a byte of it may have left.

import { within } from "./abort.js";
import { isLonger } from "./check.js";
import type * as contract from "./contract.js";
import { words } from "./errors.js";
import { isName, isValue } from "./fields.js";
import { MAX_REQUEST_BYTES, MAX_REQUEST_HEADERS, MAX_RESPONSE_BYTES } from "./limits.js";
import { authority } from "./plugin/authority.js";
import type { Policy } from "./policy.js";

/** What sends requests: the platform's `fetch`, or the program's. */
export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/** So many characters of a failure are told; the component cuts what is longer. */
const MAX_WORDS = 200;
/** What the component learns of an answer's header. Others are of no use to it. */
const PASSED_ON = ["request-id", "retry-after", "date", "content-type", "location"];
/** The only exchange that is sent: another method or field could do something else, or carry a secret or a stranger's key. */
const { method: METHOD, "content-type": CONTENT_TYPE, headers: SENT } = authority.exchange;

/** `unusedProxy`: behind a proxy nothing comes out without it, and nothing else says so. */
export async function send(
  request: contract.HttpRequest,
  policy: Policy,
  fetch: Fetch,
  unusedProxy?: (url: string) => string | undefined,
): Promise<contract.Outcome> {
  const refused = refuse(request, policy);
  if (refused !== undefined) return { tag: "denied", val: refused };
  const stop = new AbortController();
  const timeoutMs = Math.min(Math.max(request.timeoutMs, 1), policy.requestTimeoutMs);
  const late = () => {
    stop.abort();
    return new Error("late");
  };
  try {
    // A program's `fetch` may be deaf to its signal.
    return await within(timeoutMs, attempt(), late);
  } catch (error) {
    if (stop.signal.aborted) return { tag: "maybe-sent", val: `no complete answer within ${timeoutMs} ms` };
    const val = words(error);
    if (!isUnsent(error)) return { tag: "maybe-sent", val: val.slice(0, MAX_WORDS) };
    const proxy = unusedProxy?.(request.url);
    if (proxy === undefined) return { tag: "unsent", val: val.slice(0, MAX_WORDS) };
    return { tag: "unsent", val: `${val.slice(0, MAX_WORDS - proxy.length - 3)} (${proxy})` };
  }

  async function attempt(): Promise<contract.Outcome> {
    const headers = new Headers();
    for (const { name, value } of request.headers) headers.append(name, value);
    const { method, url, maxResponseBytes } = request;
    // `fetch` takes none for a GET.
    const body = request.body === "" ? null : request.body;
    // An answer that redirects is an answer: it is told, and not followed.
    const response = await fetch(url, { method, headers, body, redirect: "manual", signal: stop.signal });
    const text = await read(response, Math.min(maxResponseBytes, MAX_RESPONSE_BYTES));
    if (text === undefined) return { tag: "maybe-sent", val: "the answer is longer than is taken" };
    return { tag: "response", val: { status: response.status, headers: passedOn(response.headers), body: text } };
  }
}

/** The rule that refuses. Exchanges and refreshes are granted the token endpoint; a source what its recipe sends. */
function refuse(request: contract.HttpRequest, policy: Policy): string | undefined {
  const { purpose, method, url, origin, headers } = request;
  if (isLonger(request.body, MAX_REQUEST_BYTES) || headers.length > MAX_REQUEST_HEADERS) return "the request is too large";
  for (const { name, value } of headers) {
    if (!isName(name)) return "a header's name is none";
    if (!isValue(value)) return `the value of the header ${name} is no field value`;
  }
  if (purpose.tag === "source") return checkSource(request, purpose.val, policy);
  if (method !== METHOD) return `the policy allows the method ${METHOD} only`;
  for (const { name, value } of headers) {
    if (!SENT.some((known) => known === name)) return `the policy allows the headers ${SENT.join(", ")} only`;
    if (name === "content-type" && value !== CONTENT_TYPE) return `the policy allows the content-type ${CONTENT_TYPE} only`;
  }
  return policy.checkUrl(url, origin) ?? policy.checkEndpoint(url);
}

function checkSource({ method, url, origin, headers, body }: contract.HttpRequest, name: string, policy: Policy): string | undefined {
  return policy.checkSource(name, origin, { method, url, headers: headers.map(({ name }) => name), hasBody: body !== "" });
}

/** The body as text, or undefined if it is longer than that. */
async function read(response: Response, limit: number): Promise<string | undefined> {
  if (response.body === null) return "";
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    length += value.byteLength;
    if (length > limit) {
      // The rest is of no interest, nor is whether it could be stopped.
      reader.cancel().catch(() => undefined);
      return undefined;
    }
    text += decoder.decode(value, { stream: true });
  }
}

function passedOn(headers: Headers): contract.Header[] {
  return PASSED_ON.flatMap((name) => {
    const value = headers.get(name);
    return value === null ? [] : [{ name, value }];
  });
}

/** What the platforms say where no connection came about, by code (Node, Bun) or by words (Deno). */
const UNSENT_CODES = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "UND_ERR_CONNECT_TIMEOUT",
  "ConnectionRefused",
  "FailedToOpenSocket",
  "CERT_HAS_EXPIRED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);
const UNSENT_WORDS = ["client error (Connect)", "invalid peer certificate"];

/** Whether no byte of the request left. In doubt it did. */
function isUnsent(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ("code" in cause && typeof cause.code === "string" && UNSENT_CODES.has(cause.code)) return true;
    const { message } = cause;
    if (UNSENT_WORDS.some((words) => message.includes(words))) return true;
  }
  return false;
}
