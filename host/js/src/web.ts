/**
 * A workload's credential for the Claude API, exchanged from its identity token: for runtimes of the web's kind that this
 * package does not know. Give the option `waitUntil` where the runtime has such a function.
 *
 * @module
 */

import { create, type Options } from "./create.js";
import type { Credential } from "./credential.js";
import { isolate } from "./platforms/isolate.js";
import { modules } from "./plugin/inline.js";

export * from "./public.js";

const platform = isolate(modules);

/**
 * Makes a credential. Its first exchange begins with the first request.
 *
 * Throws `ConfigurationError` for a configuration that can never work, `OptionError` for another option.
 */
export function createWif(options: Options = {}): Credential {
  return create(options, platform);
}
