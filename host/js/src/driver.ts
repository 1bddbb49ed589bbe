// Drives one session by the rules for drivers of `wit/session.wit`: steps it, publishes what it says, hands on what it asks
// for. It holds values only, never a promise: whatever waits, waits in the request that it belongs to.

import { Breach, check, shown } from "./check.js";
import type * as contract from "./contract.js";
import { closed, ConfigurationError, componentStopped, nameOf } from "./errors.js";
import { Glance } from "./glance.js";
import { ENTRIES, MAX_TASKS, NUDGE_AGAIN_MS, WAKE_MS } from "./limits.js";
import { Pace, type Stopwatch } from "./pace.js";
import type { Policy } from "./policy.js";
import { type Cause, Recovery } from "./recovery.js";
import {
  type Access,
  type Availability,
  availability,
  beforeTheFirstStep,
  type Snapshot,
  tellsTheSame,
  usable,
} from "./snapshot.js";

/** What time it is, in milliseconds. */
export interface Reading {
  /** Since 1970-01-01T00:00:00Z. May jump. */
  readonly wallMs: number;
  /** On a clock that never goes back and counts while the machine sleeps, where there is one. */
  readonly steadyMs?: number | undefined;
}

/** Something changed. */
export interface Change {
  readonly availability: Availability;
  /** What happened, for logs and metrics. Never a secret. */
  readonly notes: readonly contract.Note[];
  /** So many notes were left out since the last change: more came than are told. */
  readonly leftOut: number;
}

/** What a session is opened with. */
export interface Opening {
  readonly open: contract.Open;
  readonly configuration: string;
  readonly can: readonly contract.Capability[];
  readonly start: contract.Start;
  /** A new seed. */
  seed(): bigint;
}

/** What a driver finds around it. None of it is called while a step is running. */
export interface Surroundings {
  readonly policy: Policy;
  now(): Reading;
  /** The wall clock alone, where it may be believed for a moment. */
  readonly wall?: () => number;
  /** Starts a task in the request whose event brought it. Answers, later, with `finished`. */
  start(task: contract.NumberedTask, session: number): void;
  /** Keeps a journal, before any task of the same output starts. If it throws, it could not be kept. */
  keep?(journal: string): void;
  /** There is a new snapshot, and perhaps another time to wake. */
  published?(change: Change | undefined): void;
  /** The time to wake may have changed without a step. */
  owes?(): void;
  /** Measures what the component takes of its thread's time. Without it the component is not paced. */
  readonly stopwatch?: Stopwatch;
  /** Sees each output as it came. For conformance tests. */
  observe?(output: contract.Output): void;
}

/** A task whose owner was not heard of for so long is not counted: the session has given it up. */
const FORGOTTEN_MS = 10_000;
/** So many events wait for a component that has taken too much time. Events of one kind count once. */
const MAX_OWED = 16;
/** So many sessions in a row may end before their first word: then it is the journal that they begin from. */
const STILLBORN = 4;

export class Driver {
  snapshot: Snapshot = beforeTheFirstStep();
  /** The token, for whoever looks a moment after somebody else. */
  readonly glance: Glance;
  /** Step with `woken` at this time. */
  wakeAt = Infinity;
  readonly #opening: Opening;
  readonly #around: Surroundings;
  readonly #recovery = new Recovery();
  /** The tasks that are out, by number, and when their owner was last heard of. */
  #running = new Map<number, number>();
  #session: contract.Session | undefined;
  /** Rises with each session: results of an earlier one's tasks are dropped. */
  #sessions = 0;
  /** A new session after another one, which has not had its say yet: the last snapshot is served on. */
  #recovering = false;
  #begun = false;
  #closed = false;
  #journal: string | undefined;
  /** The newest journal was not handed to the program yet: there were too many. */
  #owesJournal = false;
  /** Sessions in a row that ended before their first word. */
  #stillborn = 0;
  /** Whether this session has said something. */
  #spoke = false;
  /** What the clock showed when it was last looked at. */
  #seen = -Infinity;
  readonly #pace: Pace | undefined;
  /** What the session has still to hear, once the component has rested. */
  readonly #owed = new Map<string, Heard>();
  /** What listeners were last told. */
  #told: Snapshot = this.snapshot;
  #leftOut = 0;

