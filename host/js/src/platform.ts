// What a platform has, and what its requests are.

import type { FileRequest, Outcome } from "./contract.js";
import type { Reading } from "./driver.js";
import type { Modules } from "./plugin.js";
import type { Policy } from "./policy.js";

export interface Platform {
  readonly modules: Modules;
  /**
   * Whether what a request starts belongs to it and may vanish with it, without a word: there are no timers between requests
   * and no request may wait for another's promise. So are Workers.
   */
  readonly ownersVanish: boolean;
  /** Whether this session is the only one of its kind, wherever isolates run: it is in a Durable Object. */
  readonly alone?: boolean;
  now(): Reading;
  /** The wall clock alone: a look at it takes less. Undefined where it must not be believed, even for a moment. */
  readonly wall?: () => number;
  /** Keeps the request that calls it alive until this has ended. */
  waitUntil?(work: Promise<unknown>): void;
  /** Calls back once after this time; does not keep the process alive. Gives what cancels it. */
  timer?(callback: () => void, afterMs: number): () => void;
  /** Undefined where there is none. Throws where the runtime refuses. */
  readVariable?(name: string): string | undefined;
  /** Whether the environment allows every port of this machine. Says so where it does. */
  allowsLoopback?(): boolean;
  /** The variable that names a proxy for this URL which the platform's `fetch` does not use, with what to do about it. */
  unusedProxy?(url: string): string | undefined;
  /** What every request to the API is sent with. */
  readonly request?: { readonly credentials?: "omit" };
  readFile?(request: FileRequest, policy: Policy): Promise<Outcome>;
  /**
   * The credentials file of a profile, as an entry, where the configuration leads to it and the policy allows it. Throws a `WifError` that
   * says what is wrong with it.
   */
  loadCredentials?(path: string, policy: Policy): Promise<Outcome>;
  /** Replaces it, if it still is this version and the signal does not say that nobody waits for it any more. It is never made. */
  swapCredentials?(path: string, expected: string | undefined, value: string, policy: Policy, signal: AbortSignal): Promise<Outcome>;
}
