import type { Reading } from "../driver.js";

/** A clock that never goes back and counts while the machine sleeps, beside the wall clock. */
export interface Steady {
  readonly now: () => Reading;
  readonly wall: () => number;
}

/** The runtime's own clock stops while the machine sleeps, so what the wall clock is ahead of it is added, from a second on. */
export function steady(wall = () => Date.now(), monotonic = () => performance.now()): Steady {
  const offset = wall() - monotonic();
  let ahead = 0;
  let last = -Infinity;
  const now = () => {
    const wallMs = wall();
    const plain = monotonic();
    const drift = wallMs - offset - plain;
    if (drift - ahead >= 1000) ahead = drift;
    last = Math.max(last, plain + ahead);
    return { wallMs, steadyMs: last };
  };
  return { now, wall };
}
