// A session's output, checked. Whatever the component says is treated as if a stranger had said it.

import type * as contract from "./contract.js";
import { type Failure, originDenied } from "./errors.js";
import { type Field, isName, isValue } from "./fields.js";
import { MAX_FIELD, MAX_JOURNAL, MAX_LIST, MAX_NOTE, MAX_TEXT, NUDGE_AGAIN_MS, WAIT_AT_MOST_MS, WAKE_MS } from "./limits.js";
import { authority } from "./plugin/authority.js";
import { type Policy } from "./policy.js";
import type { Access, Snapshot } from "./snapshot.js";
import { originOf, Token } from "./token.js";

/** A thousand years: later is never. */
const NEVER_MS = 31_557_600_000_000n;

/** The component broke the contract. */
export class Breach extends Error {}

export interface Checked {
  readonly snapshot: Snapshot;
  /** There is a token, for an origin that the policy refuses; the access says so. */
  readonly originDenied: boolean;
  readonly wakeAt: number;
  readonly notes: readonly contract.Note[];
}

/** Checks what concerns callers. Tasks are checked when they are done, for a refusal is an answer to them. */
export function check(output: contract.Output, now: number, policy: Policy): Checked {
  if (output.notes.length > MAX_LIST) throw new Breach("too many notes");
  if (output.journal !== undefined && isLonger(output.journal, MAX_JOURNAL)) throw new Breach("the journal is too long");
  let denied = false;
  let access: Access;
  switch (output.access.tag) {
    case "usable": {
      const rule = policy.checkTokenOrigin(output.access.val.origin);
      denied = rule !== undefined;
      access = rule === undefined ? checkUsable(output.access.val, now) : { kind: "failed", failure: originDenied(rule) };
      break;
    }
    case "pending":
      access = { kind: "pending", reason: output.access.val };
      break;
    case "failed":
      access = { kind: "failed", failure: failure(output.access.val, policy) };
      break;
    default:
      access = { kind: output.access.tag };
  }
  const wakeIn = output.wakeInMs === undefined ? Infinity : Math.min(Math.max(output.wakeInMs, WAKE_MS[0]), WAKE_MS[1]);
  const snapshot: Snapshot = {
    generation: 0,
    at: now,
    access,
    underway: output.progress === "underway",
    waitAtMostMs: Math.min(output.waitAtMostMs, WAIT_AT_MOST_MS),
    nudgeFrom: nudgeFrom(access, now, wakeIn),
  };
  return { snapshot, originDenied: denied, wakeAt: now + wakeIn, notes: output.notes.map(note) };
}

/** The step that has just ended did all that was due; callers of what is pending wait, or say it anyway. */
export function nudgeFrom(access: Access, now: number, wakeIn: number): number {
  if (access.kind === "usable" && access.refreshAt > now) return access.refreshAt;
  return access.kind === "usable" || access.kind === "failed" ? now + Math.min(wakeIn, NUDGE_AGAIN_MS) : Infinity;
}

export function checkUsable(usable: contract.Usable, now: number): Access {
  const { id, origin, standing, refreshInMs, holdInMs, unusableInMs } = usable;
  if (!/^[0-9a-f]{16}$/.test(id)) throw new Breach("a token's id is none");
  const parsed = originOf(origin);
  if (parsed === undefined) throw new Breach("a token's origin is none");
  // Other headers could change what a caller's request is.
  const listed = authority.usable;
  const at = (wait: bigint | undefined) => (wait === undefined || wait >= NEVER_MS ? Infinity : now + Number(wait));
  const set = fields(usable.set, listed.set);
  const whole = set.filter(([name, value]) => listed.credential.some((known) => known === name) && value !== "");
  if (whole.length !== 1) throw new Breach("a token is one credential, and no more");
  const token = new Token({ id, origin: parsed, standing, set, merge: fields(usable.merge, listed.merge) });
  return { kind: "usable", token, refreshAt: at(refreshInMs), holdAt: at(holdInMs), unusableAt: at(unusableInMs) };
}

function fields(headers: readonly contract.Header[], known: readonly string[]): Field[] {
  if (headers.length > MAX_LIST) throw new Breach("too many headers");
  if (new Set(headers.map(({ name }) => name)).size !== headers.length) throw new Breach("a header is there twice");
  return headers.map(({ name, value }) => {
    if (!isName(name)) throw new Breach("a header's name is none");
    if (!known.includes(name)) throw new Breach(`the header ${name.slice(0, 64)} is not one of a credential`);
    if (!isValue(value)) throw new Breach(`the value of the header ${name} is no field value`);
    if (value.length > MAX_FIELD) throw new Breach(`the value of the header ${name} is too long`);
    return [name, value];
  });
}

function failure(from: contract.Failure, policy: Policy): Failure {
  const { code, retryInMs, rotationInMs, status, requestId } = from;
  const message = shown(from.message) + (code === "configuration" ? policy.hidden() : "");
  const [action, id] = [shown(from.action), requestId && shown(requestId)];
  return { code, message, action, retryInMs: plain(retryInMs), rotationInMs: plain(rotationInMs), status, requestId: id };
}

function plain(milliseconds: bigint | undefined): number | undefined {
  return milliseconds === undefined ? undefined : Number(milliseconds);
}

function note({ code, level, message, fields }: contract.Note): contract.Note {
  const texts = [message, ...fields.flatMap(({ name, value }) => [name, value])];
  if (fields.length > MAX_LIST || isLonger(texts.join(""), MAX_NOTE)) throw new Breach("a note is too long");
  const details = fields.map(({ name, value }) => ({ name: shown(name), value: shown(value) }));
  return { code, level, message: shown(message), fields: details };
}

/** For people: cut, and without what would write lines of a log, move a terminal's cursor, or turn the direction of what stands beside it. */
export function shown(text: string): string {
  return text.slice(0, MAX_TEXT).replace(/[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, " ");
}

const encoder = new TextEncoder();

/** Whether a text has more bytes than this, as UTF-8. */
export function isLonger(text: string, bytes: number): boolean {
  // A unit of UTF-16 is one to three bytes.
  return text.length > bytes || (text.length * 3 > bytes && encoder.encode(text).byteLength > bytes);
}
