// A program with a store in the directory that its argument names: reads commands from its input and answers each with a line of JSON.

import { createInterface } from "node:readline";
import { directoryStore } from "wif-credential";
import { locked } from "../node_modules/wif-credential/dist/modules/files/lock.js";

const LONG_MS = 60_000;
const store = directoryStore(process.argv.at(-1));
let release = () => undefined;

const commands = {
  load: (key) => store.load(key),
  swap: (key, expected, value) => store.swap(key, expected === "none" ? undefined : expected, value),
  /** What becomes of a swap that is given up after so long. */
  "swap-within": (milliseconds, key, value) =>
    store.swap(key, undefined, value, AbortSignal.timeout(Number(milliseconds))).catch(({ name }) => name),
  wait: (milliseconds, path) => locked(path, { limitMs: Number(milliseconds) }, async () => true),
  /** Holds the lock of this file until `release`. */
  hold: (path) =>
    new Promise((resolve, reject) => {
      const held = () => new Promise((done) => ((release = done), resolve(true)));
      locked(path, { limitMs: LONG_MS }, held).catch(reject);
    }),
  async release() {
    release();
    return true;
  },
  /** Writes for as long as it runs, and says when it has begun. */
  async write(key) {
    let version = (await store.load(key))?.version;
    (async () => {
      for (let i = 0; ; i += 1) {
        const swapped = await store.swap(key, version, String(i).padEnd(10_000, "."));
        version = swapped.done ? swapped.version : swapped.entry?.version;
      }
    })();
    return true;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...given] = line.trim().split(" ");
  let answer;
  try {
    answer = { ok: (await commands[name](...given)) ?? null };
  } catch (error) {
    answer = { error: error.name, message: error.message };
  }
  console.log(JSON.stringify(answer));
}
