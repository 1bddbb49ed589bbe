// The isolate's side of a session in a Durable Object: it holds what the object exports, as values.

import * as runtime from "cloudflare:workers";
import { within } from "../abort.js";
import type * as contract from "../contract.js";
import { fetchOptions, maxWaiters, type RequestOptions } from "../create.js";
import { Credential } from "../credential.js";
import { type Failure, nameOf, NoTokenError, unreachable } from "../errors.js";
import { beforeTheFirstStep, type Snapshot } from "../snapshot.js";
import { Glance } from "../glance.js";
import type { Source } from "../source.js";
import { type Asked, type Exported, imported, type Refusal } from "./export.js";
import { HOST } from "./object.js";

/** What is used of a Durable Object namespace. */
export interface ObjectNamespace {
  idFromName(name: string): unknown;
  get(id: never): { fetch(url: string, init?: RequestInit): Promise<Response> };
}

export interface SharedOptions extends RequestOptions {
  /** The object's name: one for each identity. `default` by default. */
  readonly name?: string;
}

/** A credential whose session is in a Durable Object of a class that extends `CredentialObject`. May be made at module scope. */
export function sharedWif(namespace: ObjectNamespace, options: SharedOptions = {}): Credential {
  const source = new SharedSource(namespace, options.name ?? "default");
  return new Credential(source, fetchOptions(options, undefined), maxWaiters(options));
}

/** The object answers within this time if it can wait for news, or it is asked again. */
const LONGEST_QUESTION_MS = 10_000;
/** An answer is on its way for so long at most: then the object counts as out of reach. */
const LONGEST_WAY_MS = 5_000;
/** Questions in the background are not repeated sooner. */
const ASK_AGAIN_MS = 1_000;
/** A waiter is silent for as long as a question takes. */
const SILENCE_MS = 2 * LONGEST_QUESTION_MS;

class SharedSource implements Source {
  snapshot: Snapshot = nothing();
  /** Never: what the object has still to hear is told again by whoever asks. */
  readonly glance = new Glance();
  readonly silenceMs = SILENCE_MS;
  readonly #namespace: ObjectNamespace;
  readonly #name: string;
  #seen: { object: string; generation: number } | undefined;
  /** What the object has to hear, until an answer shows that it has: a request that tells it may vanish. */
  #needed = false;
  #rejected: string | undefined;
  #changed = false;
  #toldAt = -Infinity;
  #heardAt = -Infinity;
  #lastTime = -Infinity;

  constructor(namespace: ObjectNamespace, name: string) {
    this.#namespace = namespace;
    this.#name = name;
  }

  time(): number {
    return Date.now();
  }

  /**
   * What is overdue happens in the object. What it said a while ago is asked for again, unless it is a token; and everything is
   * if the clock went back.
   */
  attend(): number {
    const { access, generation } = this.snapshot;
    const now = this.time();
    const back = now < this.#lastTime;
    this.#lastTime = now;
    if (back) this.#toldAt = this.#heardAt = -Infinity;
    if (this.#rejected !== undefined || this.#changed) this.#tellAgain(now);
    const serves = access.kind === "usable" && now < access.unusableAt;
    if (!back && (serves || access.kind === "idle" || now - this.#heardAt < ASK_AGAIN_MS)) return now;
    this.snapshot = { ...nothing(), generation: generation + 1 };
    this.#seen = undefined;
    return now;
  }

  anchor(work: Promise<unknown>): void {
    try {
      runtime.waitUntil?.(work);
    } catch {
      // Outside of a request: then it may vanish.
    }
  }

  need(): void {
    this.#needed = true;
    this.#tellAgain(this.time());
  }

  rejected(id: string): void {
    this.#rejected = id;
    this.#tell(this.time());
  }

  changed(): void {
    this.#changed = true;
    this.#tell(this.time());
  }

  /** Each waiter asks in its own request: nobody waits for another's, and nobody fails with it. */
  async pause(generation: number, atMostMs: number): Promise<void> {
    if (this.snapshot.generation !== generation) return;
    const asking = this.#ask(Math.min(atMostMs, LONGEST_QUESTION_MS));
    // Whoever has less time than that finds out by its own deadline.
    if (atMostMs < LONGEST_QUESTION_MS + LONGEST_WAY_MS) {
      const over = new Error("over");
      await within(atMostMs, asking, () => over).catch((error: unknown) => {
        if (error !== over) throw error;
      });
    } else {
      await within(LONGEST_QUESTION_MS + LONGEST_WAY_MS, asking, silent);
    }
  }

  async status(): Promise<contract.Status | undefined> {
    // JSON has no `undefined`: an object whose component was stopped answers null.
    const status = (await within(LONGEST_WAY_MS, this.#fetch("status", undefined), silent)) as contract.Status | null;
    return status ?? undefined;
  }

  journal(): undefined {
    return undefined;
  }

  close(): void {
    // The object belongs to all isolates.
  }

  #tellAgain(now: number): void {
    if (now - this.#toldAt >= ASK_AGAIN_MS) this.#tell(now);
  }

  #tell(now: number): void {
    this.#toldAt = now;
    // What was not heard is told again with the next question.
    this.anchor(this.#ask(0).catch(() => undefined));
  }

  /** Asks with all that the object has to hear. Throws `NoTokenError`. */
  async #ask(waitMs: number): Promise<void> {
    const asked: Asked = {
      waitMs,
      need: this.#needed,
      changed: this.#changed,
      ...(this.#seen === undefined ? {} : { seen: this.#seen }),
      ...(this.#rejected === undefined ? {} : { rejected: this.#rejected }),
    };
    const askedAt = this.time();
    this.#take((await this.#fetch("next", asked)) as Exported, asked, askedAt);
  }

  async #fetch(path: string, body: Asked | undefined): Promise<unknown> {
    try {
      // A stub belongs to the request that made it.
      const stub = this.#namespace.get(this.#namespace.idFromName(this.#name) as never);
      const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
      const response = await stub.fetch(`https://${HOST}/${path}`, init);
      if (response.ok) return await response.json();
      throw new NoTokenError(await refused(response));
    } catch (error) {
      throw error instanceof NoTokenError ? error : new NoTokenError(unreachable(nameOf(error), ASK_AGAIN_MS));
    }
  }

  #take(from: Exported, asked: Asked, askedAt: number): void {
    if (asked.need === true) this.#needed = false;
    if (asked.changed === true) this.#changed = false;
    if (asked.rejected !== undefined && asked.rejected === this.#rejected) this.#rejected = undefined;
    const seen = this.#seen;
    if (seen?.object === from.object && seen.generation >= from.generation && from.passing === null) return;
    const now = this.time();
    this.#heardAt = now;
    this.snapshot = imported(from, this.snapshot.generation + 1, askedAt, now);
    this.#seen = { object: from.object, generation: from.generation };
  }
}

function nothing(): Snapshot {
  return { ...beforeTheFirstStep(), access: { kind: "idle" }, underway: false };
}

function silent(): NoTokenError {
  return new NoTokenError(unreachable("it does not answer", ASK_AGAIN_MS));
}

/** What the object says in place of an answer. */
async function refused(response: Response): Promise<Failure> {
  const said = (await response.json().catch(() => undefined)) as Partial<Refusal> | undefined;
  return said?.failure ?? unreachable(`it answered ${response.status}`, ASK_AGAIN_MS);
}
