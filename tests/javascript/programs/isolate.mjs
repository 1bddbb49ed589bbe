// The build for runtimes that the package does not know, in which what a request starts belongs to it.

import assert from "node:assert/strict";
import { createWif, memoryStore } from "../node_modules/wif-credential/dist/web.js";
import { advance, finish, scenario } from "./scenarios.mjs";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
let minted = 0;
function jwt(jti = `j${(minted += 1)}`) {
  const iat = Math.floor(Date.now() / 1000);
  return `${part({ alg: "ES256", kid: "k" })}.${part({ iss: "i", sub: "s", iat, exp: iat + 3600, jti })}.c2ln`;
}
const configuration = (freshness) => ({
  federation: {
    federation_rule_id: "fdrl_01a",
    organization_id: "de97a8b3-e3fb-4c22-9efa-0ff43df99222",
    identity_token: { source: "callable", freshness },
  },
});
let granted = 0;
const grant = async () =>
  Response.json({ access_token: `sk-ant-oat01-${(granted += 1)}`, token_type: "Bearer", expires_in: 3600 });
const make = (more = {}) =>
  createWif({ configuration: configuration("minted"), identityToken: () => jwt(), fetch: grant, ...more });

scenario("a burst makes one exchange", async () => {
  granted = 0;
  const wif = make();
  assert.equal(granted, 0);
  const tokens = await Promise.all(Array.from({ length: 100 }, () => wif.token()));
  // A later step makes another object of the same token.
  assert.equal(new Set(tokens.map(({ id }) => id)).size, 1);
  assert.equal(granted, 1);
});

scenario("a shared single-use identity token is refused where only this isolate would remember it", async () => {
  granted = 0;
  const single = jwt();
  for (const more of [{}, { store: memoryStore() }]) {
    const wif = make({ configuration: configuration("shared"), identityToken: () => single, ...more });
    await assert.rejects(wif.token(), { name: "NoTokenError", code: "store-failed" });
  }
  assert.equal(granted, 0);
  const { local, ...comparing } = memoryStore();
  assert.equal(local, true);
  // As a store of the platform that compares.
  const options = { configuration: configuration("shared"), identityToken: () => single, store: comparing };
  const [one, another] = [make(options), make(options)];
  assert.equal((await one.token()).id, (await another.token()).id);
  assert.equal(granted, 1);
});

scenario("credentials of an isolate find each other's token in its memory", async () => {
  granted = 0;
  const memory = memoryStore();
  let wrote;
  const written = new Promise((resolve) => (wrote = resolve));
  const swap = (...asked) => memory.swap(...asked).finally(wrote);
  const store = { ...memory, swap };
  const { id } = await make({ store }).token();
  // The token is served before it is in the store.
  await written;
  assert.equal((await make({ store }).token()).id, id);
  assert.equal(granted, 1);
});

scenario("a wall clock that goes back does not make a token live longer", async () => {
  granted = 0;
  const wif = make();
  const { id } = await wif.token();
  advance(1_800_000);
  await wif.token();
  advance(-3_600_000);
  await wif.token();
  // It is 30 minutes old; it would have ended 10 minutes ago.
  advance(2_400_000);
  assert.notEqual((await wif.token()).id, id);
  advance(3_000_000);
});

await finish();
