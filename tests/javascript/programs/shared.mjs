// A session in a Durable Object and its isolates, with a binding of our own between them: what is lost, late or too much.

import assert from "node:assert/strict";
import { register } from "node:module";
import { advance, finish, scenario } from "./scenarios.mjs";

// Node has no module of this name.
const runtime = "export const waitUntil = (work) => void work;";
const hook = `export async function resolve(specifier, context, next) {
  if (specifier !== "cloudflare:workers") return next(specifier, context);
  return { url: ${JSON.stringify(`data:text/javascript,${encodeURIComponent(runtime)}`)}, shortCircuit: true };
}`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);
const part = (name) => import(`../node_modules/wif-credential/dist/modules/${name}`);
const { sharedWif } = await part("shared/source.js");
const { CredentialObjectBase } = await part("shared/object.js");
const { isolate } = await part("platforms/isolate.js");
const { modules } = await part("plugin/inline.js");
const { sourceOf } = await part("credential.js");

const api = "https://api.anthropic.com";
const encoded = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
function jwt(jti) {
  const iat = Math.floor(Date.now() / 1000);
  return `${encoded({ alg: "ES256", kid: "k" })}.${encoded({ iss: "i", sub: "s", iat, exp: iat + 3600, jti })}.c2ln`;
}
const federation = {
  federation_rule_id: "fdrl_01a",
  organization_id: "de97a8b3-e3fb-4c22-9efa-0ff43df99222",
  identity_token: { source: "callable", freshness: "minted" },
};
const soon = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
async function until(isSo) {
  while (!(await isSo())) await soon(5);
}

/** An object, the binding through which isolates reach it, and an API that refuses the tokens that are revoked. */
function world(more = {}) {
  const state = {
    granted: 0,
    asked: 0,
    fails: 0,
    revoked: new Set(),
    kept: new Map(),
    alarms: [],
    /** Before the object is asked, and before its answer arrives. */
    there: async () => undefined,
    back: async () => undefined,
    federation,
    exchange: async () => undefined,
    ...more,
  };
  class Credential extends CredentialObjectBase {
    options() {
      return {
        configuration: { base_url: api, federation: state.federation },
        identityToken: () => jwt(`j${(state.minted = (state.minted ?? 0) + 1)}`),
        async fetch() {
          state.granted += 1;
          const mine = state.granted;
          await state.exchange();
          return Response.json({ access_token: `sk-ant-oat01-${mine}`, token_type: "Bearer", expires_in: 3600 });
        },
      };
    }
    platform() {
      return isolate(modules);
    }
  }
  const storage = {
    get: async (key) => state.kept.get(key),
    put: async (key, value) => void state.kept.set(key, value),
    setAlarm: async (at) => void state.alarms.push(at),
  };
  state.restart = async () => {
    state.object = new Credential({ storage, waitUntil() {}, blockConcurrencyWhile: (load) => load() }, {});
    await soon(0);
  };
  const namespace = {
    idFromName: (name) => name,
    get: () => ({
      async fetch(url, init) {
        state.asked += 1;
        if (state.fails > 0) {
          state.fails -= 1;
          throw new Error("too many subrequests");
        }
        await state.there();
        const answer = await state.object.fetch(new Request(url, init));
        await state.back();
        return answer;
      },
    }),
  };
  state.isolate = (options = {}) =>
    sharedWif(namespace, {
      origin: api,
      async fetch(_, { headers }) {
        return new Response("{}", { status: state.revoked.has(headers.get("authorization")) ? 401 : 200 });
      },
      ...options,
    });
  return state.restart().then(() => state);
}

scenario("isolates share a token, and what the API says of it", async () => {
  const state = await world();
  const [one, another] = [state.isolate(), state.isolate()];
  assert.equal((await one.token()).id, (await another.token()).id);
  assert.equal(state.granted, 1);
  advance(10_000);
  state.revoked.add("Bearer sk-ant-oat01-1");
  assert.equal((await one.fetch(`${api}/v1/models`)).status, 200);
  assert.equal((await another.fetch(`${api}/v1/models`)).status, 200);
  assert.equal(state.granted, 2);
});

scenario("a rejection that did not get through is told again, until the object has heard it", async () => {
  const state = await world();
  const one = state.isolate();
  await one.token();
  advance(20_000);
  state.revoked.add("Bearer sk-ant-oat01-1");
  // That, and the question after another token.
  state.fails = 2;
  assert.equal((await one.fetch(`${api}/v1/models`)).status, 401);
  assert.equal(state.granted, 1);
  advance(2_000);
  // Even where nobody waits: this body cannot be sent again.
  const body = new Blob(["x".repeat(2_000_000)]).stream();
  await one.fetch(`${api}/v1/messages`, { method: "POST", body, duplex: "half" });
  await until(() => state.granted === 2);
  await until(async () => (await one.fetch(`${api}/v1/models`)).status === 200);
});

