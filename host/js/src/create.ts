// From options to a credential.

import { type AccessTokenCallable, type IdentityTokenCallable, type Named, named, type Signer } from "./callables.js";
import type { Start } from "./contract.js";
import { Credential } from "./credential.js";
import { type Change, checkConfiguration, type Opening } from "./driver.js";
import { OptionError } from "./errors.js";
import { DEFAULT_REPLAY_UP_TO, type FetchOptions } from "./fetch.js";
import type { Platform } from "./platform.js";
import { open } from "./plugin.js";
import { parseOrigin, Policy, type PolicyOptions } from "./policy.js";
import { type Hooks, LocalSource } from "./source.js";
import type { Store } from "./store.js";
import { capabilities, type Means } from "./tasks.js";
import type { Fetch } from "./transport.js";

/** As many callers wait for a token; those beyond are shed. */
export const DEFAULT_MAX_WAITERS = 16_384;

/** What requests need. */
export interface RequestOptions {
  /** What sends requests; the platform's `fetch` by default. */
  readonly fetch?: Fetch;
  /**
   * The token's origin, told beforehand: requests to elsewhere then never wait for a token. By default that of `base_url` in
   * the configuration, if it is there.
   */
  readonly origin?: string;
  /** So many bytes of a streamed body may be held in memory so that it can be sent again; 1 MiB by default. */
  readonly replayUpTo?: number;
  /** As many callers wait for a token; 16,384 by default. */
  readonly maxWaiters?: number;
}

/** What a credential is made of. */
export interface Options extends RequestOptions {
  /** The configuration document, by `configuration.schema.json`: an object, or JSON text. By default it is discovered. */
  readonly configuration?: object | string;
  /** Supplies identity tokens, for the source `callable`. */
  readonly identityToken?: Named<IdentityTokenCallable>;
  /** Supplies the access token itself, for `bearer` with the source `callable`. */
  readonly accessToken?: Named<AccessTokenCallable>;
  /** Signs identity tokens, for the source `signer`. */
  readonly signer?: Named<Signer>;
  /** Where credentials of one identity share. */
  readonly store?: Store;
  /** Limits on what leaves or enters on the component's word. */
  readonly policy?: PolicyOptions;
  /**
   * What to begin from: `fresh` by default, an earlier credential's journal, or `lost`: an earlier credential ran and its
   * journal is lost.
   */
  readonly start?: "fresh" | "lost" | { readonly journal: string };
  /**
   * Keeps each journal, which is secret, before anything that it tells of is begun: it is kept when this returns. If it throws,
   * that is not begun. A function that gives a promise is refused.
   */
  readonly keepJournal?: (journal: string) => void;
  /** Called when something changed, for logs and metrics. Never given a secret. */
  readonly onChange?: (change: Change) => void;
  /** Keeps the request that calls it alive until this has ended, where the platform has no such function of its own. */
  readonly waitUntil?: (work: Promise<unknown>) => void;
}

/** Makes a credential. */
export function create(options: Options, platform: Platform): Credential {
  // First what can be wrong: a session may begin to exchange at once, and one that nobody holds could not be closed.
  const [forRequests, waiters] = [fetchOptions(options, configuredOrigin(options), platform.request), maxWaiters(options)];
  return new Credential(localSource(options, platform, {}), forRequests, waiters);
}

/** A session in this isolate. Throws `ConfigurationError` and `OptionError`. */
export function localSource(options: Options, platform: Platform, hooks: Hooks): LocalSource {
  const { waitUntil, keepJournal } = options;
  if (Object.prototype.toString.call(keepJournal) === "[object AsyncFunction]") {
    throw new OptionError("keepJournal must have kept the journal when it returns: it cannot be an async function");
  }
  const allowLoopback = options.policy?.allowLoopback ?? platform.allowsLoopback?.() ?? false;
  const policy = new Policy({ ...options.policy, allowLoopback }, document(options.configuration));
  stopWhereVariablesAreHidden(platform, policy);
  const means: Means = {
    platform: waitUntil === undefined ? platform : { ...platform, waitUntil: (work) => waitUntil(work) },
    policy,
    fetch: ownFetch(options),
    unusedProxy: options.fetch === undefined ? platform.unusedProxy : undefined,
    identityTokens: named(options.identityToken),
    accessTokens: named(options.accessToken),
    signers: named(options.signer),
    store: options.store,
  };
  const opening: Opening = {
    open: open(platform.modules),
    configuration: document(options.configuration),
    can: capabilities(means),
    start: start(options.start),
    seed: () => crypto.getRandomValues(new BigUint64Array(1))[0] ?? 0n,
  };
  // Where the session begins with a request, what is wrong with it is said at once all the same.
  if (platform.ownersVanish) checkConfiguration(opening);
  return new LocalSource(opening, means, { keepJournal, onChange: options.onChange, ...hooks });
}

/** A variable that the runtime hides may say that another credential, or another place, is meant: then none is guessed. */
function stopWhereVariablesAreHidden({ readVariable }: Platform, policy: Policy): void {
  const hidden = policy.decisive().filter((name) => {
    try {
      readVariable?.(name);
      return false;
    } catch {
      return true;
    }
  });
  if (hidden.length === 0) return;
  throw new OptionError(
    `the runtime does not let this program read ${hidden.join(", ")}: permit it (in Deno: --allow-env=ANTHROPIC_*), or pass the option configuration`,
  );
}

export function fetchOptions(options: RequestOptions, origin: string | undefined, request: Platform["request"] = {}): FetchOptions {
  const { replayUpTo = DEFAULT_REPLAY_UP_TO } = options;
  if (!Number.isSafeInteger(replayUpTo) || replayUpTo < 0)
    throw new OptionError("replayUpTo is a number of bytes, from 0 on");
  return {
    fetch: ownFetch(options),
    request,
    replayUpTo,
    origin: options.origin === undefined ? origin : parseOrigin(options.origin),
  };
}

export function maxWaiters({ maxWaiters = DEFAULT_MAX_WAITERS }: RequestOptions): number {
  if (!Number.isSafeInteger(maxWaiters) || maxWaiters < 1)
    throw new OptionError("maxWaiters is a number of callers, from 1 on");
  return maxWaiters;
}

/** Not detached from where it belongs, and looked up when it is called: tests and instrumentation replace it. */
function ownFetch({ fetch }: RequestOptions): Fetch {
  return fetch === undefined ? (input, init) => globalThis.fetch(input, init) : (input, init) => fetch(input, init);
}

function document(configuration: object | string | undefined): string {
  if (typeof configuration === "string") return configuration;
  return JSON.stringify(configuration ?? {});
}

function start(given: Options["start"]): Start {
  if (given === undefined || given === "fresh") return { tag: "fresh" };
  if (given === "lost") return { tag: "lost" };
  if (typeof given.journal !== "string") throw new OptionError("start.journal is the text that journal() gave");
  return { tag: "resumed", val: given.journal };
}

/** The origin of `base_url`, where the configuration tells it. What is wrong with it, the component says. */
function configuredOrigin({ configuration }: Options): string | undefined {
  try {
    const { base_url: url } = JSON.parse(document(configuration));
    return typeof url === "string" ? new URL(url).origin : undefined;
  } catch {
    return undefined;
  }
}
