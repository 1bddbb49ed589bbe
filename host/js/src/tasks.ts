// What the component asks for, done. A task ends in one outcome, whatever happens.

import { within } from "./abort.js";
import type { AccessTokenCallable, IdentityTokenCallable, Signer, SuppliedToken } from "./callables.js";
import { isLonger } from "./check.js";
import type * as contract from "./contract.js";
import { nameOf, WifError } from "./errors.js";
import type { Platform } from "./platform.js";
import type { Policy } from "./policy.js";
import { MAX_CONTENT, MAX_JOURNAL } from "./limits.js";
import { type Entry, type Store, toBase64 } from "./store.js";
import { type Fetch, send } from "./transport.js";

/** Everything that tasks need. */
export interface Means {
  readonly platform: Platform;
  readonly policy: Policy;
  readonly fetch: Fetch;
  /** As the platform's, where `fetch` is the platform's, too. */
  readonly unusedProxy: Platform["unusedProxy"];
  readonly identityTokens: ReadonlyMap<string, IdentityTokenCallable>;
  readonly accessTokens: ReadonlyMap<string, AccessTokenCallable>;
  readonly signers: ReadonlyMap<string, Signer>;
  readonly store: Store | undefined;
}

/** What a session may ask for. Nothing is promised that would only be refused later. */
export function capabilities(means: Means): contract.Capability[] {
  const { platform, store } = means;
  // Isolates come and go, and each has a memory of its own: what others know cannot be compared with. A session that is the
  // only one, wherever they run, needs no such comparison.
  const apart = platform.ownersVanish && platform.alone !== true;
  const compares = store?.compares === true && !(apart && store.local === true);
  const cache = store === undefined ? apart : !compares;
  const can: [boolean, contract.Capability][] = [
    [platform.readFile !== undefined, "read-file"],
    [platform.readVariable !== undefined, "read-variable"],
    [means.identityTokens.size > 0, "supply-assertion"],
    [means.accessTokens.size > 0, "supply-token"],
    [means.signers.size > 0, "sign"],
    [compares, "store"],
    [cache, "cache"],
    [platform.ownersVanish, "owners-vanish"],
  ];
  return can.flatMap(([is, capability]) => (is ? [capability] : []));
}

/** Never throws. */
export async function perform(task: contract.Task, means: Means): Promise<contract.Outcome> {
  try {
    return await attempt(task, means);
  } catch (error) {
    return { tag: "failed", val: nameOf(error) };
  }
}

