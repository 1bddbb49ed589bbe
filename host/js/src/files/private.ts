// Files that hold a secret: read only if nobody else could have read or written them, made for their owner alone, and replaced as a
// whole. Every error names the file.

import { createHash } from "node:crypto";
import { constants, type Stats } from "node:fs";
import { lstat, open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { WifError } from "../errors.js";
import { MAX_CONTENT } from "../limits.js";

/** No such file is larger, in bytes: an entry in its document. */
const MAX_BYTES = 2 * MAX_CONTENT;
const OTHERS = 0o077;
export const WRITABLE_BY_GROUP_OR_OTHERS = 0o022;

/** The content; undefined if there is no file. */
export async function read(path: string): Promise<string | undefined> {
  try {
    check(path, await lstat(path));
    // Exchanged since it was looked at, for a link or a pipe, it is not followed and not waited for.
    const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
    const file = await open(path, flags);
    try {
      const metadata = await file.stat();
      check(path, metadata);
      const content = Buffer.alloc(Math.min(metadata.size, MAX_BYTES));
      let length = 0;
      for (;;) {
        const { bytesRead } = await file.read(content, length, content.length - length, length);
        length += bytesRead;
        if (bytesRead === 0 || length === content.length) return content.toString("utf8", 0, length);
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof WifError) throw error;
    const code = codeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new WifError(`${path} cannot be read (${code})${cure(error)}`);
  }
}

/**
 * Replaces the file: whoever reads it meanwhile, or after a process was killed here, has the old one or the new one. For whoever holds
 * its lock: what a killed process left unfinished beside it is then removed by the next.
 */
export async function replace(path: string, content: string): Promise<void> {
  const unfinished = `${path}.new`;
  try {
    await unlink(unfinished).catch((error) => {
      if (codeOf(error) !== "ENOENT") throw error;
    });
    const file = await open(unfinished, "wx", 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(unfinished, path);
  } catch (error) {
    await unlink(unfinished).catch(() => undefined);
    throw new WifError(`${path} cannot be written (${codeOf(error)})${cure(error)}`);
  }
  await syncDirectory(dirname(path));
}

/** So that the renaming outlives a failure of power, too. Not every system can. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY).catch(() => undefined);
  await directory?.sync().catch(() => undefined);
  await directory?.close();
}

/** Tells one content from another. */
export function digest(content: string): string {
  return createHash("sha256").update(content).digest("hex").slice(0, 32);
}

/** What this gives, unless the runtime does not permit to ask. */
export function permitted<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch {
    return undefined;
  }
}

/** The system's code for what failed, or the error's class: no text, for it may quote what it was given. */
export function codeOf(error: unknown): string {
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  return error instanceof Error ? error.name : "no error";
}

/** What helps where the runtime does not permit it. */
export function cure(error: unknown): string {
  return ["NotCapable", "PermissionDenied"].includes(codeOf(error)) ? ": permit it (in Deno --allow-read and --allow-write)" : "";
}

/** A link in the place of a file would have it made or read elsewhere, and a pipe would hold up whoever opens it. */
function irregular(path: string): WifError {
  return new WifError(`${path} is no regular file: remove it`);
}

/** Whoever could read it has the token, and whoever could write it may have put one of theirs. */
export function check(path: string, metadata: Stats): void {
  if (!metadata.isFile()) throw irregular(path);
  if (process.platform === "win32") return;
  // Where Deno does not permit to ask who runs this (`--allow-sys=uid`), its mode has to do.
  const user = permitted(() => process.geteuid?.()) ?? metadata.uid;
  if (metadata.uid !== user) throw new WifError(`${path} belongs to another user, ${metadata.uid}: remove it`);
  if ((metadata.mode & OTHERS) === 0) return;
  const mode = (metadata.mode & 0o777).toString(8).padStart(4, "0");
  throw new WifError(`others than its owner can use ${path} (mode ${mode}): chmod 600 it, or remove it`);
}
