// The credentials file of a profile, `credentials/NAME.json` in the vendor's format, as an entry that is compared and swapped. The version
// is a hash of the content, for other programs write the file, too.

import { lstat } from "node:fs/promises";
import { isLonger } from "../check.js";
import { WifError } from "../errors.js";
import { MAX_CONTENT } from "../limits.js";
import type { Entry, Swapped } from "../store.js";
import { locked, type Patience } from "./lock.js";
import { digest, read, replace } from "./private.js";

/** The content and its version; undefined if there is no file. */
export async function loadCredentials(path: string): Promise<Entry | undefined> {
  const value = await read(path);
  if (value === undefined && (await isInKeychain(path))) {
    throw new WifError("the login is in the keychain, which JavaScript cannot read: use wif exec, or log in again without --keychain");
  }
  if (value === undefined) return undefined;
  if (isLonger(value, MAX_CONTENT)) throw new WifError(`${path} is longer than the ${MAX_CONTENT} bytes that are taken`);
  return { version: digest(value), value };
}

/** Replaces the file if its version is the expected one. It is never made. */
export function swapCredentials(path: string, expected: string, value: string, patience: Patience): Promise<Swapped> {
  return locked(path, patience, async () => {
    const entry = await loadCredentials(path);
    if (entry?.version !== expected) return { done: false, entry };
    await replace(path, value);
    return { done: true, version: digest(value) };
  });
}

/** `wif login --keychain` leaves a file that says so. */
async function isInKeychain(path: string): Promise<boolean> {
  const mark = await lstat(`${path}.keychain`).catch(() => undefined);
  return mark?.isFile() === true;
}
