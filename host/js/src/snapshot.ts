// What callers read: the session's last word.

import type { PendingReason, Standing } from "./contract.js";
import type { Failure } from "./errors.js";
import type { Token } from "./token.js";

/** What callers may do. Times are of the driver's clock, in milliseconds; one that never comes is infinite. */
export type Access =
  | {
      readonly kind: "usable";
      readonly token: Token;
      readonly refreshAt: number;
      readonly holdAt: number;
      readonly unusableAt: number;
    }
  | { readonly kind: "pending"; readonly reason: PendingReason }
  | { readonly kind: "failed"; readonly failure: Failure }
  | { readonly kind: "idle" }
  | { readonly kind: "closed" };

/** A token that served only who was waiting for it, and the generation that brought it. */
export interface Passing {
  readonly generation: number;
  readonly token: Token;
}

/** The session's last word. */
export interface Snapshot {
  /** Rises with every snapshot. */
  readonly generation: number;
  /** When it was said. */
  readonly at: number;
  readonly access: Access;
  /** Whether work that may bring a token is under way. */
  readonly underway: boolean;
  /** How long a caller waits for it between `holdAt` and `unusableAt`. */
  readonly waitAtMostMs: number;
  /** From here on a caller that is not waiting says that a token is needed. */
  readonly nudgeFrom: number;
  /** The last token that was usable for no time at all: it serves the callers that were waiting before. */
  readonly passing?: Passing | undefined;
  /** Told once the token has expired, while there is no session that could fetch another. */
  readonly stopped?: Failure | undefined;
}

/** Where a credential stands, as far as its callers are concerned. */
export type Availability =
  | { readonly kind: "usable"; readonly id: string; readonly standing: Standing }
  | { readonly kind: "pending"; readonly reason: PendingReason }
  | { readonly kind: "failed"; readonly failure: Failure }
  | { readonly kind: "idle" }
  | { readonly kind: "closed" };

/** What a caller does now: take it; wait a while for work under way and then take it; wait; ask and wait; give up. */
export type Advice =
  | { readonly kind: "serve"; readonly token: Token }
  | { readonly kind: "hold"; readonly token: Token }
  | { readonly kind: "wait" }
  | { readonly kind: "ask" }
  | { readonly kind: "refuse"; readonly failure: Failure }
  | { readonly kind: "closed" };

export function beforeTheFirstStep(): Snapshot {
  return {
    generation: 0,
    at: 0,
    access: { kind: "pending", reason: "discovering" },
    underway: true,
    waitAtMostMs: 0,
    nudgeFrom: Infinity,
  };
}

/** The token, where nothing else has to be looked at: it is good, and nobody has to be asked for another yet. */
export function plainly({ access, nudgeFrom }: Snapshot, now: number): Token | undefined {
  if (access.kind !== "usable") return undefined;
  return now < access.holdAt && now < nudgeFrom && now < access.unusableAt ? access.token : undefined;
}

/** The rules for callers' requests of `wit/session.wit`. */
export function advice(snapshot: Snapshot, now: number): Advice {
  const { access } = snapshot;
  switch (access.kind) {
    case "usable":
      if (now < access.unusableAt) {
        const kind = now >= access.holdAt && snapshot.underway ? "hold" : "serve";
        return { kind, token: access.token };
      }
      return snapshot.stopped === undefined ? { kind: "ask" } : refuse(snapshot.stopped, snapshot, now);
    case "pending":
      return { kind: "wait" };
    case "failed":
      return refuse(access.failure, snapshot, now);
    case "idle":
      return { kind: "ask" };
    case "closed":
      return { kind: "closed" };
  }
}

function refuse(failure: Failure, { at }: Snapshot, now: number): Advice {
  return { kind: "refuse", failure: aged(failure, now - at) };
}

/** What a caller is told so long after it was said: the times in it have run on. */
export function aged(failure: Failure, ageMs: number): Failure {
  const left = (wait: number | undefined) => (wait === undefined ? undefined : Math.max(0, wait - Math.max(0, ageMs)));
  return { ...failure, retryInMs: left(failure.retryInMs), rotationInMs: left(failure.rotationInMs) };
}

/** The token, if it may still be served. */
export function usable(snapshot: Snapshot, now: number): Token | undefined {
  const { access } = snapshot;
  return access.kind === "usable" && now < access.unusableAt ? access.token : undefined;
}

export function availability({ access }: Snapshot): Availability {
  if (access.kind !== "usable") return access;
  return { kind: "usable", id: access.token.id, standing: access.token.standing };
}

/** Whether both tell callers the same, times aside. */
export function tellsTheSame(one: Snapshot, other: Snapshot): boolean {
  const [a, b] = [availability(one), availability(other)];
  if (a.kind === "usable" && b.kind === "usable") return a.id === b.id && a.standing === b.standing;
  if (a.kind === "pending" && b.kind === "pending") return a.reason === b.reason;
  if (a.kind === "failed" && b.kind === "failed") {
    return a.failure.code === b.failure.code && a.failure.message === b.failure.message;
  }
  return a.kind === b.kind;
}
