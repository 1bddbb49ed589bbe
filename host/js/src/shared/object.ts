// The Durable Object's side: a session in the one place that all isolates reach.

import { type Options, localSource } from "../create.js";
import type { Platform } from "../platform.js";
import type { LocalSource } from "../source.js";
import { type Asked, exported } from "./export.js";

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
/** An isolate's question waits no longer for news, whatever it says. */
const LONGEST_WAIT_MS = 30_000;
/** What is due sooner waits for a request, or for this: each alarm is a write, and wakes the object. */
const ALARM_AT_LEAST_MS = 30_000;
/** An alarm is not moved for less. */
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
    const source = this.#open();
    source.attend();
    if (pathname === "/status") {
      const status = await source.status();
      return new Response(JSON.stringify(status ?? null, (_, value) => (typeof value === "bigint" ? Number(value) : value)));
    }
    return Response.json(await this.#answer(source, await request.json()));
  }

  /** Does what is due while no request comes. */
  async alarm(): Promise<void> {
    this.#alarmAt = Infinity;
    const source = this.#open();
    source.attend();
    const until = Date.now() + LONGEST_WAIT_MS;
    // The object stays for as long as this has not ended.
    while (source.snapshot.underway && Date.now() < until)
      await source.pause(source.snapshot.generation, until - Date.now());
  }

  async #answer(source: LocalSource, asked: Asked) {
    const since = source.snapshot.generation;
    const until = Date.now() + Math.min(asked.waitMs, LONGEST_WAIT_MS);
    if (asked.changed === true) source.changed();
    if (asked.rejected !== undefined) source.rejected(asked.rejected);
    if (asked.need === true) source.need();
    const { seen } = asked;
    const isNews = () => seen === undefined || seen.object !== this.#id || source.snapshot.generation > seen.generation;
    while (!isNews() && Date.now() < until) await source.pause(source.snapshot.generation, until - Date.now());
    return exported(this.#id, source.snapshot, source.time(), since);
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
    this.#journal = undefined;
    this.#source = localSource(options, this.platform(), { scheduled: () => this.#schedule() });
    return this.#source;
  }

  #schedule(): void {
    const { wakeAt } = this.#open().driver;
    if (wakeAt === Infinity) return;
    const at = Math.max(wakeAt, Date.now() + ALARM_AT_LEAST_MS);
    if (Math.abs(at - this.#alarmAt) < ALARM_STEP_MS) return;
    this.#alarmAt = at;
    void this.#state.storage.setAlarm(at);
  }
}
