// Runs a bundle in an edge runtime: node edge.mjs <folder of the bundle> <its file> <globals as JSON> [<body of the request>]
//
// WebAssembly is compiled beforehand, as the platform does it: no module is made from bytes there. Prints what it answered.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { EdgeRuntime } from "edge-runtime";

const [folder, file, globals, body] = process.argv.slice(2);
// A platform's loader gives modules for these imports.
const text = readFileSync(join(folder, file), "utf8").replace(
  /import\s*(\w+)\s*from\s*"\.\/([\w.]+)";/g,
  (_, name, file) => `const ${name} = MODULES[${JSON.stringify(file)}];`,
);
const compiled = Object.fromEntries(
  ["plugin.core.wasm", "plugin.core2.wasm", "plugin.core3.wasm"].map((name) => [
    name,
    new WebAssembly.Module(readFileSync(join(folder, name))),
  ]),
);
const kept = [];
const runtime = new EdgeRuntime({
  extend(context) {
    context.MODULES = compiled;
    Object.assign(context, JSON.parse(globals));
    context[Symbol.for("@vercel/request-context")] = { get: () => ({ waitUntil: (work) => kept.push(work) }) };
    return context;
  },
  initialCode: text,
});
const answer = await runtime.dispatchFetch("http://edge/", body === undefined ? {} : { method: "POST", body });
console.log(JSON.stringify({ status: answer.status, answer: await answer.json(), kept: kept.length }));
process.exit(0);
