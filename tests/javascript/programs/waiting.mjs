// What keeps a process: node waiting.mjs lease|aborted
//
// `lease`: somebody waits until the lease of a credential that is gone has run out; nothing else is going on. `aborted`: who
// waited has given up, and what they waited for never comes.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createWif } from "wif-credential";

if (process.versions.bun === undefined && globalThis.Deno === undefined) {
  setFlagsFromString("--expose-gc");
  globalThis.gc = runInNewContext("gc");
}

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const iat = Math.floor(Date.now() / 1000);
const jwt = `${part({ alg: "ES256", kid: "k" })}.${part({ iss: "i", sub: "s", iat, exp: iat + 3600, jti: "j" })}.c2ln`;
const federation = {
  federation_rule_id: "fdrl_01a",
  organization_id: "de97a8b3-e3fb-4c22-9efa-0ff43df99222",
  identity_token: { source: "callable", freshness: "minted" },
};
const make = (more) => createWif({ configuration: { federation }, identityToken: () => jwt, ...more });

function storeOf(entries) {
  return {
    compares: true,
    load: async (key) => entries.get(key),
    async swap(key, expected, value) {
      const entry = entries.get(key);
      if (entry?.version !== expected) return { done: false, entry };
      const version = String(Number(entry?.version ?? 0) + 1);
      entries.set(key, { version, value });
      return { done: true, version };
    },
  };
}

const scenarios = {
  async lease() {
    const entries = new Map();
    const left = await new Promise((resolve) => {
      const gone = make({
        store: storeOf(entries),
        async fetch() {
          resolve(new Map(entries));
          gone.close();
          throw new TypeError("gone");
        },
      });
    });
    // A credential is held by who waits for it, if by nobody else.
    const collecting = setInterval(() => globalThis.gc?.(), 50);
    collecting.unref();
    const grant = async () => Response.json({ access_token: "sk-ant-oat01-x", token_type: "Bearer", expires_in: 3600 });
    await make({ store: storeOf(left), fetch: grant }).token();
    console.log("it came");
  },
  async aborted() {
    const stop = new AbortController();
    const never = { load: () => new Promise(() => undefined), swap: async () => ({ done: false, entry: undefined }) };
    const wif = make({ store: { compares: true, ...never }, policy: { callableTimeoutMs: 30 } });
    const waiting = wif.token({ signal: stop.signal }).catch(() => undefined);
    stop.abort();
    await waiting;
    wif.close();
    console.log("it ended");
  },
};
await scenarios[process.argv.at(-1)]();
