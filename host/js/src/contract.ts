// The types of `wit/types.wit`, as the transpiled component takes and gives them, and how one is opened.

import type * as types from "./plugin/interfaces/wif-credential-types.js";

export type * from "./plugin/interfaces/wif-credential-types.js";

/** A session of the component: every call may throw, and is then its last. */
export interface Session {
  step(now: types.Clock, event: types.Event): types.Output;
  entryKey(): string | undefined;
  status(now: types.Clock): types.Status;
}

/** Opens a session in an instance of its own. Throws a `configuration-error`, as the plain object that it is. */
export type Open = (configuration: string, seed: bigint, can: types.Capability[], from: types.Start) => Session;
