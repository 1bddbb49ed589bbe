// What a program holds: a credential whose token is exchanged when it is needed.

import { interruptible } from "./abort.js";
import { shown } from "./check.js";
import type * as contract from "./contract.js";
import { closed, componentStopped, type Failure, NoTokenError, overloaded, timedOut } from "./errors.js";
import { credentialedFetch, credentialedMiddleware, type FetchOptions, type Middleware } from "./fetch.js";
import { advice, plainly, type Snapshot, usable } from "./snapshot.js";
import type { Glance } from "./glance.js";
import type { Source } from "./source.js";
import type { Token } from "./token.js";
import type { Fetch } from "./transport.js";
import { Waiter } from "./waiter.js";

/** How a caller waits for a token. */
export interface TokenOptions {
  /** For how long at most, in milliseconds. By default for as long as one may come. */
  readonly waitAtMostMs?: number;
  /** Ends the wait with its reason. Work that is under way goes on for the others. */
  readonly signal?: AbortSignal;
}

/** What the vendor's TypeScript SDK takes as `credentials`. */
export type AccessTokenProvider = (options?: {
  forceRefresh?: boolean;
}) => Promise<{ token: string; expiresAt: number | null }>;

/** Numbers in place of the contract's 64-bit integers. */
export type Plain<T> = T extends bigint
  ? number
  : T extends (infer Item)[]
    ? Plain<Item>[]
    : T extends object
      ? { [Key in keyof T]: Plain<T[Key]> }
      : T;

/** A session at a glance, for people and for monitoring. Never a secret. Times are milliseconds from now. */
export type Status = Plain<contract.Status>;

/** Where requests may vanish a provider settles while the request that called it can still be kept alive. */
const PROVIDER_WAIT_MS = 20_000;

let inspected: (credential: Credential) => Source;

/** One identity's credential. Shows no secret when it is printed or serialised. */
export class Credential {
  /**
   * A `fetch` whose requests to the token's origin carry exactly one credential: ours. Every form of the caller's own is taken
   * off, as `Token.apply` says. Requests to every other origin go untouched. `OPTIONS`, `TRACE`, `CONNECT` and upgrades go
   * without a credential. If the option `origin` is not the token's origin nothing is sent: `NoTokenError` (`other-origin`).
   *
   * Redirects from the token's origin are returned and not followed. Without a token nothing is sent: `NoTokenError`. A 401 is
   * reported as rejected; if another token is to be had within a second, and the body can be sent again, the request is sent
   * once more, with that. Bodies that are streams are read up to `replayUpTo` bytes before they are sent; longer ones are not
   * sent again.
   */
  readonly fetch: Fetch;
  /**
   * The same for the vendor's TypeScript SDK, as an element of its option `middleware`. An error of this credential reaches the
   * caller as it is, and at once; one that `fetch` throws the SDK retries, and then wraps.
   */
  readonly middleware: Middleware;
  readonly #source: Source;
  readonly #glance: Glance;
  readonly #maxWaiters: number;
  /** Who waits, by number, and when they were last heard of. */
  readonly #waiters = new Map<number, number>();
  #lastWaiter = 0;
  /** The snapshot for which a rejection was reported: once is enough. */
  #rejectedIn = 0;
  readonly #handed: Handed = {};
  readonly #requestsVanish: boolean;
  /** The last token that was asked for, */
  #kept: Token | undefined;
  /** and a promise of it. */
  #promise: Promise<Token> | undefined;

  static {
    inspected = (credential) => credential.#source;
  }

  /** @internal */
  constructor(source: Source, fetch: FetchOptions, maxWaiters: number) {
    this.#source = source;
    this.#glance = source.glance;
    this.#maxWaiters = maxWaiters;
    this.#requestsVanish = source.silenceMs !== Infinity;
    const carried = { credential: this, origin: () => originOf(source.snapshot) };
    this.fetch = credentialedFetch(carried, fetch);
    this.middleware = credentialedMiddleware(carried, fetch);
  }

