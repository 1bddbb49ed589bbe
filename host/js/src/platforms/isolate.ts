// Isolates that run while they have requests: no files, no variables, no timers between requests, no steady clock.

import type { Platform } from "../platform.js";
import type { Modules } from "../plugin.js";

export function isolate(modules: Modules, waitUntil?: (work: Promise<unknown>) => void): Platform {
  const wall = () => Date.now();
  const now = () => ({ wallMs: Date.now() });
  return { modules, ownersVanish: true, now, wall, ...(waitUntil === undefined ? {} : { waitUntil }) };
}
