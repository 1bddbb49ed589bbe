// The package around components that misbehave: node guests.mjs <attempts.json> <which>. `tests/guests` has them.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createWif } from "wif-credential";
import { finish, scenario } from "./scenarios.mjs";

const guest = process.argv.at(-1);
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
    for (const how of ["header-injection", "header-name", "header-nul", "headers", "id", "tasks", "no-text"]) {
      scenario(`a component that answers with ${how}`, async () => {
        await assert.rejects(make(`answer=${how}`).token(), (error) => {
          assert.equal(error.name, "NoTokenError");
          assert.ok(["component-stopped", "denied-by-host"].includes(error.code), error.code);
          return true;
        });
        await survives(make(`answer=later-${how}`), (wif) => wif.changed());
      });
    }
    for (const how of ["origin", "origin-look-alike"]) {
      scenario(`a component that answers with ${how}`, async () => {
        await assert.rejects(make(`answer=${how}`).token(), { code: "denied-by-host" });
        await survives(make(`answer=later-${how}`), (wif) => wif.changed());
      });
    }
    for (const how of ["busy", "past", "overflow", "send-elsewhere", "journal"]) {
      scenario(`a component that answers with ${how} harms nobody`, async () => {
        const wif = make(`answer=${how}`);
        await wif.token();
        await new Promise((resolve) => setTimeout(resolve, 50));
        assert.ok((await wif.token()).isFor("https://api.anthropic.com/v1/messages"));
      });
    }
    scenario("a text of a component is one line and has an end", async () => {
      const told = [];
      const wif = createWif({ configuration: "answer=control", fetch: never, onChange: (change) => told.push(change) });
      const error = await wif.token().catch((error) => error);
      const [note] = told.flatMap((change) => change.notes);
      for (const text of [error.message, error.action, error.requestId, note.message, note.fields[0].value]) {
        assert.ok(text.includes("a  b [2Jc d"), JSON.stringify(text));
        assert.ok(!/[\0-\x1f\x7f-\x9f]/.test(text) && text.length <= 5_000, JSON.stringify(text));
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
    const api = "https://api.anthropic.com";
    for (const attempt of JSON.parse(readFileSync(process.argv.at(-2), "utf8")).attempts) {
      scenario(`a component gets no more than is granted: ${attempt.name}`, async () => {
        const { file, variable, header = "", url } = attempt;
        const says = `file=${file} variable=${variable} origin=${api} url=${url.replace("{api}", api)} header=${header}`;
        const named = { federation: { identity_token: { source: "file", path: "/etc/hostname" } } };
        const configuration = { ...(attempt.discovers ? { discover: {} } : named), base_url: api, says };
        const [sent, bodies] = [[], []];
        const fetch = async (input, init) => {
          sent.push(String(input.url ?? input));
          bodies.push(await new Response(init.body).text());
          return new Response("{}");
        };
        const wif = createWif({ configuration, fetch });
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
