// A program that discovers its credential, and prints what becomes of that in a line of JSON.

import { createWif } from "wif-credential";

let error;
try {
  await createWif({ fetch: () => Promise.reject(new Error("no request is expected")) }).token();
} catch (thrown) {
  error = thrown;
}
console.log(JSON.stringify({ name: error?.name, code: error?.code, message: error?.message }));
