// What a session that isolates share lets out: its last word, with times counted from now.

import { Breach, nudgeFrom } from "../check.js";
import type { PendingReason, Standing } from "../contract.js";
import type { Failure } from "../errors.js";
import { type Field, isName, isValue } from "../fields.js";
import { type Access, aged, type Snapshot } from "../snapshot.js";
import { originOf, revealParts, Token } from "../token.js";

/** Secret: a token in the open. */
interface OpenToken {
  readonly id: string;
  readonly origin: string;
  readonly standing: Standing;
  readonly set: readonly Field[];
  readonly merge: readonly Field[];
}

type OpenAccess =
  | {
      readonly kind: "usable";
      readonly token: OpenToken;
      readonly refreshIn: number | null;
      readonly holdIn: number | null;
      readonly unusableIn: number | null;
    }
  | { readonly kind: "pending"; readonly reason: PendingReason }
  | { readonly kind: "failed"; readonly failure: Failure }
  | { readonly kind: "idle" }
  | { readonly kind: "closed" };

/** Secret: what goes from the object to an isolate. */
export interface Exported {
  /** Another one after the object was started again. */
  readonly object: string;
  readonly generation: number;
  readonly access: OpenAccess;
  readonly underway: boolean;
  readonly waitAtMostMs: number;
  readonly passing: OpenToken | null;
  readonly stopped: Failure | null;
  /** For so long the answer waited for news, in milliseconds. What else it took was on its way. */
  readonly heldMs: number;
}

/** What goes from the object to an isolate where there is no session to tell of. */
export interface Refusal {
  readonly failure: Failure;
}

/** What an isolate asks of the object. */
export interface Asked {
  /** The object and the generation that the isolate has seen; nothing yet if absent. */
  readonly seen?: { readonly object: string; readonly generation: number };
  /** The answer may wait so long for something newer. */
  readonly waitMs: number;
  /** A token is needed. */
  readonly need?: boolean;
  /** The API answered 401 to the token with this id. */
  readonly rejected?: string;
  /** A hint that something may have changed. */
  readonly changed?: boolean;
}

/** `since` and `cameAt`: the generation and the time when the isolate's question came. */
export function exported(object: string, snapshot: Snapshot, now: number, since: number, cameAt: number): Exported {
  const { access, passing } = snapshot;
  const left = (at: number) => (at === Infinity ? null : Math.max(0, at - now));
  const open = (token: Token): OpenToken => ({ ...revealParts(token) });
  return {
    object,
    generation: snapshot.generation,
    access:
      access.kind !== "usable"
        ? access.kind === "failed"
          ? { kind: "failed", failure: aged(access.failure, now - snapshot.at) }
          : access
        : {
            kind: "usable",
            token: open(access.token),
            refreshIn: left(access.refreshAt),
            holdIn: left(access.holdAt),
            unusableIn: left(access.unusableAt),
          },
    underway: snapshot.underway,
    waitAtMostMs: snapshot.waitAtMostMs,
    passing: passing !== undefined && passing.generation > since ? open(passing.token) : null,
    stopped: snapshot.stopped === undefined ? null : aged(snapshot.stopped, now - snapshot.at),
    heldMs: Math.max(0, now - cameAt),
  };
}

/**
 * In the isolate: `generation` counts there. What is left is counted from the earliest time at which the object can have said
 * it: nobody knows whether the question or the answer was long on its way.
 */
export function imported(from: Exported, generation: number, askedAt: number, now: number): Snapshot {
  const saidAt = Math.min(now, askedAt + from.heldMs);
  const at = (left: number | null) => (left === null ? Infinity : saidAt + left);
  const access: Access =
    from.access.kind !== "usable"
      ? from.access
      : {
          kind: "usable",
          token: closedUp(from.access.token),
          refreshAt: at(from.access.refreshIn),
          holdAt: at(from.access.holdIn),
          unusableAt: at(from.access.unusableIn),
        };
  return {
    generation,
    at: saidAt,
    access,
    underway: from.underway,
    waitAtMostMs: from.waitAtMostMs,
    nudgeFrom: nudgeFrom(access, now, Infinity),
    passing: from.passing === null ? undefined : { generation, token: closedUp(from.passing) },
    stopped: from.stopped ?? undefined,
  };
}

function closedUp({ id, origin, standing, set, merge }: OpenToken): Token {
  const good = [...set, ...merge].every(([name, value]) => isName(name) && isValue(value));
  if (!good || originOf(origin) !== origin) throw new Breach("the object's answer is none");
  return new Token({ id, origin, standing, set, merge });
}
