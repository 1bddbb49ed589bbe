// The quickest look at a credential: by one look at one clock, and at nothing else.

import { plainly, type Snapshot } from "./snapshot.js";
import type { Token } from "./token.js";

/** So long after all clocks were looked at the wall clock is believed by itself, in milliseconds, */
const GLANCES_MS = 100;
/** and for so many looks: it may stand still. */
const GLANCES = 1_000;

/**
 * The token, where it was good a moment ago and nothing can have become due since. Nothing is known where the wall clock shows another time than
 * in the moments after all clocks were looked at, or was put back: then whoever has the session is asked.
 */
export class Glance {
  readonly #wall: () => number;
  #token: Token | undefined;
  #seen = -Infinity;
  #until = -Infinity;
  #left = 0;

  /** Without a wall clock that may be believed for a moment it never gives anything. */
  constructor(wall: () => number = () => -Infinity) {
    this.#wall = wall;
  }

  /** Undefined where nothing is known. */
  token(): Token | undefined {
    const wall = this.#wall();
    if (!(wall >= this.#seen && wall < this.#until) || this.#left <= 0) return undefined;
    this.#seen = wall;
    this.#left -= 1;
    return this.#token;
  }

  /** What the wall clock showed at the last glance that told something. */
  get seen(): number {
    return this.#seen;
  }

  /** All clocks were looked at: it is `now`, and the wall clock shows `wall`. Something is due at `dueAt`. */
  renew(snapshot: Snapshot, now: number, wall: number, dueAt: number): void {
    this.#token = plainly(snapshot, now);
    if (snapshot.access.kind !== "usable" || this.#token === undefined) return this.clear();
    const { holdAt, unusableAt } = snapshot.access;
    this.#seen = wall;
    this.#until = wall + Math.min(GLANCES_MS, Math.min(dueAt, snapshot.nudgeFrom, holdAt, unusableAt) - now);
    this.#left = GLANCES;
  }

  /** Something happened. */
  clear(): void {
    this.#token = undefined;
    this.#until = -Infinity;
  }
}
