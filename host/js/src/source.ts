// Where a credential's callers read, and what they say: a session in this isolate, or one elsewhere.

import type * as contract from "./contract.js";
import { Driver, type Opening } from "./driver.js";
import type { Change } from "./driver.js";
import { OptionError } from "./errors.js";
import { LONG_STEP_MS, TASKS_IN_A_TURN } from "./limits.js";
import type { Glance } from "./glance.js";
import type { Snapshot } from "./snapshot.js";
import { type Means, perform } from "./tasks.js";

/** What stands behind a credential. */
export interface Source {
  readonly snapshot: Snapshot;
  /** The token, for whoever looks a moment after `attend`. */
  readonly glance: Glance;
  /** For how long a waiter that is alive is silent, at most, in milliseconds; infinite where none can vanish. */
  readonly silenceMs: number;
  /** By which the snapshot's times are measured. */
  time(): number;
  /** Lets happen what is overdue: called before anything is read. Gives the time. */
  attend(): number;
  /** Keeps the request that calls it alive until this has ended, where requests may vanish. */
  anchor(work: Promise<unknown>): void;
  /** A token is needed. */
  need(): void;
  /** The API answered 401 to the token with this id. */
  rejected(id: string): void;
  /** A hint that something may have changed. */
  changed(): void;
  /**
   * Ends when something may have changed since this generation, after this time at the latest, or with the signal. Throws
   * `NoTokenError` if nobody can be asked.
   */
  pause(generation: number, atMostMs: number, signal?: AbortSignal): Promise<void>;
  /** Undefined while the component is stopped. */
  status(): Promise<contract.Status | undefined>;
  /** Secret: the newest journal. */
  journal(): string | undefined;
  close(): void;
}

/** What a program can have called. */
export interface Hooks {
  keepJournal?: ((journal: string) => void) | undefined;
  onChange?: ((change: Change) => void) | undefined;
  /** There may be another time to wake. */
  scheduled?: (() => void) | undefined;
}

/** Waiters look again after this time, where nothing may wake them. */
const POLL_MS = 25;
/** Owners of tasks say so often that they are alive. */
const REPORT_MS = 1_000;
/** Others have their turn for this long. */
const YIELD_MS = 5;
/** Timers stand still while the machine sleeps, so none is trusted for longer than this. */
const LONGEST_TIMER_MS = 30_000;

/** A session in this isolate. */
export class LocalSource implements Source {
  readonly silenceMs: number;
  readonly driver: Driver;
  readonly glance: Glance;
  readonly #means: Means;
  readonly #hooks: Hooks;
  /** Who waits in a process that lives: called at every change. Not used where requests may vanish. */
  readonly #listeners = new Set<() => void>();
  /** Keeps the process while somebody waits: what else there is to do may have timers that do not. */
  #held: ReturnType<typeof setInterval> | undefined;
  #cancelTimer: (() => void) | undefined;
  #tasks = 0;

  constructor(opening: Opening, means: Means, hooks: Hooks) {
    const { platform, policy } = means;
    this.silenceMs = platform.ownersVanish ? 20 * POLL_MS : Infinity;
    this.#means = means;
    this.#hooks = hooks;
    this.driver = new Driver(opening, {
      policy,
      now: () => platform.now(),
      ...(platform.wall === undefined ? {} : { wall: platform.wall }),
      start: (task, session) => this.#start(task, session),
      keep: (journal) => keep(hooks, journal),
      published: (change) => this.#published(change),
      owes: () => queueMicrotask(() => this.#schedule()),
      stopwatch: () => performance.now(),
    });
    this.glance = this.driver.glance;
    if (!platform.ownersVanish) this.driver.begin();
  }

  get snapshot(): Snapshot {
    return this.driver.snapshot;
  }

  time(): number {
    return this.driver.time();
  }

  attend(): number {
    // Where requests own what they start, it begins with the first of them.
    this.driver.begin();
    return this.driver.tick();
  }

  anchor(work: Promise<unknown>): void {
    const { ownersVanish, waitUntil } = this.#means.platform;
    if (!ownersVanish || waitUntil === undefined) return;
    try {
      waitUntil(work);
    } catch {
      // Outside of a request there is nothing to keep alive: then it may vanish, and is replaced.
    }
  }

  need(): void {
    this.driver.event({ tag: "needed" });
  }

  rejected(id: string): void {
    this.driver.event({ tag: "rejected", val: id });
  }

  changed(): void {
    this.driver.event({ tag: "changed" });
  }

  async pause(generation: number, atMostMs: number, signal?: AbortSignal): Promise<void> {
    if (this.snapshot.generation !== generation || signal?.aborted === true) return;
    if (this.#means.platform.ownersVanish) {
      await sleep(Math.min(atMostMs, POLL_MS));
      this.attend();
      return;
    }
    await new Promise<void>((resolve) => {
      const timer = atMostMs === Infinity ? undefined : setTimeout(() => done(), Math.min(atMostMs, LONGEST_TIMER_MS));
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        this.#listeners.delete(done);
        this.#hold();
        resolve();
      };
      signal?.addEventListener("abort", done);
      this.#listeners.add(done);
      this.#hold();
    });
  }

