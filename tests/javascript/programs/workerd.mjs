// Runs the Worker under test in the real runtime: node workerd.mjs <options as JSON>
//
// Options: worker and caller (folders with their modules), bindings, object and kv (whether there are such), persist (a folder,
// for the object's storage). Prints a line of JSON with its URL, and another after each line of its input: `restart` has the
// isolates begin anew.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Log, LogLevel, Miniflare } from "miniflare";

const { worker, caller, bindings, object, kv, persist } = JSON.parse(process.argv.at(-1));

function modules(folder, entry) {
  const others = readdirSync(folder).filter((name) => name !== entry);
  return [entry, ...others].map((path) => ({
    type: path.endsWith(".wasm") ? "CompiledWasm" : "ESModule",
    path,
    contents: readFileSync(join(folder, path)),
  }));
}

const compatibilityDate = "2026-04-01";
const options = {
  log: new Log(LogLevel.ERROR),
  host: "127.0.0.1",
  port: 0,
  cf: false,
  ...(persist === undefined ? {} : { durableObjectsPersist: join(persist, "objects"), kvPersist: join(persist, "kv") }),
  workers: [
    {
      name: "caller",
      compatibilityDate,
      // Without this a cancelled request is not told to whoever answers it.
      compatibilityFlags: ["enable_request_signal"],
      modules: modules(caller, "caller.mjs"),
      serviceBindings: { WORKER: "worker" },
    },
    {
      name: "worker",
      compatibilityDate,
      // For the vendor's SDK; the package does without.
      compatibilityFlags: ["nodejs_compat"],
      modules: modules(worker, "worker.mjs"),
      bindings,
      ...(object ? { durableObjects: { CREDENTIAL: { className: "Credential", useSQLite: true } } } : {}),
      ...(kv ? { kvNamespaces: ["KV"] } : {}),
    },
  ],
};
const miniflare = new Miniflare(options);
const tell = async () => console.log(JSON.stringify({ url: (await miniflare.ready).origin }));
await tell();
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() === "restart") await miniflare.setOptions({ ...options, workers: structuredClone(options.workers) });
  await tell();
}
await miniflare.dispose();
