// The lock of a file, among processes: the one that `wif` and programs in Rust, C and Python take.
//
// No JavaScript runtime locks files. SQLite does, and Node, Deno and Bun have it: the lock is that of an empty database beside the file.
// It ends with the process that holds it.

import { randomBytes } from "node:crypto";
import type { Stats } from "node:fs";
import { link, lstat, open, unlink } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { OptionError, WifError } from "../errors.js";
import { check, codeOf, cure } from "./private.js";

/** As much of `node:sqlite` as is used. */
interface Sqlite {
  readonly DatabaseSync: new (path: string) => { exec(sql: string): void; close(): void };
}

/** Versions of Node that have none of this are supported, too; later ones have another name for it. */
interface Modules {
  getBuiltinModule?(name: "node:sqlite"): Partial<Sqlite & { readonly Database: Sqlite["DatabaseSync"] }> | undefined;
}

/** How a wait ends: after so long, in milliseconds, or by the signal, whichever comes first. */
export interface Patience {
  readonly limitMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** So long a lock is waited for, in milliseconds, if nothing else is said. Who holds it writes one file. */
export const LOCK_WAIT_MS = 10_000;
/** How often a lock is asked for that somebody else holds, in milliseconds. */
const ASK_AGAIN_MS = 5;
/** SQLite's number for a lock that somebody else holds, and its words: not every runtime has the number. */
const [BUSY, BUSY_WORDS] = [5, "database is locked"];

/** SQLite; undefined where this runtime has none. Some versions of Node warn when they are first asked for it. */
export function sqlite(): Sqlite | undefined {
  const { Database, DatabaseSync = Database } = (process as Modules).getBuiltinModule?.("node:sqlite") ?? {};
  return DatabaseSync && { DatabaseSync };
}

/** What to do where this runtime cannot lock files. */
export function withoutLocks(what: string): OptionError {
  const { versions } = process;
  const name = versions["deno"] ? `Deno ${versions["deno"]}` : versions["bun"] ? `Bun ${versions["bun"]}` : `Node ${process.version}`;
  return new OptionError(`${what} locks files by node:sqlite, which ${name} does not have: use Node 22.13, Deno 2.2 or Bun 1.4, or later`);
}

/** Does this while nobody else has the file's lock. Who has given up waiting has nothing done. */
export async function locked<T>(path: string, { limitMs, signal }: Patience, work: () => Promise<T>): Promise<T> {
  const { DatabaseSync } = sqlite() ?? raise(withoutLocks("this"));
  const beside = `${path}.lock`;
  // What can be no such file leaves no lock behind.
  await checked(path);
  if ((await checked(beside)) === undefined) await make(beside);
  const before = await checked(beside);
  const database = failing(beside, () => new DatabaseSync(beside));
  try {
    const until = performance.now() + limitMs;
    while (!failing(beside, () => begin(database))) {
      if (performance.now() >= until) {
        throw new WifError(`${beside} has been locked by another process for ${limitMs} ms, or its file system has no locks`);
      }
      await setTimeout(ASK_AGAIN_MS);
      signal?.throwIfAborted();
    }
    // SQLite follows links, and locks what it has opened whatever has become of it.
    if ((await checked(beside))?.ino !== before?.ino) throw new WifError(`${beside} was replaced while it was being locked`);
    signal?.throwIfAborted();
    return await work();
  } finally {
    database.close();
  }
}

/** Whether the lock was free, and is ours now. */
function begin(database: { exec(sql: string): void }): boolean {
  try {
    // Nothing is ever written, and so nothing has to be undone: no file of SQLite's own is made beside this one.
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN IMMEDIATE");
    return true;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if (error.message === BUSY_WORDS || ("errcode" in error && error.errcode === BUSY)) return false;
    throw error;
  }
}

/**
 * Makes the file of a lock, for its owner alone. It is made under another name: a process that closes a file by which one of its threads
 * holds such a lock loses the lock.
 */
async function make(beside: string): Promise<void> {
  const unfinished = `${beside}.${randomBytes(8).toString("hex")}.new`;
  try {
    await (await open(unfinished, "wx", 0o600)).close();
    try {
      await link(unfinished, beside);
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    } finally {
      await unlink(unfinished);
    }
  } catch (error) {
    const links = ["EPERM", "ENOTSUP", "ENOSYS"].includes(codeOf(error)) ? ": its file system may have no hard links" : "";
    throw new WifError(`${beside} cannot be made (${codeOf(error)})${links || cure(error)}`);
  }
}

/** What is there, if anything: a file of its owner's alone. A link would have it made elsewhere. */
async function checked(path: string): Promise<Stats | undefined> {
  const metadata = await lstat(path).catch(() => undefined);
  if (metadata !== undefined) check(path, metadata);
  return metadata;
}

/** What SQLite says holds no secret: the file is empty. */
function failing<T>(beside: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new WifError(`${beside} cannot be locked: ${error instanceof Error ? error.message : "no error was thrown"}`);
  }
}

function raise(error: Error): never {
  throw error;
}
