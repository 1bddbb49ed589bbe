/**
 * A workload's credential for the Claude API, exchanged from its identity token: for Node, Deno and Bun.
 *
 * @module
 */

import { create, type Options } from "./create.js";
import type { Credential } from "./credential.js";
import { node } from "./platforms/node.js";

export { directoryStore } from "./files/directory.js";
export * from "./public.js";

/**
 * Makes a credential. By default it is discovered as the vendor's clients do, and its first exchange begins now.
 *
 * Throws `ConfigurationError` for a configuration that can never work, `OptionError` for another option.
 */
export function createWif(options: Options = {}): Credential {
  return create(options, node);
}
