// The package around components that misbehave: node guests.mjs <folder> <which>. The folder is `tests/guests`, which has their lists.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createWif } from "wif-credential";
import { Driver } from "../node_modules/wif-credential/dist/modules/driver.js";
import { open } from "../node_modules/wif-credential/dist/modules/plugin.js";
import { modules } from "../node_modules/wif-credential/dist/modules/plugin/inline.js";
import { Policy } from "../node_modules/wif-credential/dist/modules/policy.js";
import { finish, scenario } from "./scenarios.mjs";

const guest = process.argv.at(-1);
const list = (name) => JSON.parse(readFileSync(`${process.argv.at(-2)}/${name}`, "utf8"));
const never = (input) => assert.fail(`a request went to ${input}`);
const make = (configuration) => createWif({ configuration, fetch: never });
const stopped = { name: "NoTokenError", code: "component-stopped" };

/** A token is there, then something happens, and it is served on. */
async function survives(wif, happens) {
  const { id } = await wif.token();
  for (let times = 0; times < 3; times += 1) happens(wif);
  assert.equal((await wif.token()).id, id);
}

const scenarios = {
  crashing() {
    scenario("a component that traps at once", () => assert.rejects(make("woken=panic").token(), stopped));
    scenario("a component that traps later", () => survives(make("changed=panic"), (wif) => wif.changed()));
    scenario("a journal that no session survives is given up", () => {
      const world = { time: 1_000_000, froms: [] };
      const opening = {
        open(configuration, seed, can, from) {
          world.froms.push(from.tag);
          return open(modules)(configuration, seed, can, from);
        },
        configuration: "woken=panic-if-resumed id=journal",
        can: [],
        start: { tag: "resumed", val: "41" },
        seed: () => 1n,
      };
      const driver = new Driver(opening, { policy: new Policy(), now: () => ({ wallMs: world.time, steadyMs: world.time }) });
      driver.begin();
      for (let times = 0; times < 10 && driver.snapshot.access.kind !== "usable"; times += 1) {
        world.time = driver.wakeAt;
        driver.tick();
      }
      assert.deepEqual(world.froms, ["resumed", "resumed", "resumed", "resumed", "lost"]);
      // It knows nothing of the steps that the journal told of.
      assert.equal(driver.snapshot.access.token.id, "0000000000000001");
    });
    scenario("a result that traps it twice is kept from it", async () => {
      const wif = make("task=variable finished=panic");
      assert.equal((await wif.token()).id, "00000000000010ff");
    });
  },
  exhausting() {
    for (const what of ["memory", "recursion", "list", "loop"]) {
      scenario(`a component that takes too much ${what}`, async () => {
        const before = process.memoryUsage().rss;
        await survives(make(`changed=${what}`), (wif) => wif.changed());
        assert.ok(process.memoryUsage().rss - before < 256 << 20);
      });
    }
  },
  lying() {
    for (const { name, answer, ...said } of list("outputs.json").outputs) {
      const then = said.replaced ?? said.then;
      scenario(`a component is heard as a stranger would be: ${name}`, async () => {
        const wif = make(`answer=${answer}`);
        if (then === "served") {
          await wif.token();
          await new Promise((resolve) => setTimeout(resolve, 20));
          assert.ok((await wif.token()).isFor("https://api.anthropic.com/v1/messages"));
        } else {
          const code = then === "denied" ? "denied-by-host" : "component-stopped";
          await assert.rejects(wif.token(), { name: "NoTokenError", code });
        }
        await survives(make(`answer=later-${answer}`), (wif) => wif.changed());
      });
    }
    scenario("an origin is told in the form in which origins are compared", async () => {
      assert.equal((await make("answer=origin-capitals").token()).origin, "https://api.anthropic.com");
    });
    scenario("a text of a component is one line and has an end", async () => {
      const told = [];
      const wif = createWif({ configuration: "answer=control", fetch: never, onChange: (change) => told.push(change) });
      const error = await wif.token().catch((error) => error);
      const [note] = told.flatMap((change) => change.notes);
      const { summary } = await wif.status();
      for (const text of [error.message, error.action, error.requestId, note.message, note.fields[0].value, summary]) {
        assert.ok(text.includes("a  b [2Jc d"), JSON.stringify(text));
        const lost = /[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
        assert.ok(!lost.test(text) && text.length <= 5_000, JSON.stringify(text));
      }
    });
    scenario("a component that floods the endpoint is stopped, and its last token is served on", async () => {
      let requests = 0;
      const fetch = async () => {
        requests += 1;
        return new Response("{}");
      };
      const wif = createWif({ configuration: "answer=flood origin=https://api.anthropic.com", fetch });
      const { id } = await wif.token();
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      assert.ok(requests > 1 && requests <= 40, `${requests} requests`);
      assert.equal((await wif.token()).id, id);
      wif.close();
    });
  },
  exfiltrating() {
    for (const name of ["ANTHROPIC_API_KEY", "ANTHROPIC_ADMIN_KEY", "AWS_SECRET_ACCESS_KEY"]) process.env[name] = "canary";
    const api = "https://gateway.example";
    const [scheme, authority] = api.split("://");
    const told = { file: "", variable: "", url: "", origin: "{api}", header: "", value: "", method: "POST", purpose: "exchange", bytes: "", fields: "" };
    for (const attempt of list("attempts.json").attempts) {
      scenario(`a component gets no more than is granted: ${attempt.name}`, async () => {
        const words = Object.entries(told).map(([key, otherwise]) => `${key}=${attempt[key] ?? otherwise}`).join(" ");
        const says = words.replaceAll("{api}", api).replaceAll("{scheme}", scheme).replaceAll("{authority}", authority);
        const source = attempt.identity_token ?? { source: "file", path: "/etc/hostname" };
        const named = { federation: { identity_token: JSON.parse(JSON.stringify(source).replaceAll("{api}", api)) } };
        const discovers = { discover: { config_dir: "/etc/wif-profiles" } };
        const configuration = { ...(attempt.discovers ? discovers : named), base_url: api, says };
        const [sent, bodies] = [[], []];
        const fetch = async (input, init) => {
          sent.push(String(input.url ?? input));
          bodies.push(await new Response(init.body).text());
          return new Response("{}");
        };
        const wif = createWif({ configuration, fetch, policy: { allowOrigins: [api], allowSources: attempt.allows_sources } });
        const error = await wif.token().catch((error) => error);
        assert.equal(error.code, "configuration");
        // A response is told with the names of its header fields.
        const answers = /(\w+), (\w+), (\w+)/.exec(error.message)?.slice(1);
        assert.deepEqual(answers, attempt.answers);
        assert.deepEqual(sent, attempt.sent ? [`${api}/v1/oauth/token`] : []);
        for (const body of bodies) assert.equal(body.replace("stolen:", "").trim() !== "", attempt.carries, body);
        wif.close();
      });
    }
  },
  telling() {
    scenario("a component that tells what it was told is not heard", async () => {
      process.env.ANTHROPIC_CANARY = "canary-of-the-environment";
      const told = [];
      const wif = createWif({ configuration: "ANTHROPIC_CANARY", fetch: never, onChange: (change) => told.push(change) });
      const error = await wif.token({ waitAtMostMs: 2_000 }).catch((error) => error);
      const texts = [String(error), error.stack, JSON.stringify(error), JSON.stringify(told)];
      for (const text of texts) assert.ok(!String(text).includes("canary-of"), text);
    });
  },
};
scenarios[guest]();

await finish();