scenario("a question that fails costs its own caller, and nobody else", async () => {
  let grant;
  const state = await world({ exchange: () => new Promise((resolve) => void (grant = resolve)) });
  const one = state.isolate();
  const others = Array.from({ length: 5 }, () => one.token());
  await until(() => grant !== undefined);
  state.fails = 1;
  await assert.rejects(one.token(), { name: "NoTokenError", code: "component-stopped", retryAfterSeconds: 1 });
  // Nor whoever comes right after it.
  others.push(one.token());
  grant();
  assert.equal(new Set((await Promise.all(others)).map(({ id }) => id)).size, 1);
});

scenario("nobody waits for the object beyond their own time, nor for ever", async () => {
  const state = await world({ back: () => new Promise(() => undefined) });
  const one = state.isolate();
  await assert.rejects(one.token({ waitAtMostMs: 20 }), { code: "timed-out" });
  const begin = performance.now();
  await assert.rejects(one.token(), { code: "component-stopped" });
  assert.ok(performance.now() - begin < 17_000);
  await assert.rejects(one.status(), { code: "component-stopped" });
});

scenario("an answer that was long on its way does not make the token live longer", async () => {
  for (const way of ["there", "back"]) {
    const state = await world();
    await state.isolate().token();
    const ends = (wif) => sourceOf(wif).snapshot.access.unusableAt;
    const [near, far] = [state.isolate(), state.isolate()];
    await near.token();
    state[way] = async () => advance(60_000);
    await far.token();
    const longer = ends(far) - ends(near);
    // What was on the way there is not known apart from what was on the way back.
    assert.ok(longer < 1_000 && longer > -61_000, `${way}: ${longer}`);
  }
});

scenario("the object takes so many questions, and sheds those beyond", async () => {
  const state = await world({ exchange: () => new Promise(() => undefined) });
  const ask = async (question) =>
    state.object.fetch(new Request("https://credential.invalid/next", { method: "POST", body: JSON.stringify(question) }));
  const { object, generation } = await (await ask({ waitMs: 0, need: true })).json();
  const seen = { object, generation: generation + 100 };
  const waiting = Array.from({ length: 4_096 }, () => ask({ waitMs: 1_000, seen }));
  await soon(300);
  const one = state.isolate();
  await assert.rejects(one.token(), { code: "overloaded" });
  assert.ok((await Promise.all(waiting)).every(({ status }) => status === 200));
  await assert.rejects(one.token({ waitAtMostMs: 20 }), { code: "timed-out" });
});

scenario("a configuration that can never work is told to whoever asks, with its field", async () => {
  const state = await world({ federation: { ...federation, organization_id: "org_1" } });
  for (const wif of [state.isolate(), state.isolate()]) {
    await assert.rejects(wif.token(), (error) => {
      assert.equal(error.code, "configuration");
      assert.match(error.message, /federation\.organization_id/);
      return true;
    });
    await assert.rejects(wif.status(), { code: "configuration" });
  }
  await state.object.alarm();
  // Mended by the next deployment, which finds the journal as it was.
  const good = await world();
  await good.isolate().token();
  const journal = good.kept.get("journal");
  good.federation = state.federation;
  await good.restart();
  await assert.rejects(good.isolate().token(), { code: "configuration" });
  assert.equal(good.kept.get("journal"), journal);
  good.federation = federation;
  await good.isolate().token();
  assert.equal(good.granted, 1);
});

scenario("an alarm refreshes the token while nobody asks, and after the object began anew", async () => {
  const begin = Date.now();
  const state = await world();
  await state.isolate().token();
  await until(() => state.alarms.length > 0);
  for (const granted of [2, 3]) {
    if (granted === 3) await state.restart();
    // A session that began anew may have its own time for that.
    for (let tries = 0; tries < 5 && state.granted < granted; tries += 1) {
      const due = state.alarms.at(-1) - Date.now();
      assert.ok(due > 20_000 && due < 3_600_000, String(due));
      advance(due + 10);
      await state.object.alarm();
      await soon(20);
    }
    assert.equal(state.granted, granted);
  }
  // In time: nobody met an expired token.
  assert.ok(Date.now() - begin < 2 * 3_600_000);
});

scenario("alarms go on through an outage, however exactly they come", async () => {
  for (let round = 0; round < 10; round += 1) {
    const state = await world();
    await state.isolate().token();
    // For ten minutes from the first refresh on.
    let back;
    state.exchange = async () => {
      back ??= Date.now() + 600_000;
      if (Date.now() < back) throw new TypeError("connection refused");
    };
    while (back === undefined || Date.now() < back + 300_000) {
      await soon(5);
      assert.ok(state.alarms.length > 0, "nothing else would ever be done");
      advance(Math.max(0, state.alarms.splice(0).at(-1) - Date.now()));
      await state.object.alarm();
    }
    state.exchange = () => assert.fail("a request finds the token");
    await state.isolate().token();
  }
});

scenario("where the isolate's clock goes back the object is asked again", async () => {
  const state = await world();
  const one = state.isolate();
  await one.token();
  const { asked } = state;
  advance(-3_600_000);
  await one.token();
  assert.ok(state.asked > asked);
  advance(3_600_000);
});

await finish();
