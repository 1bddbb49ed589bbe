import type { Reading } from "../driver.js";

/** A clock that never goes back and counts while the machine sleeps. */
export interface Steady {
  readonly now: () => Reading;
  /**
   * The steady time, by one look at the wall clock: half of what `now` costs. Undefined where the wall clock shows another time
   * than in the moments after `now` was asked. Then `now` has to say what became of it.
   */
  readonly glance: () => number | undefined;
}

/** So long after `now` the wall clock is believed, in milliseconds, */
const GLANCES_MS = 100;
/** and for so many looks: it may stand still. */
const GLANCES = 1_000;

/** The runtime's own clock stops while the machine sleeps, so what the wall clock is ahead of it is added, from a second on. */
export function steady(wall = () => Date.now(), monotonic = () => performance.now()): Steady {
  const offset = wall() - monotonic();
  let ahead = 0;
  let last = -Infinity;
  let left = 0;
  // What `now` read last.
  let at = { wallMs: Infinity, steadyMs: 0 };
  return {
    now: () => {
      const wallMs = wall();
      const plain = monotonic();
      const drift = wallMs - offset - plain;
      if (drift - ahead >= 1000) ahead = drift;
      last = Math.max(last, plain + ahead);
      at = { wallMs, steadyMs: last };
      left = GLANCES;
      return at;
    },
    glance: () => {
      const passed = wall() - at.wallMs;
      if (left <= 0 || !(passed >= 0 && passed < GLANCES_MS)) return undefined;
      left -= 1;
      last = Math.max(last, at.steadyMs + passed);
      return last;
    },
  };
}
