// Components that take too much, a little at a time: the time of the thread that they share with their program, its log, its network.

import assert from "node:assert/strict";
import { Credential } from "../node_modules/wif-credential/dist/modules/credential.js";
import { Driver } from "../node_modules/wif-credential/dist/modules/driver.js";
import { AT_ONCE_MS, ENTRIES, NOTES, REQUESTS, SHARE, STEP_AT_LEAST_MS } from "../node_modules/wif-credential/dist/modules/limits.js";
import { node } from "../node_modules/wif-credential/dist/modules/platforms/node.js";
import { Policy } from "../node_modules/wif-credential/dist/modules/policy.js";
import { LocalSource } from "../node_modules/wif-credential/dist/modules/source.js";
import { finish, scenario } from "./scenarios.mjs";

const origin = "https://api.anthropic.com";
const output = (more = {}) => ({
  access: { tag: "pending", val: "exchanging" },
  progress: "underway",
  waitAtMostMs: 1000,
  tasks: [],
  abandon: new Uint32Array(),
  notes: [],
  ...more,
});
const note = (message) => ({ code: "state-ignored", level: "info", message, fields: [] });
const exchange = {
  purpose: { tag: "exchange" },
  method: "POST",
  url: `${origin}/v1/oauth/token`,
  origin,
  headers: [],
  body: "",
  timeoutMs: 1000,
  maxResponseBytes: 1000,
};

/** A credential in this process, around sessions whose every step is answered by this. */
function run(step, { hooks = {}, fetch, status = () => ({}) } = {}) {
  const world = { steps: 0, opened: 0 };
  const opening = {
    open() {
      world.opened += 1;
      const session = {
        step(_clock, event) {
          world.steps += 1;
          return step(event, world.steps);
        },
        status,
        entryKey: () => undefined,
      };
      return session;
    },
    configuration: "{}",
    can: [],
    start: { tag: "fresh" },
    seed: () => 1n,
  };
  const none = new Map();
  const means = { platform: node, policy: new Policy(), fetch, identityTokens: none, accessTokens: none, signers: none };
  world.source = new LocalSource(opening, means, hooks);
  world.credential = new Credential(world.source, { fetch, request: {}, replayUpTo: 0, origin: undefined }, 100);
  return world;
}

function busyFor(milliseconds) {
  const until = performance.now() + milliseconds;
  while (performance.now() < until);
}

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

scenario("a component that wakes itself at once and takes its time leaves most of it to others", async () => {
  let [taken, longest] = [0, 0];
  const begin = performance.now();
  const { source, credential } = run(() => {
    const since = performance.now();
    busyFor(30);
    const took = performance.now() - since;
    taken += took;
    longest = Math.max(longest, took);
    return output({ wakeInMs: 0 });
  });
  await sleep(1_000);
  const asked = performance.now();
  await assert.rejects(credential.token({ waitAtMostMs: 200 }), { code: "timed-out" });
  const late = performance.now() - asked - 200;
  await sleep(800);
  const passed = performance.now() - begin;
  source.close();
  // What is over is waited out afterwards, so the last step counts as a whole, however busy the machine is.
  const allowed = AT_ONCE_MS + SHARE * passed + longest + 60;
  assert.ok(taken <= allowed, `${taken} ms of ${passed}`);
  assert.ok(taken > AT_ONCE_MS / 2, `it took ${taken} ms only`);
  assert.ok(late < 500, `a caller's deadline was missed by ${late} ms`);
});

scenario("a component that asks for one thing after another has an end of it", async () => {
  const begin = performance.now();
  const world = run((_, number) => output({ tasks: [{ number, task: { tag: "read-variable", val: "HOME" } }] }));
  await sleep(1_500);
  world.source.close();
  const allowed = (AT_ONCE_MS + SHARE * (performance.now() - begin)) / STEP_AT_LEAST_MS + 64;
  assert.ok(world.steps <= allowed, `${world.steps} steps`);
});

scenario("a flood of notes is told in part, and how much of it was left out", async () => {
  let told = 0;
  let leftOut = 0;
  const begin = performance.now();
  const onChange = (change) => {
    told += change.notes.length;
    leftOut += change.leftOut;
  };
  const flood = (_, number) =>
    output({ wakeInMs: 0, notes: Array.from({ length: 64 }, (_, at) => note(`${number} ${at} ${"x".repeat(3_000)}`)) });
  const world = run(flood, { hooks: { onChange } });
  await sleep(1_000);
  world.source.close();
  await sleep(10);
  const allowed = NOTES.atOnce + (performance.now() - begin) / NOTES.everyMs + 1;
  assert.ok(told <= allowed, `${told} notes`);
  assert.ok(told >= NOTES.atOnce / 2, `${told} notes`);
  assert.ok(world.steps * 64 > 2 * told, "there was no flood");
  assert.ok(leftOut > 0 && told + leftOut <= world.steps * 64, `${told} ${leftOut}`);
});

scenario("what is told is cut, and writes no lines of a log", () => {
  const seen = [];
  const opening = { can: [], start: { tag: "fresh" }, configuration: "{}", seed: () => 1n };
  const step = () => output({ notes: [note(`a\nb\u001b[2J${"x".repeat(3_000)}`)] });
  const open = () => ({ step });
  const around = { policy: new Policy(), now: () => ({ wallMs: 1, steadyMs: 1 }), published: (change) => seen.push(change) };
  new Driver({ ...opening, open }, around).begin();
  const [{ notes }] = seen;
  assert.equal(notes[0].message.slice(0, 8), "a b [2Jx");
  assert.ok(notes[0].message.length <= 2_000);
});

