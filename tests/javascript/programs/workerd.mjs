// Runs the Worker under test in the real runtime: node workerd.mjs <options as JSON>
//
// Options: worker and caller (folders with their modules), entry (the worker's first one), bindings, object and kv (whether there
// are such), entries (what is in kv), persist (a folder, for the object's storage), emulator (what stands for the real API),
// flags (of compatibility), twin (whether the Worker is there twice, as an isolate apart, with the object of the first),
// ask (a path whose answer is printed, too), logs (a file for what the Worker logs: a line of JSON each). Prints a line of JSON with its URL, and another after each line of its input:
// `restart` has the isolates begin anew.

import { appendFileSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Log, LogLevel, Miniflare, Response } from "miniflare";

const {
  worker,
  caller,
  entry = "worker.mjs",
  bindings,
  object,
  kv,
  entries = {},
  persist,
  emulator,
  flags = ["nodejs_compat"],
  twin = false,
  ask,
  logs,
} = JSON.parse(process.argv.at(-1));

function modules(folder, entry) {
  const others = readdirSync(folder).filter((name) => name !== entry && /\.(m?js|wasm)$/.test(name));
  return [entry, ...others].map((path) => ({
    type: path.endsWith(".wasm") ? "CompiledWasm" : "ESModule",
    path,
    contents: readFileSync(join(folder, path)),
  }));
}

/** The Worker means the real API. */
async function toEmulator(request) {
  const url = new URL(request.url);
  if (url.origin !== "https://api.anthropic.com") return new Response(`it goes to ${url}`, { status: 502 });
  const { method } = request;
  const body = method === "GET" ? undefined : await request.arrayBuffer();
  const answer = await fetch(emulator + url.pathname + url.search, { method, headers: [...request.headers], body, redirect: "manual" });
  return new Response(await answer.arrayBuffer(), {
    status: answer.status,
    headers: [["content-type", answer.headers.get("content-type") ?? ""]],
  });
}

const compatibilityDate = "2026-04-01";
const options = {
  log: new Log(LogLevel.ERROR),
  host: "127.0.0.1",
  port: 0,
  cf: false,
  ...(logs === undefined
    ? {}
    : { handleStructuredLogs: ({ level, message }) => appendFileSync(logs, `${JSON.stringify({ level, message })}\n`) }),
  ...(persist === undefined ? {} : { durableObjectsPersist: join(persist, "objects"), kvPersist: join(persist, "kv") }),
  workers: [
    {
      name: "caller",
      compatibilityDate,
      // Without this a cancelled request is not told to whoever answers it.
      compatibilityFlags: ["enable_request_signal"],
      modules: modules(caller, "caller.mjs"),
      serviceBindings: { WORKER: "worker", ...(twin ? { TWIN: "twin" } : {}) },
    },
    {
      name: "worker",
      compatibilityDate,
      // For the vendor's SDK; the package does without.
      compatibilityFlags: flags,
      modules: modules(worker, entry),
      bindings,
      ...(object ? { durableObjects: { CREDENTIAL: { className: "Credential", useSQLite: true } } } : {}),
      ...(kv ? { kvNamespaces: ["KV"] } : {}),
      ...(emulator === undefined ? {} : { outboundService: toEmulator }),
    },
    ...(twin
      ? [
          {
            name: "twin",
            compatibilityDate,
            compatibilityFlags: flags,
            modules: modules(worker, entry),
            bindings,
            durableObjects: { CREDENTIAL: { className: "Credential", scriptName: "worker", useSQLite: true } },
          },
        ]
      : []),
  ],
};
const miniflare = new Miniflare(options);
if (kv) {
  const namespace = await miniflare.getKVNamespace("KV", "worker");
  for (const [key, value] of Object.entries(entries)) await namespace.put(key, value);
}
const tell = async () => {
  const url = (await miniflare.ready).origin;
  const answer = ask === undefined ? undefined : await (await fetch(url + ask)).json();
  console.log(JSON.stringify({ url, answer }));
};
await tell();
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() === "restart") await miniflare.setOptions({ ...options, workers: structuredClone(options.workers) });
  await tell();
}
await miniflare.dispose();
