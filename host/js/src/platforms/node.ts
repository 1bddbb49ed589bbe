// Node, Deno and Bun: processes that live, with files, variables and timers.

import { constants, type Stats } from "node:fs";
import { type FileHandle, lstat, open, realpath, stat } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, sep } from "node:path";
import { clearTimeout, setTimeout } from "node:timers";
import type { FileRequest, Outcome } from "../contract.js";
import { loadCredentials, swapCredentials } from "../files/credentials.js";
import { LOCK_WAIT_MS, sqlite } from "../files/lock.js";
import { permitted, WRITABLE_BY_GROUP_OR_OTHERS } from "../files/private.js";
import { MAX_CONTENT } from "../limits.js";
import type { Platform } from "../platform.js";
import { modules } from "../plugin/inline.js";
import { type Policy, printable } from "../policy.js";
import { steady } from "./steady.js";

/** So many files are read at once: a file system that does not answer keeps the places. */
const READERS = 4;
/** The wait for a lock ends within this part of the time that callables may take: its own error is to be heard. */
const LOCK_SHARE = 0.8;
/** So many times in a row a file may be swapped while it is being read. */
const SWAPS = 8;
/** In such a directory nobody moves or removes what belongs to another, like `/tmp`. */
const STICKY = 0o1000;

const { Deno: deno } = globalThis as { Deno?: { env: { get(name: string): string | undefined } } };
/** What relative paths are relative to. Deno asks for leave to tell. */
const STARTED_IN = permitted(() => process.cwd());
const UNPLACED: Outcome = { tag: "denied", val: "the directory of this program is not known: name the whole path" };
let readers = 0;