scenario("a status and a refused configuration are told as other texts are", async () => {
  const text = `a\nb\u001b[2J\u202e${"x".repeat(3_000)}`;
  const status = () => ({ summary: text, warnings: [text], configuration: [{ name: text, value: text }], exchangesStarted: 1n });
  const { source, credential } = run(() => output(), { status });
  const told = await credential.status();
  source.close();
  const open = () => {
    throw { field: text, message: text };
  };
  const opening = { can: [], start: { tag: "fresh" }, configuration: "{}", seed: () => 1n, open };
  const driver = new Driver(opening, { policy: new Policy(), now: () => ({ wallMs: 1, steadyMs: 1 }) });
  let refused;
  assert.throws(() => driver.open(), (error) => (refused = error).name === "ConfigurationError");
  const [{ name, value }] = told.configuration;
  for (const shown of [told.summary, told.warnings[0], name, value, refused.field, refused.message.slice(refused.field.length + 2)]) {
    assert.equal(shown.slice(0, 9), "a b [2J x");
    assert.ok(shown.length <= 2_000, `${shown.length} characters`);
  }
  assert.equal(told.exchangesStarted, 1);
});

scenario("a note beyond all bounds costs the instance", async () => {
  for (const wrong of [note("x".repeat(4_097)), { ...note("x"), fields: Array(65).fill({ name: "a", value: "b" }) }]) {
    const world = run((_, number) => output({ notes: number === 1 ? [wrong] : [] }));
    await sleep(10);
    world.source.close();
    assert.equal(world.opened, 2);
  }
});

scenario("a flood of requests costs the instance, and the network sees a few", async () => {
  let requests = 0;
  const fetch = async () => {
    requests += 1;
    return new Response("{}");
  };
  const begin = performance.now();
  const flood = (_, number) => output({ wakeInMs: 0, tasks: [{ number, task: { tag: "send-request", val: exchange } }] });
  const world = run(flood, { fetch });
  await sleep(1_500);
  world.source.close();
  const allowed = REQUESTS.atOnce + (performance.now() - begin) / REQUESTS.everyMs + 1;
  assert.ok(requests <= allowed, `${requests} requests`);
  assert.ok(world.opened > 1, "it went on as if nothing were wrong");
});

/** Five seconds of a session that says this whenever it is woken, which is as often as it may be. */
function flooding(says) {
  const world = { time: 1_000_000, opened: 0, kept: [], started: [], steps: 0 };
  const open = () => {
    world.opened += 1;
    return { step: () => output({ wakeInMs: 0, ...says((world.steps += 1)) }) };
  };
  const opening = { open, can: [], start: { tag: "fresh" }, configuration: "{}", seed: () => 1n };
  const driver = new Driver(opening, {
    policy: new Policy(),
    now: () => ({ wallMs: world.time, steadyMs: world.time }),
    stopwatch: () => world.time,
    keep: (journal) => world.kept.push(journal),
    start: ({ number, task }, session) => {
      world.started.push(task.tag);
      driver.finished(number, task.tag, { tag: "absent" }, session);
    },
  });
  driver.begin();
  const end = world.time + 5_000;
  for (; world.time < end; world.time += 5) driver.tick();
  return { ...world, driver };
}

scenario("of a flood of journals the program is handed a few, and the newest in the end", () => {
  const { driver, kept, steps, opened, time } = flooding((number) => ({ journal: number > 900 ? "newest" : `${number}` }));
  assert.equal(opened, 1);
  assert.ok(steps > 900, `${steps} steps`);
  assert.ok(kept.length > 200 && kept.length <= ENTRIES.atOnce + 5_000 / ENTRIES.everyMs + 1, `${kept.length} journals`);
  assert.equal(kept.at(-1), "newest", String(time));
  driver.close();
});

scenario("a flood at the store costs the instance, and the store sees a few", () => {
  const load = (number) => ({ tasks: [{ number, task: { tag: "load-entry", val: "00ff" } }] });
  const { driver, started, opened } = flooding(load);
  assert.ok(opened > 1, "it went on as if nothing were wrong");
  assert.ok(started.length > 200 && started.length <= ENTRIES.atOnce + 5_000 / ENTRIES.everyMs + 1, `${started.length} operations`);
  driver.close();
});

scenario("what happens while the component rests is heard once it has rested", () => {
  const world = { time: 1_000_000, events: [], owed: 0 };
  const open = () => ({
    step(_clock, event) {
      world.events.push(event.tag);
      // A very long step.
      if (event.tag === "changed") world.time += 10_000;
      return output({ wakeInMs: 60_000 });
    },
  });
  const opening = { open, can: [], start: { tag: "fresh" }, configuration: "{}", seed: () => 1n };
  const driver = new Driver(opening, {
    policy: new Policy(),
    now: () => ({ wallMs: world.time, steadyMs: world.time }),
    stopwatch: () => world.time,
    owes: () => (world.owed += 1),
  });
  driver.begin();
  driver.event({ tag: "changed" });
  for (let times = 0; times < 3; times += 1) driver.event({ tag: "needed" });
  driver.event({ tag: "rejected", val: "0123456789abcdef" });
  driver.tick();
  assert.deepEqual(world.events, ["woken", "changed"]);
  assert.ok(world.owed > 0);
  const rest = driver.restMs();
  // Ten seconds, less what it may take at once and what has come in meanwhile.
  assert.ok(rest > 30_000 && rest < 50_000, String(rest));
  world.time += rest - 1;
  driver.tick();
  assert.equal(world.events.length, 2);
  world.time = driver.wakeAt + 1;
  driver.tick();
  assert.deepEqual(world.events, ["woken", "changed", "needed", "rejected"]);
  driver.event({ tag: "changed" });
  driver.close();
  assert.equal(world.events.at(-1), "closing", "who closes does not wait");
});

await finish();
