// The isolate's side of a session in a Durable Object: it holds what the object exports, as values.

import * as runtime from "cloudflare:workers";
import type * as contract from "../contract.js";
import { fetchOptions, maxWaiters, type RequestOptions } from "../create.js";
import { Credential } from "../credential.js";
import { componentStopped } from "../errors.js";
import { beforeTheFirstStep, type Snapshot } from "../snapshot.js";
import type { Source } from "../source.js";
import { type Asked, type Exported, imported } from "./export.js";
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
/** Questions in the background are not repeated sooner. */
const ASK_AGAIN_MS = 1_000;
/** A waiter is silent for as long as a question takes. */
const SILENCE_MS = 2 * LONGEST_QUESTION_MS;

class SharedSource implements Source {
  snapshot: Snapshot = nothing();
  readonly silenceMs = SILENCE_MS;
  readonly #namespace: ObjectNamespace;
  readonly #name: string;
  #seen: { object: string; generation: number } | undefined;
  #needed = false;
  #nudgedAt = -Infinity;
  #heardAt = -Infinity;

  constructor(namespace: ObjectNamespace, name: string) {
    this.#namespace = namespace;
    this.#name = name;
  }

  time(): number {
    return Date.now();
  }

  /** What is overdue happens in the object. What it said a while ago is asked for again, unless it is a token. */
  attend(): number {
    const { access, generation } = this.snapshot;
    const now = this.time();
    const serves = access.kind === "usable" && now < access.unusableAt;
    if (serves || access.kind === "idle" || now - this.#heardAt < ASK_AGAIN_MS) return now;
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
    const now = this.time();
    if (now - this.#nudgedAt < ASK_AGAIN_MS) return;
    this.#nudgedAt = now;
    this.#inBackground({ need: true, waitMs: 0 });
  }

  rejected(id: string): void {
    this.#inBackground({ rejected: id, waitMs: 0 });
  }

  changed(): void {
    this.#inBackground({ changed: true, waitMs: 0 });
  }

  /** Each waiter asks in its own request: nobody waits for another's. */
  async pause(generation: number, atMostMs: number): Promise<void> {
    if (this.snapshot.generation !== generation) return;
    await this.#ask({ need: this.#needed, waitMs: Math.min(atMostMs, LONGEST_QUESTION_MS) });
  }

  async status(): Promise<contract.Status | undefined> {
    return (await this.#fetch("status", undefined)) as contract.Status | undefined;
  }

  journal(): undefined {
    return undefined;
  }

  close(): void {
    // The object belongs to all isolates.
  }

  #inBackground(asked: Omit<Asked, "seen">): void {
    this.anchor(this.#ask(asked));
  }

  async #ask(asked: Omit<Asked, "seen">): Promise<void> {
    const seen = this.#seen;
    const question: Asked = seen === undefined ? asked : { ...asked, seen };
    try {
      this.#take((await this.#fetch("next", question)) as Exported);
    } catch (error) {
      this.#failed(error instanceof Error ? error.name : "Error");
    }
  }

  async #fetch(path: string, body: Asked | undefined): Promise<unknown> {
    // A stub belongs to the request that made it.
    const stub = this.#namespace.get(this.#namespace.idFromName(this.#name) as never);
    const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
    const response = await stub.fetch(`https://${HOST}/${path}`, init);
    if (!response.ok) throw new Error(`the object answered ${response.status}`);
    return response.json();
  }

  #take(from: Exported): void {
    const seen = this.#seen;
    if (seen?.object === from.object && seen.generation >= from.generation && from.passing === null) return;
    this.#heardAt = this.time();
    this.snapshot = imported(from, this.snapshot.generation + 1, this.time());
    this.#seen = { object: from.object, generation: from.generation };
    this.#needed = false;
  }

  /** The object cannot be reached: the last token is served on, and after it a failure, until the next try. */
  #failed(why: string): void {
    const { access } = this.snapshot;
    const now = this.time();
    if (access.kind === "usable" && now < access.unusableAt) return;
    const failure = componentStopped(`the Durable Object cannot be reached (${why})`, ASK_AGAIN_MS);
    this.#heardAt = now;
    this.snapshot = { ...nothing(), generation: this.snapshot.generation + 1, access: { kind: "failed", failure } };
  }
}

function nothing(): Snapshot {
  return { ...beforeTheFirstStep(), access: { kind: "idle" }, underway: false };
}
