/**
 * A workload's credential for the Claude API, exchanged from its identity token: for edge functions of Vercel's kind.
 *
 * @module
 */

import { create, type Options } from "./create.js";
import type { Credential } from "./credential.js";
import { isolate } from "./platforms/isolate.js";
import { modules } from "./plugin/edge-light.js";

export * from "./public.js";

/** Where the platform keeps what belongs to the request that is being answered. */
const CONTEXT = Symbol.for("@vercel/request-context");

interface RequestContext {
  get?: () => { waitUntil?: (work: Promise<unknown>) => void } | undefined;
}

const platform = isolate(modules, (work) => {
  const context = (globalThis as { [CONTEXT]?: RequestContext })[CONTEXT];
  context?.get?.()?.waitUntil?.(work);
});

/**
 * Makes a credential. Its first exchange begins with the first request.
 *
 * Throws `ConfigurationError` for a configuration that can never work, `OptionError` for another option.
 */
export function createWif(options: Options): Credential {
  return create(options, platform);
}