async function attempt(task: contract.Task, means: Means): Promise<contract.Outcome> {
  const { policy, store } = means;
  const limitMs = policy.callableTimeoutMs;
  const stop = new AbortController();
  const late = () => {
    const error = new WifError(`no answer within ${limitMs} ms`);
    stop.abort(error);
    return error;
  };
  const limited = <T>(work: T | Promise<T>) => within(limitMs, work, late);
  switch (task.tag) {
    case "send-request":
      return send(task.val, policy, means.fetch, means.unusedProxy);
    case "read-file":
      return readFile(task.val, means);
    case "read-variable":
      return readVariable(task.val, means);
    case "supply-assertion": {
      const callable = means.identityTokens.get(task.val.name);
      if (callable === undefined) return unknown("identityToken", task.val.name);
      return { tag: "content", val: text(await limited(callable({ audience: task.val.audience }))) };
    }
    case "supply-token": {
      const callable = means.accessTokens.get(task.val.name);
      if (callable === undefined) return unknown("accessToken", task.val.name);
      return { tag: "token", val: supplied(await limited(callable({ rejected: task.val.rejected }))) };
    }
    case "sign": {
      const signer = means.signers.get(task.val.key);
      if (signer === undefined) return unknown("signer", task.val.key);
      const signature = await limited(signer({ algorithm: task.val.algorithm, input: task.val.input }));
      const encoded = toBase64(new Uint8Array(signature)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
      return { tag: "content", val: text(encoded) };
    }
    case "load-entry": {
      const path = credentialsPath(task.val);
      if (path !== undefined) return limited(means.platform.loadCredentials?.(path, policy) ?? UNSUPPORTED);
      if (store === undefined) return { tag: "absent" };
      if (!isEntryKey(task.val)) return notAKey();
      const found = await limited(store.load(task.val));
      return found === undefined ? { tag: "absent" } : { tag: "entry", val: entry(found) };
    }
    case "swap-entry": {
      const { key, expected, value } = task.val;
      if (isLonger(value, MAX_JOURNAL)) return { tag: "denied", val: `an entry has no more than ${MAX_JOURNAL} bytes` };
      const path = credentialsPath(key);
      if (path !== undefined) return limited(means.platform.swapCredentials?.(path, expected, value, policy, stop.signal) ?? UNSUPPORTED);
      if (!isEntryKey(key)) return notAKey();
      if (store === undefined) return { tag: "swapped", val: "" };
      const swapped = await limited(store.swap(key, expected, value, stop.signal));
      if (swapped.done) return { tag: "swapped", val: swapped.version };
      return { tag: "conflict", val: swapped.entry === undefined ? undefined : entry(swapped.entry) };
    }
    default:
      return UNSUPPORTED;
  }
}

async function readFile(request: contract.FileRequest, { platform, policy }: Means): Promise<contract.Outcome> {
  if (platform.readFile === undefined) return { tag: "unsupported" };
  const rule = policy.checkFile(request.path);
  if (rule !== undefined) return { tag: "denied", val: rule };
  // What a profile is held to is not for the component to say.
  const ofAProfile = policy.directoryOfProfile(request.path) !== undefined || policy.isCredentials(request.path);
  const asked: contract.FileRequest = ofAProfile ? { ...request, protection: "unwritable-by-others" } : request;
  const outcome = await platform.readFile(asked, policy);
  if (outcome.tag === "content") policy.fileWasRead(request.path, outcome.val);
  return outcome;
}

function readVariable(name: string, { platform, policy }: Means): contract.Outcome {
  if (platform.readVariable === undefined) return { tag: "unsupported" };
  const rule = policy.checkVariable(name);
  if (rule !== undefined) return { tag: "denied", val: rule };
  // Such a name cannot be set.
  if (name === "" || /[=\0]/.test(name)) return { tag: "absent" };
  try {
    const value = platform.readVariable(name);
    if (value === undefined) return { tag: "absent" };
    policy.variableWasRead(name, value);
    return { tag: "content", val: value };
  } catch {
    policy.variableWasHidden(name);
    return { tag: "denied", val: "the runtime does not let this program read the variable" };
  }
}

const UNSUPPORTED: contract.Outcome = { tag: "unsupported" };

/** The credentials file of a profile is an entry, too, whatever the store is: its path. */
function credentialsPath(key: string): string | undefined {
  return key.startsWith("file:") ? key.slice(5) : undefined;
}

function notAKey(): contract.Outcome {
  return { tag: "denied", val: "the key of an entry is a hash, in hexadecimal digits" };
}

/** Whether it is what `entry-key` gives. A program's store may take other keys for paths, patterns or commands. */
function isEntryKey(key: string): boolean {
  return /^[0-9a-f]{1,128}$/i.test(key);
}

function unknown(option: string, name: string): contract.Outcome {
  return { tag: "failed", val: `the option ${option} has no callable named ${name}` };
}

function text(value: unknown): string {
  if (typeof value !== "string")
    throw new WifError(`a string is expected, and it gave ${value === null ? "null" : typeof value}`);
  if (isLonger(value, MAX_CONTENT)) throw new WifError(`it is longer than the ${MAX_CONTENT} bytes that are taken`);
  return value;
}

function supplied(given: string | SuppliedToken): contract.SuppliedToken {
  if (typeof given !== "object" || given === null) return { value: text(given) };
  const value = text(given.token);
  const { expiresAtMs } = given;
  if (expiresAtMs === undefined || expiresAtMs === null) return { value };
  if (!Number.isFinite(expiresAtMs) || expiresAtMs < 0) throw new WifError("its expiresAtMs is no time");
  return { value, expiresAtMs: BigInt(Math.trunc(expiresAtMs)) };
}

function entry({ version, value }: Entry): contract.Entry {
  return { version: text(version), value: text(value) };
}
