// The driver around components that misbehave, and what it keeps from them.

import assert from "node:assert/strict";
import { Driver } from "../node_modules/wif-credential/dist/modules/driver.js";
import { Policy } from "../node_modules/wif-credential/dist/modules/policy.js";
import { advice } from "../node_modules/wif-credential/dist/modules/snapshot.js";
import { revealParts } from "../node_modules/wif-credential/dist/modules/token.js";
import { finish, scenario } from "./scenarios.mjs";

const origin = "https://api.anthropic.com";
const header = (value) => [{ name: "authorization", value }];
const usable = (more = {}) => ({
  tag: "usable",
  val: {
    id: "0123456789abcdef",
    origin,
    set: header("Bearer canary-token"),
    merge: [],
    unusableInMs: 60_000n,
    standing: "good",
    ...more,
  },
});
const output = (more = {}) => ({
  access: { tag: "pending", val: "exchanging" },
  progress: "underway",
  waitAtMostMs: 1000,
  tasks: [],
  abandon: new Uint32Array(),
  notes: [],
  ...more,
});
const trap = () => {
  throw new WebAssembly.RuntimeError("unreachable");
};
const task = (number, tag = "send-request", val = {}) => ({ number, task: { tag, val } });

/** A driver around sessions whose every step is answered by this. */
function drive(answer, more = {}) {
  const world = { time: 1_000_000, opened: [], started: [], events: [], ...more };
  const opening = {
    open(_configuration, seed, _can, from) {
      world.opened.push({ seed, from });
      world.opens?.(world.opened.length, from);
      const number = world.opened.length;
      return {
        step(clock, event) {
          world.events.push(event.tag);
          return answer(event, number, clock);
        },
        status: () => ({}),
        entryKey: () => undefined,
      };
    },
    configuration: "{}",
    can: world.can ?? [],
    start: world.start ?? { tag: "fresh" },
    seed: () => BigInt(world.opened.length),
  };
  world.driver = new Driver(opening, {
    policy: new Policy(),
    now: () => ({ wallMs: world.time, steadyMs: world.time }),
    start: (started, session) => world.started.push({ ...started, session }),
    keep: world.keep,
  });
  world.driver.begin();
  return world;
}

scenario("a trap costs the instance, and the journal opens the next one", () => {
  const { driver, opened } = drive(({ tag }, session) => {
    if (tag === "needed" && session === 1) trap();
    return output({ access: usable(), journal: `journal of ${session}` });
  });
  driver.event({ tag: "needed" });
  assert.deepEqual(
    opened.map(({ from }) => from),
    [{ tag: "fresh" }, { tag: "resumed", val: "journal of 1" }],
  );
  assert.notEqual(opened[0].seed, opened[1].seed);
  assert.equal(driver.snapshot.access.kind, "usable");
});

scenario("the last token is served on while a new session finds its way", () => {
  const { driver } = drive((event, session) => {
    if (event.tag === "needed" && session === 1) trap();
    return output(session === 1 ? { access: usable() } : {});
  });
  driver.event({ tag: "needed" });
  assert.equal(advice(driver.snapshot, driver.time()).kind, "serve");
});

scenario("results of a dropped session's tasks are dropped", () => {
  const world = drive(({ tag }, session) => {
    if (tag === "needed" && session === 1) trap();
    return output({ tasks: session === 1 && tag === "woken" ? [task(7)] : [] });
  });
  const [{ session }] = world.started;
  world.driver.event({ tag: "needed" });
  world.driver.finished(7, "send-request", { tag: "absent" }, session);
  assert.ok(!world.events.includes("finished"));
});

scenario("a result that stopped it twice is kept from it", () => {
  const given = [];
  const world = drive((event) => {
    if (event.tag !== "finished") return output({ tasks: [task(1)] });
    given.push(event.val.outcome.tag);
    if (event.val.outcome.tag === "response") trap();
    return output();
  });
  for (let round = 0; round < 3; round += 1) {
    world.driver.finished(1, "send-request", { tag: "response", val: { status: 200, headers: [], body: "" } });
  }
  assert.deepEqual(given, ["response", "response", "lost"]);
});

