// Who waits for a token, and what they do by the session's last word. The same rules in Rust: `guest/rules/src/snapshot.rs`.

import type { Failure } from "./errors.js";
import { advice, type Snapshot } from "./snapshot.js";
import type { Token } from "./token.js";

/**
 * What somebody who waits does now: take this; take none, for there is no other; answer with this; or wait until this time at
 * most and look again, after saying that a token is needed where `asks` says so. Who cannot wait for that takes the one that is
 * `held` back.
 */
export type Look =
  | { readonly kind: "take"; readonly token: Token }
  | { readonly kind: "no-other" }
  | { readonly kind: "refuse"; readonly failure: Failure }
  | { readonly kind: "closed" }
  | { readonly kind: "wait"; readonly until: number; readonly asks: boolean; readonly held?: Token };

/** Somebody who waits: for a token, or for another than the one that the API has rejected. */
export class Waiter {
  /** The generation that it saw when it began to wait. */
  readonly #since: number;
  readonly #rejected: string | undefined;
  /** Until then it waits, once there is something that it need not wait for without end. */
  #until: number | undefined;

  constructor({ generation }: Snapshot, rejected?: string) {
    this.#since = generation;
    this.#rejected = rejected;
  }

  /** What it does by this snapshot, at this time. */
  look(snapshot: Snapshot, now: number): Look {
    const { passing } = snapshot;
    if (passing !== undefined && passing.generation > this.#since) {
      // It served only who was waiting for it.
      return passing.token.id === this.#rejected ? { kind: "no-other" } : { kind: "take", token: passing.token };
    }
    return this.#rejected === undefined ? this.#forAny(snapshot, now) : this.#forAnother(this.#rejected, snapshot, now);
  }

  #forAny(snapshot: Snapshot, now: number): Look {
    const asks = now >= snapshot.nudgeFrom;
    const found = advice(snapshot, now);
    switch (found.kind) {
      case "serve":
        return { kind: "take", token: found.token };
      case "hold": {
        const until = this.#bound(snapshot, now);
        return now >= until ? { kind: "take", token: found.token } : { kind: "wait", until, asks, held: found.token };
      }
      case "wait":
        return { kind: "wait", until: Infinity, asks };
      case "ask":
        return { kind: "wait", until: Infinity, asks: true };
      default:
        return found;
    }
  }

  #forAnother(rejected: string, snapshot: Snapshot, now: number): Look {
    const { access } = snapshot;
    if (access.kind === "failed" || access.kind === "closed") return { kind: "no-other" };
    let asks = access.kind === "idle";
    if (access.kind === "usable") {
      const { token, unusableAt } = access;
      if (token.id !== rejected && token.standing === "good" && now < unusableAt) return { kind: "take", token };
      // One of unknown life, which served who waited for it.
      if (unusableAt <= now) asks = true;
      // The session knows of it, and cannot do anything about it now.
      else if (token.standing === "suspect" && !snapshot.underway) return { kind: "no-other" };
    }
    const until = this.#bound(snapshot, now);
    return now >= until ? { kind: "no-other" } : { kind: "wait", until, asks };
  }

  #bound({ waitAtMostMs }: Snapshot, now: number): number {
    return (this.#until ??= now + waitAtMostMs);
  }
}