  /**
   * An access-token provider in the shape that the vendor's TypeScript SDK takes. Each client reads its own: what a client says
   * of the token that it was given says nothing about another's.
   */
  get credentials(): AccessTokenProvider {
    return provider(this, this.#handed);
  }

  /**
   * A token for a request that is about to be sent. With a good token at hand it is there at once. Shortly before the token's
   * end it waits for a running exchange, a second at most, and then gives the token that is still good. Without a token it
   * waits for as long as one may come.
   *
   * Throws `NoTokenError` if waiting would not help, if too many are waiting, and when it is closed.
   */
  token(options?: TokenOptions): Promise<Token> {
    // No function waits where the token is at hand: its callers would pay for that.
    const glanced = this.#glance.token();
    return glanced === undefined ? this.#looked(options) : this.#promised(glanced);
  }

  #looked(options?: TokenOptions): Promise<Token> {
    let current: Token | undefined;
    try {
      current = this.current();
    } catch (error) {
      return Promise.reject(error);
    }
    return current === undefined ? this.#comes(options) : this.#promised(current);
  }

  /** Where requests may vanish each has a promise of its own. Elsewhere one that has been kept does for all. */
  #promised(token: Token): Promise<Token> {
    if (this.#requestsVanish) return own(token);
    if (this.#kept === token && this.#promise !== undefined) return this.#promise;
    this.#kept = token;
    return (this.#promise = Promise.resolve(token));
  }

  async #comes(options: TokenOptions = {}): Promise<Token> {
    const waiter = new Waiter(this.#source.snapshot);
    const token = await this.#waiting((beat) => this.#wait(waiter, options, beat));
    if (token === undefined) throw new NoTokenError(closed());
    return token;
  }

  /** The current token, if there is one that may be served without waiting. Says that a token is needed where that is so. */
  current(): Token | undefined {
    const glanced = this.#glance.token();
    if (glanced !== undefined) return glanced;
    const source = this.#source;
    const now = source.attend();
    const { snapshot } = source;
    const token = plainly(snapshot, now);
    if (token !== undefined) return token;
    const found = advice(snapshot, now);
    if (found.kind !== "serve") return undefined;
    if (now >= snapshot.nudgeFrom) source.need();
    return found.token;
  }

  /** Reports that the API answered 401 to a request that carried the token with this id. Any other id does nothing. */
  rejected(id: string): void {
    const { access, generation } = this.#source.snapshot;
    if (access.kind !== "usable" || access.token.id !== id || this.#rejectedIn === generation) return;
    this.#rejectedIn = generation;
    this.#handed.rejected = id;
    this.#source.rejected(id);
  }

  /**
   * `rejected`, and then another token to send the request with once more. Waits as callers do in the last moments of a token:
   * a second by default, and only while an exchange is under way. Undefined if there is no other by then: pass the API's answer
   * on. The signal ends the wait with its reason.
   */
  async replacement(id: string, { signal }: Pick<TokenOptions, "signal"> = {}): Promise<Token | undefined> {
    this.rejected(id);
    try {
      const waiter = new Waiter(this.#source.snapshot, id);
      const token = await this.#waiting((beat) => this.#wait(waiter, signal === undefined ? {} : { signal }, beat));
      return token?.id === id ? undefined : token;
    } catch {
      signal?.throwIfAborted();
      return undefined;
    }
  }

  /** Says that a file, the store or the network may have changed: sources are read again at once. */
  changed(): void {
    this.#source.attend();
    this.#source.changed();
  }

  /** Where the credential stands. Asks the component: for people and monitoring, not for requests. */
  async status(): Promise<Status> {
    this.#source.attend();
    const status = await this.#source.status();
    if (status === undefined) throw new NoTokenError(componentStopped("it is started again later", undefined));
    return plain(status);
  }

  /**
   * Secret: the newest journal, to give another credential as `start`, in this process or the next, so that no identity token
   * is exchanged twice. It holds the access token.
   */
  journal(): string | undefined {
    return this.#source.journal();
  }

  /** Starts nothing new. The token is served until it expires. */
  close(): void {
    this.#source.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Waiters are bounded and then shed. Those that have vanished without a word are not counted. */
  async #waiting<T>(wait: (beat: () => void) => Promise<T>): Promise<T> {
    const waiters = this.#waiters;
    const number = (this.#lastWaiter += 1);
    const now = Date.now();
    if (waiters.size >= this.#maxWaiters) {
      for (const [waiter, heardAt] of waiters) if (now - heardAt > this.#source.silenceMs) waiters.delete(waiter);
    }
    if (waiters.size >= this.#maxWaiters) {
      const token = usable(this.#source.snapshot, this.#source.time());
      if (token !== undefined) return token as T;
      throw new NoTokenError(overloaded(this.#maxWaiters));
    }
    waiters.set(number, now);
    try {
      return await wait(() => waiters.set(number, Date.now()));
    } finally {
      waiters.delete(number);
    }
  }

  /** Undefined if there is no other token for this one. */
  async #wait(waiter: Waiter, { waitAtMostMs = Infinity, signal }: TokenOptions, beat: () => void): Promise<Token | undefined> {
    const source = this.#source;
    const deadline = source.time() + waitAtMostMs;
    for (;;) {
      signal?.throwIfAborted();
      beat();
      const seen = source.snapshot;
      const now = source.time();
      const found = waiter.look(seen, now);
      if (found.kind === "take") return found.token;
      if (found.kind === "no-other") return undefined;
      if (found.kind === "refuse") throw new NoTokenError(found.failure);
      if (found.kind === "closed") throw new NoTokenError(closed());
      const { asks, until, held } = found;
      if (asks) {
        source.need();
        // It may have been answered in the same turn.
        if (source.snapshot !== seen) continue;
      }
      if (now >= deadline) {
        if (held !== undefined) return held;
        const { access } = source.snapshot;
        throw new NoTokenError(timedOut(waitAtMostMs, access.kind === "pending" ? access.reason : undefined));
      }
      try {
        await interruptible(source.pause(seen.generation, Math.min(until, deadline) - now, signal), signal);
      } catch (error) {
        if (held !== undefined && error instanceof NoTokenError) return held;
        throw error;
      }
    }
  }
}

/** @internal */
export function sourceOf(credential: Credential): Source {
  return inspected(credential);
}

/**
 * A promise of the request's own. `Promise.resolve` takes longer in workerd; and of an object whose property was read V8 knows that it
 * is no promise itself, and need not look.
 */
async function own(token: Token): Promise<Token> {
  void token.id;
  return token;
}

function originOf({ access }: Snapshot): string | undefined {
  return access.kind === "usable" ? access.token.origin : undefined;
}

/** What all providers of a credential know of the tokens that they gave. */
interface Handed {
  /** The last one, since when, and whether it came in place of a rejected one. */
  last?: { readonly id: string; readonly since: number; readonly replaces: boolean };
  /** The id that was last reported as rejected. */
  rejected?: string;
}

/** So long after a replacement a client that asks for another means the one before: it was rejected in several requests. */
const JUST_REPLACED_MS = 10_000;

function provider(credential: Credential, handed: Handed): AccessTokenProvider {
  const source = inspected(credential);
  // Which token the client was given last: a late report about an earlier one must not reject its successor.
  let given: string | undefined;
  const hand = ({ id }: Token) => {
    const { last, rejected } = handed;
    if (last?.id !== id) handed.last = { id, since: source.time(), replaces: last !== undefined && last.id === rejected };
  };
  const isJustReplaced = () => handed.last?.replaces === true && source.time() - handed.last.since < JUST_REPLACED_MS;
  const provide = async (forceRefresh: boolean) => {
    let token = await credential.token(source.silenceMs === Infinity ? {} : { waitAtMostMs: PROVIDER_WAIT_MS });
    hand(token);
    if (forceRefresh && (given === undefined || given === token.id) && !isJustReplaced()) {
      token = (await credential.replacement(token.id)) ?? token;
      hand(token);
    }
    given = token.id;
    const bearer = token.revealAuthorization()?.match(/^Bearer (.+)$/)?.[1];
    if (bearer === undefined) throw new NoTokenError(noBearer());
    const { access } = source.snapshot;
    const mine = access.kind === "usable" && access.token.id === token.id;
    const left = mine ? access.unusableAt - source.time() : 0;
    return { token: bearer, expiresAt: left === Infinity ? null : Math.floor((Date.now() + Math.max(0, left)) / 1000) };
  };
  return ({ forceRefresh = false } = {}) => {
    const work = provide(forceRefresh);
    // Whoever calls this keeps the promise and lets other requests wait for it, so it has to settle.
    source.anchor(work.catch(() => undefined));
    return work;
  };
}

function noBearer(): Failure {
  const message = "The credential is no bearer token.";
  return { code: "configuration", message, action: "Use fetch in place of credentials." };
}

function plain<T>(value: T): Plain<T> {
  if (typeof value === "bigint") return Number(value) as Plain<T>;
  if (typeof value === "string") return shown(value) as Plain<T>;
  if (Array.isArray(value)) return value.map(plain) as Plain<T>;
  if (typeof value !== "object" || value === null) return value as Plain<T>;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)])) as Plain<T>;
}
