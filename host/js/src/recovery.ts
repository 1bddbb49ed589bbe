// What to do when the component was stopped: how often it is started again, and what is kept from it.

import type { Task } from "./contract.js";

/** So many restarts in a minute are made at once. */
const BUDGET = 5;
const MINUTE_MS = 60_000;
/** What stopped it so often is not tried again as it is. */
const STRIKES = 2;
/** A strike is forgotten after this time without another. */
const MEMORY_MS = 600_000;
/** The pause after an event that cannot be kept from the component stopped it again: doubled each time, up to the last. */
const PAUSES_MS = [1_000, 60_000] as const;

/** What the component was doing. A task's kind: it was given the result of one. `answering`: its answer broke the contract. */
export type Cause = "opening" | "woken" | "needed" | "rejected" | "changed" | "closing" | "answering" | Task["tag"];

const EVENTS: ReadonlySet<Cause> = new Set<Cause>([
  "opening",
  "woken",
  "needed",
  "rejected",
  "changed",
  "closing",
  "answering",
]);

export class Recovery {
  #restarts: number[] = [];
  readonly #strikes = new Map<Cause, { count: number; last: number }>();

  /** The component was stopped while it did this. When to start it again. */
  stopped(cause: Cause, now: number): number {
    for (const [known, { last }] of this.#strikes) if (now - last >= MEMORY_MS) this.#strikes.delete(known);
    const count = (this.#strikes.get(cause)?.count ?? 0) + 1;
    this.#strikes.set(cause, { count, last: now });
    const [first, longest] = PAUSES_MS;
    // A result can be kept from it: see `quarantines`. Nothing else can.
    const pause = EVENTS.has(cause) && count >= STRIKES ? Math.min(first * 2 ** (count - STRIKES), longest) : 0;
    this.#restarts = this.#restarts.filter((restart) => now - restart < MINUTE_MS);
    const byBudget = this.#restarts.length < BUDGET ? now : (this.#restarts[0] ?? now) + MINUTE_MS;
    const at = Math.max(byBudget, now + pause);
    this.#restarts = [...this.#restarts, at].slice(-BUDGET);
    return at;
  }

  /** The component did this without harm. */
  passed(cause: Cause, now: number): void {
    if (!this.quarantines(cause, now)) this.#strikes.delete(cause);
  }

  /** Whether results of this kind are kept from the component, until the last strike is forgotten: they count as lost. */
  quarantines(cause: Cause, now: number): boolean {
    const strikes = this.#strikes.get(cause);
    return !EVENTS.has(cause) && strikes !== undefined && strikes.count >= STRIKES && now - strikes.last < MEMORY_MS;
  }
}
