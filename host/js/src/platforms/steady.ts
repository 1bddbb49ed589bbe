import type { Reading } from "../driver.js";

/**
 * A clock that never goes back and counts while the machine sleeps: the runtime's own stops then, so what the wall clock is
 * ahead of it is added, from a second on.
 */
export function steady(wall = () => Date.now(), monotonic = () => performance.now()): () => Reading {
  const offset = wall() - monotonic();
  let ahead = 0;
  return () => {
    const wallMs = wall();
    const plain = monotonic();
    const drift = wallMs - offset - plain;
    if (drift - ahead >= 1000) ahead = drift;
    return { wallMs, steadyMs: plain + ahead };
  };
}
