// The Durable Object's side: a session in the one place that all isolates reach.

import { type Options, localSource } from "../create.js";
import { ConfigurationError, type Failure, OptionError, overloaded, wrong } from "../errors.js";
import type { Platform } from "../platform.js";
import { LocalSource } from "../source.js";
import { type Asked, exported, type Refusal } from "./export.js";

/** What is used of a Durable Object's state. */
export interface ObjectState {
  readonly storage: {
    get<T>(key: string): Promise<T | undefined>;
    put<T>(key: string, value: T): Promise<void>;
    setAlarm(atMs: number): Promise<void>;
  };
  waitUntil(work: Promise<unknown>): void;
  blockConcurrencyWhile<T>(callback: () => Promise<T>): Promise<T>;
}

/** What a credential in an object is made of: where it begins, and what keeps its journal, is the object's own affair. */
export type ObjectOptions = Omit<Options, "start" | "keepJournal" | "waitUntil" | "origin" | "replayUpTo" | "maxWaiters">;

const JOURNAL = "journal";
/** So many questions wait at once: those beyond are shed. */
const MAX_QUESTIONS = 4_096;
/** An isolate's question waits no longer for news, whatever it says. */
const LONGEST_WAIT_MS = 30_000;
/** What is due sooner waits for a request, or for this: each alarm is a write, and wakes the object. */
const ALARM_AT_LEAST_MS = 30_000;
/** An alarm that comes late by less is not moved. */
const ALARM_STEP_MS = 5_000;
/** Who asks through a binding of the account names this host. A stranger's request that was passed on does not. */
export const HOST = "credential.invalid";

export abstract class CredentialObjectBase<Environment> {
  protected readonly env: Environment;
  readonly #state: ObjectState;
  readonly #id = crypto.randomUUID();
  #source: LocalSource | undefined;
  #journal: string | undefined;
  #alarmAt = Infinity;
  #questions = 0;

  constructor(state: ObjectState, env: Environment) {
    this.env = env;
    this.#state = state;
    void state.blockConcurrencyWhile(async () => {
      this.#journal = await state.storage.get<string>(JOURNAL);
    });
  }

  /** What the credential is made of. Called once in the life of the object in memory. */
  protected abstract options(): ObjectOptions;

  protected abstract platform(): Platform;

  /** Answers isolates. */
  async fetch(request: Request): Promise<Response> {
    const { hostname, pathname } = new URL(request.url);
    if (hostname !== HOST) return new Response("not found", { status: 404 });
    const source = this.#attended();
    if (!(source instanceof LocalSource)) return refusal(source);
    if (pathname === "/status") {
      const status = await source.status();
      return new Response(JSON.stringify(status ?? null, (_, value) => (typeof value === "bigint" ? Number(value) : value)));
    }
    return this.#answer(source, await request.json());
  }

  /** Does what is due while no request comes. */
  async alarm(): Promise<void> {
    this.#alarmAt = Infinity;
    const source = this.#attended();
    if (!(source instanceof LocalSource)) return;
    const until = Date.now() + LONGEST_WAIT_MS;
    // The object stays for as long as this has not ended.
    while (source.snapshot.underway && Date.now() < until)
      await source.pause(source.snapshot.generation, until - Date.now());
    // Nothing may have been due yet: then nothing was told, and there is no other alarm.
    this.#schedule();
  }

  async #answer(source: LocalSource, asked: Asked): Promise<Response> {
    const since = source.snapshot.generation;
    const cameAt = source.time();
    const until = Date.now() + Math.min(asked.waitMs, LONGEST_WAIT_MS);
    if (asked.changed === true) source.changed();
    if (asked.rejected !== undefined) source.rejected(asked.rejected);
    if (asked.need === true) source.need();
    const { seen } = asked;
    const isNews = () => seen === undefined || seen.object !== this.#id || source.snapshot.generation > seen.generation;
    if (!isNews() && asked.waitMs > 0 && this.#questions >= MAX_QUESTIONS) return refusal(overloaded(MAX_QUESTIONS));
    this.#questions += 1;
    try {
      while (!isNews() && Date.now() < until) await source.pause(source.snapshot.generation, until - Date.now());
    } finally {
      this.#questions -= 1;
    }
    return Response.json(exported(this.#id, source.snapshot, source.time(), since, cameAt));
  }

  /** The session, after what was overdue; or why there can be none. */
  #attended(): LocalSource | Failure {
    try {
      const source = this.#open();
      source.attend();
      return source;
    } catch (error) {
      if (error instanceof ConfigurationError || error instanceof OptionError) return wrong(error);
      throw error;
    }
  }

  #open(): LocalSource {
    if (this.#source !== undefined) return this.#source;
    const { storage } = this.#state;
    const options: Options = {
      ...this.options(),
      start: this.#journal === undefined ? "fresh" : { journal: this.#journal },
      // Not awaited: the runtime holds back what the object sends until this is written.
      keepJournal: (journal) => void storage.put(JOURNAL, journal),
      waitUntil: (work) => this.#state.waitUntil(work),
    };
    const platform = { ...this.platform(), alone: true };
    this.#source = localSource(options, platform, { scheduled: () => this.#schedule() });
    this.#journal = undefined;
    return this.#source;
  }

  #schedule(): void {
    const { wakeAt } = this.#open().driver;
    if (wakeAt === Infinity) return;
    const at = Math.max(wakeAt, Date.now() + ALARM_AT_LEAST_MS);
    // One that comes before its time finds nothing to do.
    if (this.#alarmAt >= wakeAt && this.#alarmAt < at + ALARM_STEP_MS) return;
    this.#alarmAt = at;
    void this.#state.storage.setAlarm(at);
  }
}

function refusal(failure: Failure): Response {
  return Response.json({ failure } satisfies Refusal, { status: 503 });
}
