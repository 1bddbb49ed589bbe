// How much of its thread's time the component takes, and how often it has something told or sent. JavaScript cannot end a step that
// runs; so what one took too long is waited out before the next.

import type { Task } from "./contract.js";
import { AT_ONCE_MS, ENTRIES, LONGEST_REST_MS, NOTES, REQUESTS, SHARE, STEP_AT_LEAST_MS } from "./limits.js";

interface Ration {
  readonly atOnce: number;
  readonly everyMs: number;
}

/**
 * What goes out by a network, or may. A program's access token may serve one caller alone, so that each caller asks for another; and
 * what is read on this machine costs time alone.
 */
const RATIONS: ReadonlyMap<string, Ration> = new Map<Task["tag"], Ration>([
  ["send-request", REQUESTS],
  ["supply-assertion", REQUESTS],
  ["sign", REQUESTS],
  ["load-entry", ENTRIES],
  ["swap-entry", ENTRIES],
]);

/** Milliseconds on a clock that never goes back, from any beginning. */
export type Stopwatch = () => number;

export class Pace {
  /** How long the last step took, in milliseconds. */
  tookMs = 0;
  readonly #now: Stopwatch;
  readonly #time: Bucket;
  readonly #notes: Bucket;
  readonly #tasks = new Map<string, Bucket>();
  readonly #journals: Bucket;

  constructor(now: Stopwatch) {
    this.#now = now;
    this.#time = new Bucket(AT_ONCE_MS, SHARE, now());
    this.#notes = paused(NOTES, now());
    this.#journals = paused(ENTRIES, now());
  }

  /** Lets the component do this, and counts what it takes. */
  enter<T>(work: () => T): T {
    const since = this.#now();
    try {
      return work();
    } finally {
      const now = this.#now();
      this.tookMs = now - since;
      this.#time.take(Math.max(this.tookMs, STEP_AT_LEAST_MS), now, SHARE * LONGEST_REST_MS);
    }
  }

  /** For so long the component must not be entered, in milliseconds. */
  restMs(): number {
    return Math.max(0, -this.#time.left(this.#now()) / SHARE);
  }

  /** How many of so many notes may be told. */
  notes(wanted: number): number {
    return this.#notes.upTo(wanted, this.#now());
  }

  /** Whether another task may be started. */
  allows(kind: Task["tag"]): boolean {
    const ration = RATIONS.get(kind);
    if (ration === undefined) return true;
    const now = this.#now();
    const bucket = this.#tasks.get(kind) ?? paused(ration, now);
    this.#tasks.set(kind, bucket);
    return bucket.upTo(1, now) === 1;
  }

  /** Whether another journal may be kept. */
  journal(): boolean {
    return this.#journals.upTo(1, this.#now()) === 1;
  }
}

/** Fills evenly up to its brim, and may be emptied at once. */
class Bucket {
  readonly #brim: number;
  readonly #perMs: number;
  #left: number;
  #at: number;

  constructor(brim: number, perMs: number, now: number) {
    this.#brim = brim;
    this.#perMs = perMs;
    this.#left = brim;
    this.#at = now;
  }

  left(now: number): number {
    this.#left = Math.min(this.#brim, this.#left + Math.max(0, now - this.#at) * this.#perMs);
    this.#at = now;
    return this.#left;
  }

  /** Takes it whether it is there or not; what is owed is no more than this. */
  take(much: number, now: number, mostOwed: number): void {
    this.#left = Math.max(this.left(now) - much, -mostOwed);
  }

  /** Takes as many as are there, whole ones. */
  upTo(wanted: number, now: number): number {
    const taken = Math.min(wanted, Math.floor(this.left(now)));
    this.#left -= taken;
    return taken;
  }
}

function paused(limit: Ration, now: number): Bucket {
  return new Bucket(limit.atOnce, 1 / limit.everyMs, now);
}