export const node: Platform = {
  modules,
  ownersVanish: false,
  ...steady(),
  timer(callback, afterMs) {
    const timer = setTimeout(callback, afterMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
  // Deno's `process.env` shows what it does not permit as if it were not set.
  readVariable: (name) => (deno === undefined ? process.env[name] : deno.env.get(name)),
  // Otherwise Node 24.14 and 24.15 throw where the API answers 401 to a streamed body. Headers are sent all the same.
  request: { credentials: "omit" },
  allowsLoopback,
  unusedProxy,
  async readFile(request, policy) {
    const [within, ownerOnly] = [policy.directoryOfProfile(request.path), policy.isCredentials(request.path)];
    if (!isAbsolute(request.path)) {
      if (STARTED_IN === undefined) return UNPLACED;
      request = { ...request, path: join(STARTED_IN, request.path) };
    }
    return counted(() => readNow(request, policy, within, ownerOnly));
  },
  loadCredentials: (path, policy) =>
    counted(async () => {
      const place = await placed(path, policy);
      if (typeof place !== "string") return place;
      if (sqlite() === undefined) return { tag: "unsupported" };
      const entry = await loadCredentials(place);
      return entry === undefined ? { tag: "absent" } : { tag: "entry", val: entry };
    }),
  async swapCredentials(path, expected, value, policy, signal) {
    const place = await placed(path, policy);
    if (typeof place !== "string") return place;
    if (expected === undefined) return { tag: "denied", val: "a credentials file is replaced, and never made" };
    if (sqlite() === undefined) return { tag: "unsupported" };
    const limitMs = Math.min(LOCK_WAIT_MS, policy.callableTimeoutMs * LOCK_SHARE);
    const swapped = await swapCredentials(place, expected, value, { limitMs, signal });
    return swapped.done ? { tag: "swapped", val: swapped.version } : { tag: "conflict", val: swapped.entry };
  },
};

/** One of those that read at once. */
async function counted(read: () => Promise<Outcome>): Promise<Outcome> {
  if (readers >= READERS) return { tag: "failed", val: "the file system has not answered earlier reads yet" };
  readers += 1;
  try {
    return await read();
  } finally {
    readers -= 1;
  }
}

/**
 * Where a credentials file is, if the configuration leads to it, the policy allows it, and nobody else may write there. The file itself is
 * no link, or it is refused.
 */
async function placed(path: string, policy: Policy): Promise<string | Outcome> {
  if (!policy.isCredentials(path)) {
    const val = `only the credentials files of profiles that the configuration leads to are entries, and not ${printable(path)}`;
    return { tag: "denied", val };
  }
  if (!isAbsolute(path)) {
    if (STARTED_IN === undefined) return UNPLACED;
    path = join(STARTED_IN, path);
  }
  const directory = await realpath(dirname(path)).catch(() => dirname(path));
  const resolved = join(directory, basename(path));
  if (!(await isAllowed(resolved, policy))) {
    return { tag: "denied", val: `the policy does not allow ${resolved}; allow it with policy.allowDirectories` };
  }
  const metadata = await stat(directory).catch(() => undefined);
  const why = metadata && process.platform !== "win32" ? await distrusted(directory, metadata) : undefined;
  return why === undefined ? path : { tag: "denied", val: why };
}

/** For development. What the runtime does not let this program read is not set. */
function allowsLoopback(): boolean {
  let value: string | undefined;
  try {
    value = node.readVariable?.("WIF_ALLOW_LOOPBACK");
  } catch {
    return false;
  }
  if (value !== "1" && value !== "true") return false;
  process.emitWarning("every port of this machine is allowed (WIF_ALLOW_LOOPBACK)", { code: "WIF_ALLOW_LOOPBACK" });
  return true;
}

/** Deno and Bun use the proxy of the environment by themselves; Node does if it is told to. */
function unusedProxy(url: string): string | undefined {
  const { env, execArgv, versions } = process;
  if (deno !== undefined || versions["bun"] !== undefined || env["NODE_USE_ENV_PROXY"] === "1") return undefined;
  if ([...execArgv, env["NODE_OPTIONS"] ?? ""].some((option) => option.includes("--use-env-proxy"))) return undefined;
  const { protocol, hostname } = new URL(url);
  if (protocol !== "https:") return undefined;
  const past = (env["no_proxy"] ?? env["NO_PROXY"] ?? "").split(/[\s,]+/).map((host) => host.replace(/^\*?\./, ""));
  if (past.some((host) => host === "*" || host === hostname || (host !== "" && hostname.endsWith(`.${host}`)))) return undefined;
  const name = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"].find((variable) => env[variable]);
  return name && `${name} is set, and fetch does not use it: set NODE_USE_ENV_PROXY=1, or see "Behind a proxy" in the README`;
}

/** `within`: a directory that the file has to be in when all links are followed. `ownerOnly`: nobody else may be able to read it. */
async function readNow(request: FileRequest, policy: Policy, within: string | undefined, ownerOnly: boolean): Promise<Outcome> {
  for (let swaps = 0; ; swaps += 1) {
    try {
      return await tryRead(request, policy, within, ownerOnly);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      // What a mount swaps is removed at once: the file that the path led to may be gone before it is opened. To ask whether there
      // is one would meet the same.
      if (code === "ENOENT" && swaps < SWAPS) continue;
      // A part of the path that is a file is as good as none: `/a/token/token` of a mount that is not there yet.
      if (code === "ENOENT" || code === "ENOTDIR") return { tag: "absent" };
      if (code === "EACCES" || code === "EPERM") {
        return { tag: "denied", val: "the file's permissions do not let this process read it" };
      }
      if (error instanceof Error && (error.name === "NotCapable" || error.name === "PermissionDenied")) {
        return { tag: "denied", val: "the runtime does not let this program read the file" };
      }
      return { tag: "failed", val: `the file could not be read${typeof code === "string" ? ` (${code})` : ""}` };
    }
  }
}

async function tryRead(request: FileRequest, policy: Policy, within: string | undefined, ownerOnly: boolean): Promise<Outcome> {
  // Resolved once, and then opened where it led: a link that is swapped meanwhile gives the old file or the new one, and
  // nothing that was not checked.
  const resolved = await realpath(request.path);
  if (within !== undefined && !(await isBelow(resolved, isAbsolute(within) ? within : join(STARTED_IN ?? "", within)))) {
    return { tag: "denied", val: `it is a link that leads out of ${within}, to ${resolved}: put the file itself there` };
  }
  if (!(await isAllowed(resolved, policy))) {
    return { tag: "denied", val: `the policy does not allow ${resolved}; allow it with policy.allowDirectories` };
  }
  if (ownerOnly && (await lstat(request.path)).isSymbolicLink()) {
    return { tag: "denied", val: `${request.path} is a link: put the file itself there` };
  }
  // Before opening: to open a device may do something.
  const before = await lstat(resolved);
  if (before.isDirectory()) return { tag: "failed", val: "it is a directory" };
  if (!before.isFile()) return { tag: "denied", val: "the policy allows regular files only" };
  // Exchanged for a pipe since it was looked at, it must not make us wait for a writer.
  const flags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0) | (constants.O_NOFOLLOW ?? 0);
  const file = await open(resolved, flags);
  try {
    return await readOpened(file, resolved, request, ownerOnly);
  } finally {
    await file.close();
  }
}

async function readOpened(file: FileHandle, resolved: string, request: FileRequest, ownerOnly: boolean): Promise<Outcome> {
  const metadata = await file.stat();
  if (!metadata.isFile()) return { tag: "denied", val: "the policy allows regular files only" };
  if (request.protection === "unwritable-by-others" && process.platform !== "win32") {
    const why = await distrusted(resolved, metadata);
    if (why !== undefined) return { tag: "denied", val: why };
    if (ownerOnly && (metadata.mode & 0o077) !== 0) {
      const mode = (metadata.mode & 0o7777).toString(8).padStart(4, "0");
      return { tag: "denied", val: `others than its owner can use ${resolved} (mode ${mode}): chmod 600 it, or remove it` };
    }
  }
  const limit = Math.min(request.maxBytes, MAX_CONTENT);
  const content = Buffer.alloc(Math.min(metadata.size, limit) + 1);
  let length = 0;
  while (length < content.length) {
    const { bytesRead } = await file.read(content, length, content.length - length, length);
    if (bytesRead === 0) return { tag: "content", val: content.toString("utf8", 0, length) };
    length += bytesRead;
  }
  if (length > limit) return { tag: "failed", val: `the file is longer than ${limit} bytes` };
  return { tag: "failed", val: "the file grew while it was being read" };
}

/**
 * Why others could have written this file or put another in its place, with the command that mends it: what ssh asks of the files
 * that it goes by. Looks at the directories up to the home of this user, or to the root.
 */
async function distrusted(path: string, file: Stats): Promise<string | undefined> {
  const why = distrustedOne(path, file);
  if (why !== undefined) return why;
  const home = await realpath(permitted(() => node.readVariable?.("HOME")) ?? "/").catch(() => undefined);
  for (let at = path; at !== home && at !== dirname(at);) {
    at = dirname(at);
    // A runtime may permit to read the file and not to look at what it is in.
    const directory = await stat(at).catch(() => undefined);
    const why = directory && distrustedOne(at, directory);
    if (why !== undefined) return why;
  }
  return undefined;
}

function distrustedOne(path: string, metadata: Stats): string | undefined {
  // Where Deno does not permit to ask who runs this (`--allow-sys=uid`), the owner counts as one who may.
  const user = permitted(() => process.geteuid?.()) ?? metadata.uid;
  const [mode, word] = [metadata.mode & 0o7777, /^[\w./:@%+,-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`];
  if (metadata.uid !== 0 && metadata.uid !== user) {
    const why = `${path} belongs to the user ${metadata.uid}, and not to root or to the user ${user} that this runs as`;
    return `${why}: chown ${user} ${word} mends it`;
  }
  const guarded = metadata.isDirectory() && (mode & STICKY) !== 0;
  if ((mode & WRITABLE_BY_GROUP_OR_OTHERS) === 0 || guarded) return undefined;
  const octal = mode.toString(8).padStart(4, "0");
  return `its group or others may write ${path} (mode ${octal}): chmod go-w ${word} mends it`;
}

async function isAllowed(resolved: string, { directories }: Policy): Promise<boolean> {
  if (directories === undefined) return true;
  for (const directory of directories) if (await isBelow(resolved, directory)) return true;
  return false;
}

async function isBelow(resolved: string, directory: string): Promise<boolean> {
  const real = await realpath(directory).catch(() => undefined);
  return real !== undefined && resolved.startsWith(real.endsWith(sep) ? real : real + sep);
}
