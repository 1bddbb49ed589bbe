/**
 * A workload's credential for the Claude API, exchanged from its identity token: for Cloudflare Workers.
 *
 * @module
 */

import * as runtime from "cloudflare:workers";
import { create, type Options } from "./create.js";
import type { Credential } from "./credential.js";
import { isolate } from "./platforms/isolate.js";
import { modules } from "./plugin/workers.js";
import { CredentialObjectBase } from "./shared/object.js";

export * from "./public.js";
export { sharedWif, type ObjectNamespace, type SharedOptions } from "./shared/source.js";
export type { ObjectOptions, ObjectState } from "./shared/object.js";

const platform = isolate(modules, (work) => runtime.waitUntil?.(work));

/**
 * Makes a credential for this isolate. Its first exchange begins with the first request, so it may be made at module scope;
 * what a request starts goes on after the request has ended.
 *
 * Throws `ConfigurationError` for a configuration that can never work, `OptionError` for another option.
 */
export function createWif(options: Options): Credential {
  return create(options, platform);
}

/**
 * A Durable Object that holds a credential's session for all isolates, and its journal for the next time. Extend it and say
 * what the credential is made of; isolates reach it with `sharedWif`.
 */
export abstract class CredentialObject<Environment = unknown> extends CredentialObjectBase<Environment> {
  protected override platform() {
    return platform;
  }
}
