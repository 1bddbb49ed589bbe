// Isolates that run while they have requests: no files, no variables, no timers between requests, no steady clock.

import type { Platform } from "../platform.js";
import type { Modules } from "../plugin.js";

export function isolate(modules: Modules, waitUntil?: (work: Promise<unknown>) => void): Platform {
  const glance = () => Date.now();
  const now = () => ({ wallMs: Date.now() });
  return { modules, ownersVanish: true, now, glance, ...(waitUntil === undefined ? {} : { waitUntil }) };
}