scenario("a component that traps at every wake is started ever more rarely, and callers are told", () => {
  const world = drive(trap);
  assert.ok(world.opened.length <= 6, `${world.opened.length} instances`);
  const before = world.opened.length;
  world.driver.tick();
  assert.equal(world.opened.length, before);
  assert.equal(advice(world.driver.snapshot, world.time).failure.code, "component-stopped");
  world.time = world.driver.wakeAt;
  world.driver.tick();
  assert.equal(world.opened.length, before + 1);
});

scenario("a journal that sessions survive is not given up, however often they trap later", () => {
  // Each second session ends before its first word.
  const world = drive(({ tag }, session) =>
    tag === "changed" || session % 2 === 0 ? trap() : output({ access: usable(), journal: "good" }),
  );
  for (let times = 0; times < 12; times += 1) {
    world.driver.event({ tag: "changed" });
    world.time += 60_000;
    world.driver.tick();
  }
  assert.ok(world.opened.length > 10, `${world.opened.length} sessions`);
  assert.deepEqual([...new Set(world.opened.slice(1).map(({ from }) => from.tag))], ["resumed"]);
});

scenario("a session that is asked for a token and does nothing is asked again a second later, and not for ever at once", () => {
  const world = drive(() => output({ access: { tag: "idle" }, progress: "resting" }));
  const told = () => {
    world.driver.tick();
    return advice(world.driver.snapshot, world.time);
  };
  world.driver.event({ tag: "needed" });
  assert.equal(told().failure.code, "component-stopped");
  world.time += 999;
  assert.equal(told().kind, "refuse");
  world.time += 1;
  assert.equal(told().kind, "ask");
});

for (const [what, lie] of Object.entries({
  "a header with a line break": { set: header("Bearer a\r\nx-evil: 1") },
  "a header in upper case": { set: [{ name: "Authorization", value: "x" }] },
  "a header that no credential has": { set: [{ name: "x-evil", value: "1" }] },
  "a credential where lists are merged": { merge: header("x") },
  "an id that is none": { id: "canary" },
  "more headers than there are": { set: Array(65).fill(header("x")[0]) },
})) {
  scenario(`${what} is a breach, and the last good token is served on`, () => {
    const { driver, opened } = drive(({ tag }, session) =>
      output({ access: usable(tag === "needed" && session === 1 ? lie : {}) }),
    );
    driver.event({ tag: "needed" });
    assert.equal(opened.length, 2);
    assert.deepEqual(revealParts(driver.snapshot.access.token).set, [["authorization", "Bearer canary-token"]]);
  });
}

scenario("a token for an origin that the policy does not allow is not served", () => {
  const { driver } = drive(() => output({ access: usable({ origin: "https://api.anthropic.com.evil.example" }) }));
  assert.equal(driver.snapshot.access.kind, "failed");
  assert.equal(driver.snapshot.access.failure.code, "denied-by-host");
  assert.ok(!JSON.stringify(driver.snapshot).includes("canary"));
});

scenario("delays are kept within limits", () => {
  const soon = drive(() => output({ wakeInMs: 0 }));
  assert.equal(soon.driver.wakeAt - soon.time, 5);
  const late = drive(() => output({ wakeInMs: 2 ** 32 - 1, waitAtMostMs: 2 ** 32 - 1 }));
  assert.equal(late.driver.wakeAt - late.time, 24 * 3_600_000);
  assert.equal(late.driver.snapshot.waitAtMostMs, 30_000);
});

scenario("a session that asks for too many tasks is stopped", () => {
  const world = drive((_, session) =>
    output({ tasks: session === 1 ? Array.from({ length: 65 }, (_, at) => task(at)) : [] }),
  );
  assert.equal(world.opened.length, 2);
  assert.equal(world.started.length, 0);
});

scenario("a journal is kept before a task of the same output starts, and a request waits for that", () => {
  const order = [];
  const world = drive(() => output({ journal: "j", tasks: [task(1)] }), {
    keep: () => order.push("kept"),
    started: { push: () => order.push("started") },
  });
  assert.ok(world);
  assert.deepEqual(order, ["kept", "started"]);
  const outcomes = [];
  const failing = drive(
    (event) => {
      if (event.tag === "finished") outcomes.push(event.val.outcome);
      return output(event.tag === "woken" ? { journal: "j", tasks: [task(1), task(2, "read-variable", "X")] } : {});
    },
    {
      keep: () => {
        throw new Error("the disk is full");
      },
    },
  );
  assert.deepEqual(
    failing.started.map(({ number }) => number),
    [2],
  );
  assert.deepEqual(outcomes, [{ tag: "unkept", val: "the journal could not be kept: Error" }]);
});

