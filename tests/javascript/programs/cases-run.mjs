// The cases that every host runs: <runtime> cases-run.mjs requests|callers <folder of the tests>. Prints a line of JSON for each.
// Those of callers take the package around the component that plays scripts.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { callerCases, requestCases, stoppedClock } from "./cases.mjs";
import { advance } from "./scenarios.mjs";

const [what, tests] = process.argv.slice(-2);
const document = (path) => JSON.parse(readFileSync(path, "utf8"));
const documents = readdirSync(join(tests, what))
  .filter((name) => name.endsWith(".json"))
  .sort()
  .map((name) => document(join(tests, what, name)));

async function requests() {
  const { createWif } = await import("wif-credential");
  const rules = document(join(tests, "../wit/rules.json"));
  return requestCases(documents, { createWif, rules, advance });
}

async function callers() {
  const clock = stoppedClock();
  const { createWif, NoTokenError } = await import("wif-credential");
  return callerCases(documents, { createWif, NoTokenError, clock });
}

for (const result of await { requests, callers }[what]()) console.log(JSON.stringify(result));
process.exit(0);
