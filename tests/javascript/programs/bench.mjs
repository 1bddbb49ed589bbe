// Measures in Node: node bench.mjs. Prints nanoseconds by name, a list of samples each.

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

if (process.argv.at(-1) === "start") {
  const start = performance.now();
  const { createWif } = await import("wif-credential");
  const imported = performance.now();
  let asked;
  createWif({ configuration: { bearer: { source: "callable" } }, accessToken: () => (asked = performance.now()) && "x" });
  while (asked === undefined) await undefined;
  console.log(JSON.stringify([imported - start, asked - start].map((milliseconds) => milliseconds * 1e6)));
} else {
  const { createWif } = await import("wif-credential");
  const { measure } = await import("./measured.mjs");
  const { modules } = await import("../node_modules/wif-credential/dist/modules/plugin/inline.js");
  const clock = () => performance.now();
  const samples = await measure({ createWif, modules, clock, batches: 31, calls: 20_000, steps: 2_000 });
  const program = fileURLToPath(import.meta.url);
  const starts = Array.from({ length: 9 }, () => JSON.parse(execFileSync(process.execPath, [program, "start"])));
  samples.imported = starts.map(([imported]) => imported);
  samples.started = starts.map(([, started]) => started);
  console.log(JSON.stringify(samples));
}
process.exit(0);