scenario("a wake that comes late does what it should have done", () => {
  const world = drive(() => output({ wakeInMs: 100 }));
  world.time += 99;
  world.driver.tick();
  assert.deepEqual(world.events, ["woken"]);
  world.time += 3_600_000;
  world.driver.tick();
  assert.deepEqual(world.events, ["woken", "woken"]);
});

scenario("tasks whose owners vanished are forgotten", () => {
  const world = drive(
    (event) => output({ tasks: event.tag === "needed" ? Array.from({ length: 60 }, (_, at) => task(at)) : [] }),
    {
      can: ["owners-vanish"],
    },
  );
  world.driver.event({ tag: "needed" });
  world.time += 60_000;
  world.driver.event({ tag: "needed" });
  assert.equal(world.opened.length, 1);
});

scenario("after closing nothing is started, and the token is served until its end", () => {
  const world = drive(({ tag }) => output(tag === "closing" ? { access: usable() } : { access: usable(), wakeInMs: 10 }));
  world.driver.close();
  world.time += 50_000;
  world.driver.tick();
  world.driver.event({ tag: "needed" });
  assert.deepEqual(world.events, ["woken", "closing"]);
  assert.equal(advice(world.driver.snapshot, world.time).kind, "serve");
});

scenario("a component that cannot be opened at first is opened again", () => {
  const { driver, opened } = drive(() => output({ access: usable() }), {
    opens(count) {
      if (count === 1) throw new RangeError("out of memory");
    },
  });
  assert.equal(opened.length, 2);
  assert.equal(driver.snapshot.access.kind, "usable");
});

for (const [what, ends] of [
  ["opened", { opens: (_, { tag }) => tag === "resumed" && trap() }],
  ["stepped", { steps: true }],
]) {
  scenario(`a journal from which nothing can be ${what} is given up after a while, and counts as lost`, () => {
    let resumed = false;
    const world = drive(
      () => {
        if (ends.steps && resumed) trap();
        return output({ access: usable() });
      },
      {
        start: { tag: "resumed", val: "poison" },
        opens(count, from) {
          resumed = from.tag === "resumed";
          ends.opens?.(count, from);
        },
      },
    );
    const begin = world.time;
    while (world.driver.snapshot.access.kind !== "usable" && world.time < begin + 120_000) {
      world.time = world.driver.wakeAt;
      world.driver.tick();
    }
    assert.equal(world.driver.snapshot.access.kind, "usable");
    assert.deepEqual(
      world.opened.map(({ from }) => from.tag),
      ["resumed", "resumed", "resumed", "resumed", "lost"],
    );
  });
}

scenario("where the clock goes back the session is asked what is due", () => {
  const world = drive(() => output({ access: usable(), wakeInMs: 30_000 }));
  world.time += 1_000;
  world.driver.tick();
  assert.deepEqual(world.events, ["woken"]);
  world.time -= 3_600_000;
  world.driver.tick();
  // At the last time that was seen, and at the one that it is now.
  assert.deepEqual(world.events, ["woken", "woken", "woken"]);
  assert.equal(world.driver.wakeAt, world.time + 30_000);
});

scenario("a component that refuses what it took is stopped, and its words are one line", () => {
  const opens = (number) => {
    if (number > 1) throw { field: "x", message: "no\r\nERROR forged\u001b[2J" };
  };
  const world = drive((event) => (event.tag === "changed" ? trap() : output()), { opens });
  world.driver.event({ tag: "changed" });
  const { message } = world.driver.snapshot.access.failure;
  assert.ok(message.includes("it refused the configuration: x: no  ERROR forged [2J"), JSON.stringify(message));
});

scenario("what a trap says holds nothing that was handed over", () => {
  const world = drive(() => {
    throw new TypeError("canary-secret");
  });
  assert.ok(!JSON.stringify(world.driver.snapshot).includes("canary"));
});

await finish();
