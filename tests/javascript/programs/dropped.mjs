// Credentials that nobody holds any more: for Node, whose garbage collector can be told to run.

import assert from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createWif } from "wif-credential";
import { finish, scenario } from "./scenarios.mjs";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc");

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
let minted = 0;
function jwt() {
  const iat = Math.floor(Date.now() / 1000);
  return `${part({ alg: "ES256", kid: "k" })}.${part({ iss: "i", sub: "s", iat, exp: iat + 3600, jti: `j${(minted += 1)}` })}.c2ln`;
}
const federation = {
  federation_rule_id: "fdrl_01a",
  organization_id: "de97a8b3-e3fb-4c22-9efa-0ff43df99222",
  identity_token: { source: "callable", freshness: "minted" },
};
const grant = async () => Response.json({ access_token: `sk-ant-oat01-${minted}`, token_type: "Bearer", expires_in: 3600 });
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Makes a credential as a handler of requests would, uses it, and gives what a test can see of it. */
async function used() {
  const identityToken = () => jwt();
  // What listens holds the credential, as programs have it.
  const wif = createWif({ configuration: { federation }, identityToken, fetch: grant, onChange: () => void wif });
  const answer = await wif.token();
  return { id: answer.id, seen: new WeakRef(identityToken), wif };
}

/** Collects in a turn in which nobody has looked yet: what a weak reference shows is held until the turn is over. */
async function until(isSo) {
  for (let times = 0; times < 200; times += 1) {
    await sleep(10);
    gc();
    if (isSo()) return;
  }
}

scenario("a credential that nobody holds is let go, with all that it would have done", async () => {
  const refs = await Promise.all(Array.from({ length: 20 }, () => used().then(({ seen }) => seen)));
  const kept = await used();
  await until(() => refs.every((ref) => ref.deref() === undefined));
  assert.equal(refs.filter((ref) => ref.deref() !== undefined).length, 0);
  assert.notEqual(kept.seen.deref(), undefined, "one that somebody holds stays");
  assert.equal((await kept.wif.token()).id, kept.id);
});

scenario("whoever holds the fetch of a credential holds the credential", async () => {
  let fetch;
  let seen;
  await (async () => {
    const made = await used();
    ({ seen } = made);
    ({ fetch } = made.wif);
  })();
  for (let times = 0; times < 10; times += 1) {
    await sleep(5);
    gc();
  }
  assert.notEqual(seen.deref(), undefined);
  assert.equal(typeof fetch, "function");
});

await finish();
