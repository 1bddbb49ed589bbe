// Runs the conformance vectors through the package's driver and component: node vectors.mjs <package> <folder of vectors>
//
// Prints a line of JSON for each vector: its name, and why it does not hold, or null. `tests/vectors/README.md` describes the
// format.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";

const [packagePath, folder] = process.argv.slice(-2);
const part = (name) => import(pathToFileURL(join(packagePath, "dist/modules", name)));
const { Driver } = await part("driver.js");
const { ConfigurationError } = await part("errors.js");
const { open } = await part("plugin.js");
const { modules } = await part("plugin/inline.js");
const { Policy } = await part("policy.js");

const openSession = open(modules);
/** Origins are the driver's own affair, and vectors have many. */
class AnyOrigin extends Policy {
  checkOrigin() {
    return undefined;
  }
}

// ---- the JSON form ------------------------------------------------------------------------------------------------------

const kebab = (name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** From a value of the component to the contract's JSON form. */
function toJson(value) {
  if (typeof value === "bigint") return Number(value);
  if (ArrayBuffer.isView(value)) return [...value];
  if (Array.isArray(value)) return value.map(toJson);
  if (typeof value !== "object" || value === null) return value;
  if ("tag" in value) return "val" in value && value.val !== undefined ? { [value.tag]: toJson(value.val) } : value.tag;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(members.map(([name, member]) => [kebab(name), toJson(member)]));
}

/** From a variant in the JSON form; `payload` reads the payload of a case. */
function variant(json, payload = (_, value) => value) {
  if (typeof json === "string") return { tag: json };
  const [[tag, value]] = Object.entries(json);
  return { tag, val: payload(tag, value) };
}

function outcome(json) {
  return variant(json, (tag, value) => {
    if (tag === "conflict") return value ?? undefined;
    if (tag !== "token") return value;
    const { value: token, "expires-at-ms": expiresAtMs } = value;
    return expiresAtMs === undefined ? { value: token } : { value: token, expiresAtMs: BigInt(expiresAtMs) };
  });
}

// ---- stand-ins and matchers ---------------------------------------------------------------------------------------------

function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const names = Object.keys(value).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

const segment = (text) => Buffer.from(text).toString("base64url");
const jwt = (claims) => [segment('{"alg":"ES256","kid":"k"}'), segment(canonical(claims)), segment("signature")].join(".");
const idOf = (token) => createHash("sha256").update(token).digest("hex").slice(0, 16);
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

class Names {
  #values = new Map();

  constructor(raw = {}) {
    let waiting = Object.entries(raw);
    while (waiting.length > 0) {
      let why;
      const left = waiting.filter(([name, value]) => {
        try {
          this.#values.set(name, this.expand(value));
          return false;
        } catch (error) {
          why = error;
          return true;
        }
      });
      if (left.length === waiting.length) throw why;
      waiting = left;
    }
  }

  save(name, value) {
    this.#values.set(name, value);
  }

  expand(value, tasks = []) {
    if (Array.isArray(value)) return value.map((item) => this.expand(item, tasks));
    if (!isObject(value)) return value;
    const known = this.standIn(value, tasks);
    if (known !== undefined) return known.value;
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, this.expand(member, tasks)]));
  }

  /** What the object stands for, if it is a stand-in. */
  standIn(value, tasks = []) {
    if (!isObject(value)) return undefined;
    const name = Object.keys(value).find((key) => key.startsWith("$") && key !== "$where");
    const argument = value[name];
    const text = (part) => {
      const expanded = this.expand(part, tasks);
      if (typeof expanded !== "string") throw new Error(`${JSON.stringify(expanded)} is no string`);
      return expanded;
    };
    switch (name) {
      case "$named":
        if (!this.#values.has(argument)) throw new Error(`nothing is named ${argument}`);
        return { value: this.#values.get(argument) };
      case "$jwt":
        return { value: jwt(this.expand(argument, tasks)) };
      case "$id-of":
        return { value: idOf(text(argument)) };
      case "$text":
        return { value: canonical(this.expand(argument, tasks)) };
      case "$concat":
        return { value: argument.map(text).join("") };
      case "$repeat":
        return { value: text(argument.text).repeat(argument.times) };
      case "$task":
        return { value: this.#task(argument, value.$where, tasks) };
      default:
        return undefined;
    }
  }

  #task(kind, where, tasks) {
    const fits = ([, task]) =>
      isObject(task) && kind in task && (where === undefined || why(task[kind], where, this) === undefined);
    const found = tasks.findLast(fits);
    if (found === undefined)
      throw new Error(`there is no open task ${kind} ${JSON.stringify(where)}, but ${JSON.stringify(tasks)}`);
    return found[0];
  }
}

/** Why a value is not as expected, or undefined. */
function why(actual, expected, names) {
  const shown = () => JSON.stringify(actual);
  const known = names.standIn(expected);
  if (known !== undefined) {
    return canonical(actual) === canonical(known.value) ? undefined : `: ${shown()} is not ${JSON.stringify(known.value)}`;
  }
  if (isObject(expected) && Object.keys(expected).some((name) => name.startsWith("$"))) {
    return firstOf(Object.entries(expected), ([matcher, argument]) => apply(matcher, argument, actual, names));
  }
  if (isObject(expected) && isObject(actual)) {
    return firstOf(Object.entries(expected), ([name, member]) => {
      if (!(name in actual)) {
        return isObject(member) && "$absent" in member
          ? undefined
          : `.${name}: missing, where ${JSON.stringify(member)} is expected`;
      }
      return prefixed(`.${name}`, why(actual[name], member, names));
    });
  }
  if (Array.isArray(expected) && Array.isArray(actual)) {
    if (actual.length !== expected.length)
      return `: ${actual.length} items, where ${expected.length} are expected: ${shown()}`;
    return firstOf([...expected.entries()], ([index, item]) => prefixed(`[${index}]`, why(actual[index], item, names)));
  }
  return canonical(actual ?? null) === canonical(expected) ? undefined : `: ${shown()} is not ${JSON.stringify(expected)}`;
}

const prefixed = (path, reason) => (reason === undefined ? undefined : path + reason);

function firstOf(items, find) {
  for (const item of items) {
    const found = find(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

function apply(matcher, argument, actual, names) {
  const refused = `: ${JSON.stringify(actual)} does not fit ${matcher} ${JSON.stringify(argument)}`;
  switch (matcher) {
    case "$any":
      return undefined;
    case "$absent":
      return refused;
    case "$between":
      return typeof actual === "number" && argument[0] <= actual && actual <= argument[1] ? undefined : refused;
    case "$contains":
      return firstOf(argument, (part) => {
        const found =
          typeof actual === "string"
            ? actual.includes(names.expand(part))
            : Array.isArray(actual) && actual.some((item) => why(item, part, names) === undefined);
        return found ? undefined : refused;
      });
    case "$lacks":
      return firstOf(argument, (part) => {
        const found =
          Array.isArray(actual) && isObject(part)
            ? actual.some((item) => why(item, part, names) === undefined)
            : JSON.stringify(actual).includes(names.expand(part));
        return found ? refused : undefined;
      });
    case "$json":
      try {
        return why(JSON.parse(actual), argument, names);
      } catch (error) {
        return `: ${JSON.stringify(actual)} is no JSON: ${error.message}`;
      }
    case "$save":
      names.save(argument, actual);
      return undefined;
    default:
      return `: no matcher is called ${matcher}`;
  }
}

/** What nobody may see: JWTs, access tokens, and whatever a vector marks as a canary. */
function secretsIn(event) {
  const pieces = JSON.stringify(event.finished?.outcome ?? null).split(/[^A-Za-z0-9._-]/);
  return pieces.filter((piece) => /^(eyJ|sk-ant-|canary)/.test(piece) && piece.length > 11);
}

// ---- a run --------------------------------------------------------------------------------------------------------------

/** A vector around the driver of the package, which is told everything and starts nothing. */
class Run {
  #vector;
  #names;
  #opening;
  #driver;
  #clock;
  #tasks = [];
  #output = {};
  #secrets = [];
  #kept;

  constructor(vector) {
    this.#vector = vector;
    this.#names = new Names(vector.names);
    const configuration = this.#configuration(vector.configuration);
    const start = variant(this.#names.expand(vector.start ?? "fresh"));
    this.#opening = { configuration, seed: vector.seed, start };
    this.#at(0, 0);
    this.#open();
  }

  run() {
    let jumped = 0;
    for (const [index, step] of (this.#vector.steps ?? []).entries()) {
      jumped += step["wall-jump-ms"] ?? 0;
      this.#at(step["at-ms"], jumped);
      const reason = this.#take(step);
      if (reason !== undefined) return `step ${index} (at ${step["at-ms"]} ms): ${reason}`;
    }
    return undefined;
  }

  #configuration(configuration) {
    const expanded = this.#names.expand(configuration);
    return typeof expanded === "string" ? expanded : JSON.stringify(expanded);
  }

  #at(atMs, jumpedMs) {
    const steadyMs = this.#vector["steady-ms"];
    this.#clock = {
      wallMs: Math.max(0, this.#vector["wall-ms"] + atMs + jumpedMs),
      steadyMs: steadyMs === undefined ? undefined : steadyMs + atMs,
    };
  }

  #open() {
    const { configuration, seed, start } = this.#opening;
    const around = {
      policy: new AnyOrigin(),
      now: () => this.#clock,
      start: ({ number, task }) => this.#tasks.push([number, toJson(task)]),
      keep: (journal) => (this.#kept = journal),
      observe: (output) => (this.#output = toJson(output)),
    };
    const opening = { open: openSession, configuration, can: this.#vector.can, start, seed: () => BigInt(seed) };
    this.#driver = new Driver(opening, around);
    this.#driver.open();
  }

  #take(step) {
    const { event, variables, reopen } = step;
    if ([event, variables, reopen].filter((given) => given !== undefined).length !== 1) {
      return "a step has exactly one of event, variables and reopen";
    }
    if (event !== undefined) this.#step(this.#names.expand(event, this.#tasks));
    else if (reopen !== undefined) this.#reopen(reopen);
    else {
      const reason = this.#answerVariables(variables);
      if (reason !== undefined) return reason;
    }
    const status = toJson(this.#driver.status());
    const expectations = [
      ["output", this.#output, step.expect],
      ["status", status, step.status],
      ["entry key", this.#driver.entryKey() ?? null, step["entry-key"]],
    ];
    const reason = firstOf(expectations, ([what, actual, expected]) =>
      expected === undefined ? undefined : prefixed(`${what}: `, why(actual, expected, this.#names)?.replace(/^: /, "")),
    );
    if (reason !== undefined) return `${reason}\n${JSON.stringify(this.#output)}`;
    const shown = JSON.stringify([
      this.#output.notes ?? null,
      this.#output.access?.failed ?? null,
      status,
      this.#driver.snapshot,
    ]);
    const secret = this.#secrets.find((known) => shown.includes(known));
    if (secret !== undefined) return `the secret ${secret} shows in ${shown}`;
    return this.#published(event);
  }

  /** The driver tells callers what the session said. */
  #published(event) {
    const access = this.#output.access;
    if (access === undefined || event === "closing") return undefined;
    const said = typeof access === "string" ? access : Object.keys(access)[0];
    const { kind, token } = this.#driver.snapshot.access;
    const asked = said === "idle" && kind === "failed" && event === "needed";
    if (kind !== said && !asked) return `the driver shows ${kind}, and the session said ${said}`;
    if (token !== undefined && token.id !== access.usable.id) return "the driver shows another token";
    return undefined;
  }

  #step(event) {
    this.#secrets.push(...secretsIn(event));
    if (event === "closing") {
      this.#driver.event({ tag: "closing" });
    } else if (event.finished !== undefined) {
      const { number } = event.finished;
      const [, task] = this.#tasks.find(([open]) => open === number) ?? [number, { "read-variable": "" }];
      this.#tasks = this.#tasks.filter(([open]) => open !== number);
      this.#driver.finished(number, Object.keys(task)[0], outcome(event.finished.outcome));
    } else if (event["still-running"] !== undefined) {
      this.#driver.stillRunning(event["still-running"]);
    } else {
      this.#driver.event(variant(event));
    }
  }

  #answerVariables(variables) {
    const unasked = new Set(Object.keys(variables));
    for (;;) {
      const open = this.#tasks.find(([, task]) => task["read-variable"] !== undefined);
      if (open === undefined) break;
      const [number, { "read-variable": name }] = open;
      unasked.delete(name);
      const content = name in variables ? { content: this.#names.expand(variables[name]) } : "absent";
      this.#step({ finished: { number, outcome: content } });
    }
    return unasked.size === 0 ? undefined : `the variables ${[...unasked]} were not asked for`;
  }

  #reopen({ seed, start, configuration }) {
    const journal = this.#driver.journal() ?? this.#kept;
    const from = journal === undefined ? { tag: "fresh" } : { tag: "resumed", val: journal };
    this.#opening.seed = seed;
    this.#opening.start = start === undefined ? from : variant(this.#names.expand(start));
    if (configuration !== undefined) this.#opening.configuration = this.#configuration(configuration);
    this.#tasks = [];
    this.#output = {};
    this.#open();
  }
}

function run(vector) {
  try {
    if (vector.refused === undefined) return new Run(vector).run();
    try {
      new Run(vector);
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      const message = error.field === "" ? error.message : error.message.slice(error.field.length + 2);
      const reason = why({ field: error.field, message }, vector.refused, new Names(vector.names));
      return prefixed("refusal: ", reason?.replace(/^: /, ""));
    }
    return "the configuration was accepted";
  } catch (error) {
    return String(error.stack);
  }
}

const read = (name) => JSON.parse(readFileSync(join(folder, name), "utf8"));
const presets = read("presets.json");

/** What a vector, or a preset, says together with the preset that it begins with. */
function withPreset(vector) {
  if (vector.preset === undefined) return vector;
  const whole = withPreset(presets[vector.preset]);
  const names = { ...whole.names, ...vector.names };
  return { ...whole, ...vector, names, steps: [...(whole.steps ?? []), ...(vector.steps ?? [])] };
}

const files = readdirSync(folder, { recursive: true })
  .filter((name) => name.endsWith(".json") && name !== "presets.json")
  .sort();
for (const name of files) {
  const reason = run(withPreset(read(name)));
  console.log(JSON.stringify({ name: relative(".", name).replace(/\.json$/, ""), reason: reason ?? null }));
}
