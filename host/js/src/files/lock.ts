// The lock of a file, among processes: the one that `wif` and programs in Rust, C and Python take.
//
// No JavaScript runtime locks files. SQLite does, and Node, Deno and Bun have it: the lock is that of an empty database beside the file.
// It ends with the process that holds it.

import { randomBytes } from "node:crypto";
import { link, lstat, open, unlink } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { OptionError, WifError } from "../errors.js";
import { codeOf, irregular } from "./private.js";

/** As much of `node:sqlite` as is used. */
interface Sqlite {
  readonly DatabaseSync: new (path: string) => { exec(sql: string): void; close(): void };
}

/** Versions of Node that have none of this are supported, too. */
interface Modules {
  getBuiltinModule?(name: "node:sqlite"): Partial<Sqlite> | undefined;
}

/** How often a lock is asked for that somebody else holds, in milliseconds. */
const ASK_AGAIN_MS = 5;
/** SQLite's number for a lock that somebody else holds, and its words: not every runtime has the number. */
const [BUSY, BUSY_WORDS] = [5, "database is locked"];

/** SQLite; undefined where this runtime has none. Some versions of Node warn when they are first asked for it. */
export function sqlite(): Sqlite | undefined {
  const { DatabaseSync } = (process as Modules).getBuiltinModule?.("node:sqlite") ?? {};
  return DatabaseSync && { DatabaseSync };
}

/** What to do where this runtime cannot lock files. */
export function withoutLocks(what: string): OptionError {
  const { versions } = process;
  const name = versions["deno"] ? `Deno ${versions["deno"]}` : versions["bun"] ? `Bun ${versions["bun"]}` : `Node ${process.version}`;
  return new OptionError(`${what} locks files by node:sqlite, which ${name} does not have: use Node 22.13 or later, Deno, or Bun`);
}

/** Does this while nobody else has the file's lock. Waits for it at most so long, in milliseconds. */
export async function locked<T>(path: string, limitMs: number, work: () => Promise<T>): Promise<T> {
  const { DatabaseSync } = sqlite() ?? raise(withoutLocks("this"));
  const beside = `${path}.lock`;
  // What can be no such file leaves no lock behind.
  await mustBeRegular(path);
  if (!(await mustBeRegular(beside))) await make(beside);
  const database = failing(beside, () => new DatabaseSync(beside));
  try {
    const until = performance.now() + limitMs;
    while (!failing(beside, () => begin(database))) {
      if (performance.now() >= until) throw new WifError(`${beside} has been locked by another process for ${limitMs} ms`);
      await setTimeout(ASK_AGAIN_MS);
    }
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
    throw new WifError(`${beside} cannot be made (${codeOf(error)})`);
  }
}

/** Whether there is a file. It is none of another kind: a link would have it made elsewhere. */
async function mustBeRegular(path: string): Promise<boolean> {
  const metadata = await lstat(path).catch(() => undefined);
  if (metadata !== undefined && !metadata.isFile()) throw irregular(path);
  return metadata !== undefined;
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
