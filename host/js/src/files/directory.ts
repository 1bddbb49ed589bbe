// A store in a directory: for processes of one machine that share an identity.

import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { OptionError } from "../errors.js";
import type { Entry, Store } from "../store.js";
import { LOCK_WAIT_MS, locked, sqlite, withoutLocks } from "./lock.js";
import { codeOf, cure, digest, permitted, read, replace, WRITABLE_BY_GROUP_OR_OTHERS } from "./private.js";

/**
 * A store in a directory, for credentials of several processes on one machine: they make one exchange between them, and a restarted
 * process goes on with the token that is there. Programs in Rust, C, Python and Go and the command `wif` share it, too.
 *
 * There is a file for each identity, which its owner alone may read. The directory is made if it is not there. It must be on a file system
 * of this machine, and nobody else may be able to write to it. Throws `OptionError` where it does not serve, and where the runtime has no
 * `node:sqlite`: Node has it from 22.13 on, Deno from 2.2, Bun from 1.4.
 */
export function directoryStore(path: string): Store {
  if (sqlite() === undefined) throw withoutLocks("directoryStore");
  const directory = opened(path);
  // Keys are hexadecimal; anything else becomes so, and names no other folder.
  const fileOf = (key: string) => {
    const safe = /^[0-9a-f]{1,128}$/i.test(key);
    return join(directory, `${safe ? key : `x${Buffer.from(key).toString("hex")}`}.json`);
  };
  return {
    compares: true,
    load: (key) => load(fileOf(key)),
    swap(key, expected, value, signal) {
      const file = fileOf(key);
      return locked(file, { limitMs: LOCK_WAIT_MS, signal }, async () => {
        const entry = await load(file);
        if (entry?.version !== expected) return { done: false, entry };
        const version = randomBytes(8).toString("hex");
        await replace(file, JSON.stringify({ version, value }));
        return { done: true, version };
      });
    },
  };
}

/** What is no entry is one that no session can read: it is said, and replaced at the cost of a round trip. */
async function load(file: string): Promise<Entry | undefined> {
  const text = await read(file);
  if (text === undefined) return undefined;
  const { version, value } = (permitted(() => JSON.parse(text)) ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof version === "string" && typeof value === "string") return { version, value };
  return { version: digest(text), value: "" };
}

/** The directory without links. */
function opened(path: string): string {
  const refused = (why: string) => new OptionError(`directoryStore: ${path} ${why}`);
  let metadata;
  try {
    if (!existsSync(path)) mkdirSync(path, { recursive: true, mode: 0o700 });
    metadata = statSync(path);
  } catch (error) {
    throw refused(`cannot be made or read (${codeOf(error)})${cure(error)}`);
  }
  if (!metadata.isDirectory()) throw refused("is no directory");
  const user = permitted(() => process.geteuid?.()) ?? metadata.uid;
  if (process.platform !== "win32") {
    if (metadata.uid !== user && metadata.uid !== 0) throw refused(`belongs to another user, ${metadata.uid}: name another directory`);
    if ((metadata.mode & WRITABLE_BY_GROUP_OR_OTHERS) !== 0) {
      throw refused("can be written by others: take that right away (chmod go-w), or name another");
    }
  }
  return realpathSync(path);
}