  async status(): Promise<contract.Status | undefined> {
    return this.driver.status();
  }

  journal(): string | undefined {
    return this.driver.journal();
  }

  close(): void {
    this.driver.close();
    this.#cancelTimer?.();
  }

  #hold(): void {
    if (this.#listeners.size > 0) {
      // It looks at this, so that whoever waits is waited for.
      this.#held ??= setInterval(() => this.#listeners.size, LONGEST_TIMER_MS);
    } else {
      clearInterval(this.#held);
      this.#held = undefined;
    }
  }

  #published(change: Change | undefined): void {
    for (const listener of [...this.#listeners]) listener();
    // The time to wake is known once the step is over; a program's function must not run inside it.
    queueMicrotask(() => {
      this.#schedule();
      if (change === undefined) return;
      try {
        // Whoever listens must not stop the driver, now or later.
        Promise.resolve(this.#hooks.onChange?.(change)).catch(() => undefined);
      } catch {
        // Neither.
      }
    });
  }

  #schedule(): void {
    this.#hooks.scheduled?.();
    const { timer } = this.#means.platform;
    if (timer === undefined) return;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const { wakeAt } = this.driver;
    if (wakeAt === Infinity) return;
    const wait = Math.min(Math.max(wakeAt - this.time(), 0), LONGEST_TIMER_MS);
    // A timer must not be all that holds a credential: what nobody else holds goes, and is not refreshed for ever.
    const self = new WeakRef(this);
    this.#cancelTimer = timer(() => self.deref()?.wake(), Math.ceil(wait));
  }

  /** Does what is due by now. */
  wake(): void {
    this.driver.tick();
    this.#schedule();
  }

  /** Whoever brought the event that asked for it owns the task. */
  #start(task: contract.NumberedTask, session: number): void {
    this.anchor(this.#own(task, session));
  }

  async #own({ number, task }: contract.NumberedTask, session: number): Promise<void> {
    // Not inside the step that asked for it; and not in the same turn for ever, whatever the component goes on asking.
    this.#tasks += 1;
    const yields = this.#tasks % TASKS_IN_A_TURN === 0 || this.driver.tookMs >= LONG_STEP_MS;
    await (yields ? sleep(YIELD_MS) : undefined);
    const work = perform(task, this.#means);
    if (this.#means.platform.ownersVanish) {
      while (!(await endsWithin(work, REPORT_MS))) {
        this.driver.stillRunning(number, session);
        this.driver.tick();
      }
    }
    const outcome = await work;
    for (let rest = this.driver.restMs(); rest > 0; rest = this.driver.restMs()) await sleep(Math.ceil(rest));
    this.driver.finished(number, task.tag, outcome, session);
  }
}

/** What follows is sent as soon as this returns, so it has to be kept by then. */
function keep({ keepJournal }: Hooks, journal: string): void {
  const result: unknown = keepJournal?.(journal);
  if (typeof result !== "object" || result === null || !("then" in result)) return;
  Promise.resolve(result).catch(() => undefined);
  throw new OptionError("keepJournal gave a promise, and must have kept the journal when it returns");
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function endsWithin(work: Promise<unknown>, milliseconds: number): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), milliseconds);
  });
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
