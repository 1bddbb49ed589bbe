// What can go wrong, by what the program can do about it. No error holds a secret.

import type * as contract from "./contract.js";
import { rules } from "./plugin/rules.js";

/** Every error of this package. */
export class WifError extends Error {
  override name = "WifError";
}

/** The configuration can never work. Mend the field. */
export class ConfigurationError extends WifError {
  override name = "ConfigurationError";
  /** The field, as a path such as `federation.organization_id`; empty for the document as a whole. */
  readonly field: string;

  constructor(field: string, message: string) {
    super(`${field === "" ? "the configuration" : `${field}:`} ${message}`);
    this.field = field;
  }
}

/** An option of this package cannot be used. Its message says which, and what would be right. */
export class OptionError extends WifError {
  override name = "OptionError";
}

/**
 * The situation. Those of the contract, and: `timed-out` - the caller's own time was over; `overloaded` - as many callers are
 * waiting as may; `closed` - the credential was closed; `component-stopped` - the component trapped and is started again
 * later; `other-origin` - the token is for another origin than the option `origin` says.
 */
export type NoTokenCode =
  contract.FailureCode | "timed-out" | "overloaded" | "closed" | "component-stopped" | "other-origin";

/** Why there is no token, for a program (`code`) and for a person (`message`, `action`). */
export interface Failure {
  /** The situation. */
  readonly code: NoTokenCode;
  /** What happened, in one or two sentences. Do not parse it. */
  readonly message: string;
  /** What the reader should do. */
  readonly action: string;
  /** When it is tried again, in milliseconds from when it was told. */
  readonly retryInMs?: number | undefined;
  /** When the identity token's rotation is expected, in milliseconds from when it was told, where that is what is awaited. */
  readonly rotationInMs?: number | undefined;
  /** The HTTP status of the token endpoint, if it answered. */
  readonly status?: number | undefined;
  /** The `request-id` of that answer. */
  readonly requestId?: string | undefined;
}

const { status: STATUS, "retry-after-s": RETRY_AFTER_S } = rules.replies;

/** There is no token: the request was not sent, neither with the caller's own credential nor without one. */
export class NoTokenError extends WifError {
  override name = "NoTokenError";
  /** What a proxy answers. */
  readonly statusCode = STATUS;
  /** The situation. */
  readonly code: NoTokenCode;
  /** What the reader should do. */
  readonly action: string;
  /** When to try again, in whole seconds, from 1 to 60. */
  readonly retryAfterSeconds: number;
  /** When the identity token's rotation is expected, in milliseconds, where that is what is awaited. It may come sooner. */
  readonly rotationInMs: number | undefined;
  /** The HTTP status of the token endpoint, if it answered. */
  readonly endpointStatus: number | undefined;
  /** The `request-id` of that answer. */
  readonly requestId: string | undefined;

  constructor(failure: Failure) {
    // The vendor's SDK takes an error for a time-out by these words, retries it, and throws one of its own without a cause.
    const text = `no access token: ${failure.message} ${failure.action}`.replace(/(timed?) ?(out)/gi, "$1-$2");
    super(`${text} (${failure.code})`);
    this.code = failure.code;
    this.action = failure.action;
    const { [failure.code as "otherwise"]: known = RETRY_AFTER_S.otherwise } = RETRY_AFTER_S;
    const seconds = failure.retryInMs === undefined ? known : Math.ceil(failure.retryInMs / 1000);
    this.retryAfterSeconds = Math.min(Math.max(1, seconds), RETRY_AFTER_S.otherwise);
    this.rotationInMs = failure.rotationInMs;
    this.endpointStatus = failure.status;
    this.requestId = failure.requestId;
  }

  /**
   * What a proxy answers, in the form of the API's own errors: 503 with `Retry-After`, and the code in `x-wif-code`. It tells
   * nothing about the workload.
   */
  toResponse(): Response {
    const message = `The proxy has no credential for this request (${this.code}).`;
    const body = { type: "error", error: { type: "api_error", message }, request_id: null };
    const headers = {
      "content-type": "application/json",
      "retry-after": String(this.retryAfterSeconds),
      "x-wif-code": this.code,
    };
    return new Response(JSON.stringify(body), { status: this.statusCode, headers });
  }
}

/** The component trapped. */
export function componentStopped(why: string, retryInMs: number | undefined): Failure {
  const action = "Nothing needs to be done if it happens once; report it if it happens again.";
  return { code: "component-stopped", message: `The component was stopped: ${why}.`, action, retryInMs };
}

/** The policy refuses the token's origin. The rule says how to allow it. */
export function originDenied(rule: string): Failure {
  const action = "Allow it, or configure another base_url.";
  return { code: "denied-by-host", message: `The token's origin is refused: ${rule}.`, action };
}

/** The caller's own time was over. */
export function timedOut(afterMs: number, waitingFor: string | undefined): Failure {
  const what = waitingFor === undefined ? "" : `, while ${waitingFor.replaceAll("-", " ")}`;
  const message = `No access token came within ${afterMs} ms${what}.`;
  return { code: "timed-out", message, action: "Work goes on: ask again." };
}

/** As many callers are waiting as may. */
export function overloaded(limit: number): Failure {
  const message = `${limit} callers wait for an access token already.`;
  return { code: "overloaded", message, action: "Send fewer requests at once, or shed this one." };
}

/** The credential was closed. */
export function closed(): Failure {
  return { code: "closed", message: "The credential is closed.", action: "Make another." };
}

/** The token is not for the origin that the option `origin`, or else the request, says. */
export function otherOrigin(told: string, actual: string): Failure {
  const message = `The token is for ${actual}, and not for ${told}.`;
  return { code: "other-origin", message, action: "Mend the option origin, or base_url in the configuration." };
}

/** The configuration, or an option beside it, can never work, where it is told in place of thrown. */
export function wrong(error: ConfigurationError | OptionError): Failure {
  const field = error instanceof ConfigurationError ? error.field : undefined;
  const message = field === "" ? `${error.message.replace(/^t/, "T")}.` : `${error.message}.`;
  return { code: "configuration", message, action: field ? `Mend the field ${field}.` : "Mend it." };
}

/** Whoever holds the session for this isolate does not answer. */
export function unreachable(why: string, retryInMs: number): Failure {
  const message = `The Durable Object cannot be reached: ${why}.`;
  return {
    code: "component-stopped",
    message,
    action: "Ask again; if it happens again, look at the object's log.",
    retryInMs,
  };
}

/** What a program threw, by its class and code alone: its text may quote what it was given. Our own errors quote nothing. */
export function nameOf(error: unknown): string {
  if (error instanceof WifError) return error.message.slice(0, 200);
  if (!(error instanceof Error)) return "something that is no error was thrown";
  const said = (text: unknown) => (typeof text === "string" && /^[\w.-]{1,64}$/.test(text) ? text : undefined);
  const code = "code" in error ? said(error.code) : undefined;
  return `${said(error.name) ?? "Error"}${code === undefined ? "" : ` (${code})`}`;
}

/** An error's text: its class and message for those of the runtime, which hold no header and no body. */
export function words(error: unknown): string {
  if (!(error instanceof Error)) return typeof error === "string" ? error : "something that is no error was thrown";
  const cause = error.cause instanceof Error ? error.cause : undefined;
  const code = (value: Error) => ("code" in value && typeof value.code === "string" ? ` (${value.code})` : "");
  const text = `${error.message || error.name}${code(error)}`;
  if (cause === undefined) return text;
  return `${text}: ${cause.message || cause.name}${code(cause)}`;
}
