// A program that cannot connect, and prints in a line of JSON how it is told so: node proxied.mjs <options of createWif as JSON>
// With "own" as a second argument it gives a `fetch` of its own.

import { createWif } from "wif-credential";

const [options, own] = process.argv.slice(2);
let error;
try {
  const fetch = own === undefined ? {} : { fetch: (url, init) => globalThis.fetch(url, init) };
  await createWif({ ...JSON.parse(options), ...fetch }).token();
} catch (thrown) {
  error = thrown;
}
console.log(JSON.stringify({ code: error?.code, message: error?.message }));