  constructor(opening: Opening, around: Surroundings) {
    this.#opening = opening;
    this.#around = around;
    this.glance = new Glance(around.wall);
    if (around.stopwatch !== undefined) this.#pace = new Pace(around.stopwatch);
    // The newest until a step brings another, which a session that finds all as it was does not.
    if (opening.start.tag === "resumed") this.#journal = opening.start.val;
  }

  /** Opens the session and takes its first step, once. Throws `ConfigurationError`. */
  begin(): void {
    if (this.#begun || this.#closed) return;
    try {
      this.open();
    } catch (error) {
      if (!(error instanceof ConfigurationError)) return this.#recover(trapWords(error), "opening", this.time());
      this.#begun = false;
      throw error;
    }
    this.event({ tag: "woken" });
  }

  /** Opens the session and does not step it yet. Throws `ConfigurationError`. */
  open(): void {
    this.#begun = true;
    this.#session = this.#open();
  }

  /** The time by which this driver measures. */
  time(): number {
    return timeOf(this.#around.now());
  }

  /** Secret: the newest journal. */
  journal(): string | undefined {
    return this.#journal;
  }

  /** Something happened that the session must hear: now, or when the component has rested. */
  event(event: Heard): void {
    const rest = this.restMs();
    if (rest === 0 || event.tag === "closing") return this.#step(event, event.tag);
    if (this.#closed || this.#session === undefined) return;
    if (this.#owed.size < MAX_OWED) this.#owed.set(event.tag === "rejected" ? `rejected ${event.val}` : event.tag, event);
    this.wakeAt = Math.min(this.wakeAt, this.time() + rest);
    this.#around.owes?.();
  }

  /** For so long no task's result may be handed over, in milliseconds: the component has taken more time than it may. */
  restMs(): number {
    return this.#pace?.restMs() ?? 0;
  }

  /** Whether the last step was so long that others should have their turn. */
  get tookMs(): number {
    return this.#pace?.tookMs ?? 0;
  }

  /** Does what is overdue, if anything is; where the clock went back nobody knows, and the session is asked. Gives the time. */
  tick(): number {
    const reading = this.#around.now();
    const now = this.#tick(reading);
    this.glance.renew(this.snapshot, now, reading.wallMs, this.wakeAt);
    return now;
  }

  #tick(reading: Reading): number {
    const now = timeOf(reading);
    const seen = reading.steadyMs === undefined ? Math.max(this.#seen, this.glance.seen) : this.#seen;
    this.#seen = now;
    const back = now < seen;
    const rest = this.restMs();
    if (rest > 0) {
      if (now >= this.wakeAt || back) this.wakeAt = now + rest;
      return now;
    }
    // What has passed since the last step counts.
    if (back) this.#step({ tag: "woken" }, "woken", showing(seen, reading));
    if (now < this.wakeAt && !back) return now;
    this.wakeAt = Infinity;
    if (this.#session === undefined) {
      if (!this.#closed) this.#reopen();
    } else if (this.#owed.size === 0) {
      this.event({ tag: "woken" });
    } else {
      const owed = [...this.#owed.values()];
      this.#owed.clear();
      for (const event of owed) this.event(event);
    }
    return now;
  }

  /** A task of this kind, which this session had asked for, ended. */
  finished(number: number, kind: contract.Task["tag"], outcome: contract.Outcome, session = this.#sessions): void {
    if (session !== this.#sessions) return;
    this.#running.delete(number);
    const kept: contract.Outcome = this.#recovery.quarantines(kind, this.time()) ? { tag: "lost" } : outcome;
    this.#step({ tag: "finished", val: { number, outcome: kept } }, kind);
  }

  /** The owner of this task is alive. */
  stillRunning(number: number, session = this.#sessions): void {
    if (session !== this.#sessions || this.restMs() > 0) return;
    if (this.#running.has(number)) this.#running.set(number, this.time());
    this.#step({ tag: "still-running", val: number }, "woken");
  }

  /** Starts nothing new. The token is served until it expires. */
  close(): void {
    if (this.#closed) return;
    this.#step({ tag: "closing" }, "closing");
    this.#closed = true;
    this.#running.clear();
    this.wakeAt = Infinity;
    const now = this.time();
    if (usable(this.snapshot, now) !== undefined) {
      this.#publish({ ...this.snapshot, underway: false, nudgeFrom: Infinity, stopped: closed() }, [], now);
    } else if (this.snapshot.access.kind !== "closed") {
      this.#publish({ ...beforeTheFirstStep(), access: { kind: "closed" }, underway: false }, [], now);
    }
  }

  /** The key of this identity's entry in a store. Undefined until discovery is done. */
  entryKey(): string | undefined {
    return this.#session?.entryKey();
  }

  /** A glance. Undefined while the component is stopped. */
  status(): contract.Status | undefined {
    try {
      return this.#enter(() => this.#session?.status(clockOf(this.#around.now())));
    } catch (trap) {
      this.#recover(trapWords(trap), "answering", this.time());
      return undefined;
    }
  }

  #enter<T>(work: () => T): T {
    return this.#pace === undefined ? work() : this.#pace.enter(work);
  }

  #step(event: contract.Event, cause: Cause, reading = this.#around.now()): void {
    const session = this.#session;
    if (session === undefined || this.#closed) return;
    const now = timeOf(reading);
    let output: contract.Output;
    try {
      output = this.#enter(() => session.step(clockOf(reading), event));
    } catch (trap) {
      this.#recover(trapWords(trap), cause, now);
      return;
    }
    this.#around.observe?.(output);
    try {
      this.#accept(output, cause, now);
    } catch (breach) {
      const what = breach instanceof Breach ? breach.message : "its output cannot be read";
      this.#recover(`it broke the contract: ${what}`, "answering", now);
    }
  }

  /** Keeps the journal, publishes, and only then starts tasks. */
  #accept(output: contract.Output, cause: Cause, now: number): void {
    const answer = check(output, now, this.#around.policy);
    if (answer.originDenied && usable(this.snapshot, now) !== undefined) {
      // An origin comes with the configuration: it does not change while there is a token.
      throw new Breach("the token's origin has changed");
    }
    if (this.#opening.can.includes("owners-vanish")) {
      for (const [number, heardAt] of this.#running) if (now - heardAt > FORGOTTEN_MS) this.#running.delete(number);
    }
    if (this.#running.size + output.tasks.length > MAX_TASKS) throw new Breach("too many tasks");
    const numbers = new Set(output.tasks.map(({ number }) => number));
    const isTwice = numbers.size < output.tasks.length || [...numbers].some((number) => this.#running.has(number));
    if (isTwice) throw new Breach("the number of a task is used twice");
    const pace = this.#pace;
    if (pace !== undefined && !output.tasks.every(({ task }) => pace.allows(task.tag))) throw new Breach("too many requests");
    this.#recovery.passed(cause, now);
    this.#spoke = true;
    this.#stillborn = 0;
    // The next wake is no sooner than this after the step's end, however long it was.
    this.wakeAt = Math.max(answer.wakeAt, this.time() + Math.max(WAKE_MS[0], this.restMs()));
    const notKept = this.#keep(output.journal, output.tasks.some(({ task }) => tells(task)));
    let { snapshot } = answer;
    const { access } = snapshot;
    const nothing = access.kind === "idle" || (access.kind === "usable" && access.unusableAt < now);
    if (nothing && cause === "needed" && !snapshot.underway) {
      // Whoever asks now would ask for ever. It is asked again later.
      const failure = componentStopped("it was asked for a token and did nothing", undefined);
      snapshot = { ...snapshot, access: { kind: "failed", failure } };
      this.wakeAt = Math.min(this.wakeAt, now + NUDGE_AGAIN_MS);
    }
    this.#publish(snapshot, answer.notes, now);
    // What is abandoned need not be stopped: each task ends by itself, in bounded time.
    const session = this.#sessions;
    for (const { number } of output.tasks) this.#running.set(number, now);
    for (const { number, task } of output.tasks) {
      // An answer given here may have ended the session.
      if (session !== this.#sessions) return;
      if (notKept !== undefined && tells(task)) this.finished(number, task.tag, { tag: "unkept", val: notKept }, session);
      else this.#around.start({ number, task }, session);
    }
  }

  /**
   * Hands the journal to the program before a task starts that it must not be contradicted by. Of a flood of others the program gets
   * some, and the newest in the end.
   */
  #keep(journal: string | undefined, beforeATask: boolean): string | undefined {
    if (journal !== undefined) {
      this.#journal = journal;
      this.#owesJournal = true;
    }
    if (!this.#owesJournal || this.#journal === undefined) return undefined;
    if (this.#pace?.journal() === false && !beforeATask) {
      this.wakeAt = Math.min(this.wakeAt, this.time() + ENTRIES.everyMs);
      return undefined;
    }
    this.#owesJournal = false;
    try {
      this.#around.keep?.(this.#journal);
      return undefined;
    } catch (error) {
      // A journal that is not kept must not be contradicted by what others see. An error's text may quote it.
      return `the journal could not be kept: ${nameOf(error)}`;
    }
  }

  #publish(next: Snapshot, notes: readonly contract.Note[], now: number): void {
    const last = this.snapshot;
    const generation = last.generation + 1;
    let { access, stopped } = next;
    if (this.#recovering) {
      const waits = access.kind === "pending" || access.kind === "idle" || access.kind === "failed";
      if (waits && last.access.kind === "usable" && now < last.access.unusableAt) {
        // What a new session fails with may be news since the last one began, and says nothing about the token.
        if (access.kind === "failed") stopped = access.failure;
        access = last.access;
      } else {
        this.#recovering = false;
      }
    }
    const passing =
      access.kind !== "usable" ? last.passing : access.unusableAt <= now ? { generation, token: access.token } : undefined;
    this.snapshot = { ...next, at: now, access, stopped, passing, generation };
    this.glance.clear();
    this.#around.published?.(this.#change(notes));
  }

  /** What listeners are told of the new snapshot and these notes, if anything. */
  #change(notes: readonly contract.Note[]): Change | undefined {
    const [now, told] = [this.snapshot.access.kind, this.#told.access.kind];
    // To look at a source or a store again, as every few seconds while there is no token, is no news before something comes of it.
    const looks = now === "pending" && (told === "pending" || told === "failed");
    const news = !looks && !tellsTheSame(this.snapshot, this.#told);
    if (!news && notes.length === 0) return undefined;
    const wanted = Math.max(1, notes.length);
    const few = this.#pace?.notes(wanted) ?? wanted;
    const kept = notes.slice(0, few);
    this.#leftOut += notes.length - kept.length;
    if (few === 0) return undefined;
    if (news) this.#told = this.snapshot;
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    return { availability: availability(this.snapshot), notes: kept, leftOut };
  }

  /** The component was stopped: its instance goes, with the tasks that it had asked for, and another is opened. */
  #recover(why: string, cause: Cause, now: number): void {
    this.#session = undefined;
    this.#running.clear();
    this.#owed.clear();
    this.#sessions += 1;
    if (!this.#spoke) this.#stillborn += 1;
    this.#spoke = false;
    if (cause === "closing") return;
    const at = this.#recovery.stopped(cause, now);
    if (at <= now) this.#reopen();
    else this.#rest(why, at, now);
  }

  #reopen(): void {
    try {
      this.#session = this.#open();
    } catch (error) {
      // A configuration was accepted before: then the component is not itself.
      const why = error instanceof ConfigurationError ? `it refused the configuration: ${error.message}` : trapWords(error);
      this.#recover(why, "opening", this.time());
      return;
    }
    this.#recovering = true;
    this.event({ tag: "woken" });
  }

  /** Serves the last token on, and after it a failure. */
  #rest(why: string, until: number, now: number): void {
    this.wakeAt = until;
    const stopped = componentStopped(why, until - now);
    const last = this.snapshot.access;
    // Nobody would hear of a need.
    const access: Access =
      last.kind === "usable" && now < last.unusableAt
        ? { ...last, refreshAt: Infinity }
        : { kind: "failed", failure: stopped };
    this.#publish({ ...beforeTheFirstStep(), access, underway: false, stopped, nudgeFrom: until }, [], now);
  }

  #open(): contract.Session {
    const { open, configuration, can, start, seed } = this.#opening;
    const resumed: contract.Start = this.#journal === undefined ? start : { tag: "resumed", val: this.#journal };
    // A journal that no session survives must not end them all: what it told of is then not known, and counts as done.
    const from: contract.Start = resumed.tag === "resumed" && this.#stillborn >= STILLBORN ? { tag: "lost" } : resumed;
    this.#sessions += 1;
    this.#spoke = false;
    this.#running.clear();
    try {
      const opened = () => open(configuration, seed(), [...can], from);
      // The first time the runtime compiles, which is not the component's doing.
      return this.#sessions === 1 ? opened() : this.#enter(opened);
    } catch (error) {
      throw configurationError(error) ?? error;
    }
  }
}

/** What a session hears beside the results of its tasks. */
type Heard = Exclude<contract.Event, contract.EventFinished | contract.EventStillRunning>;

/** Opens a session for the sake of its configuration alone. Throws `ConfigurationError`. */
export function checkConfiguration({ open, configuration, can }: Opening): void {
  try {
    open(configuration, 0n, [...can], { tag: "fresh" });
  } catch (error) {
    throw configurationError(error) ?? error;
  }
}

/** Whether others learn by this task what the journal of the same output says. */
function tells(task: contract.Task): boolean {
  return task.tag === "send-request" || task.tag === "swap-entry";
}

/** jco throws the error of a `result` as it is. Its words are the component's. */
function configurationError(error: unknown): ConfigurationError | undefined {
  if (typeof error !== "object" || error === null || !("field" in error) || !("message" in error)) return undefined;
  return new ConfigurationError(shown(String(error.field)), shown(String(error.message)));
}

/** Only what the runtime says about a trap is shown: other errors may quote what was handed over. */
function trapWords(trap: unknown): string {
  if (trap instanceof WebAssembly.RuntimeError) return trap.message.slice(0, 200);
  return trap instanceof Error ? `it threw ${trap.name}` : "it threw";
}

/** The driver's own time: steady where there is such a clock. */
function timeOf({ wallMs, steadyMs }: Reading): number {
  return steadyMs ?? wallMs;
}

/** This time, read as that one was. */
function showing(time: number, { wallMs, steadyMs }: Reading): Reading {
  return steadyMs === undefined ? { wallMs: time } : { wallMs, steadyMs: time };
}

/** The time as the session takes it. */
function clockOf({ wallMs, steadyMs }: Reading): contract.Clock {
  const wall = { wallMs: whole(wallMs) };
  return steadyMs === undefined ? wall : { ...wall, steadyMs: whole(steadyMs) };
}

function whole(milliseconds: number): bigint {
  return BigInt(Math.max(0, Math.trunc(milliseconds)));
}
