// The cases in `tests/requests`, for whatever runs them: a program or a Worker. The format is told there.

const API = "https://api.anthropic.com";
const ELSEWHERE = "https://elsewhere.example";

/** `fetch` sends no trailers, and methods in its own spelling. */
const LACKS = ["any-method", "trailers"];

/** All values of a name, with commas between them and no spaces around those; null without any. */
function joined(fields, name) {
  const values = fields.filter(([field]) => field.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  if (values.length === 0) return null;
  return values
    .join(",")
    .split(",")
    .map((element) => element.trim())
    .join(",");
}

function isCredential(rules, name) {
  const plain = name.toLowerCase().replaceAll("_", "-");
  const { names, prefixes } = rules.credentials;
  return names.includes(plain) || prefixes.some((prefix) => plain.startsWith(prefix));
}

/** The first thing that is not so of a request that left, or null. */
function fault(rules, { request, sent: expected }, { url, fields }) {
  const wrong = Object.entries(expected.fields ?? {}).find(([name, value]) => joined(fields, name) !== value);
  if (wrong !== undefined) return `the field ${wrong[0]} is ${joined(fields, wrong[0])}, and not ${wrong[1]}`;
  if (expected.credential === "callers") {
    const changed = request.fields.find(([name]) => joined(fields, name) !== joined(request.fields, name));
    if (changed !== undefined) return `the field ${changed[0]} went as ${joined(fields, changed[0])}`;
    const ours = fields.find(([, value]) => value.includes("sk-ant-oat01-") && !value.includes("caller-secret"));
    return ours === undefined ? null : `our token is in ${ours[0]}`;
  }
  if (url.includes("caller-secret")) return "the caller's credential is in the URL";
  const theirs = fields.find(([, value]) => value.includes("caller-secret"));
  if (theirs !== undefined) return `the caller's credential is in ${theirs[0]}`;
  const found = fields.filter(([name]) => isCredential(rules, name));
  const ours = found.length === 1 && found[0][0] === "authorization" && found[0][1].startsWith("Bearer sk-ant-oat01-");
  if (expected.credential === "ours" ? !ours : found.length > 0) return `it carries ${JSON.stringify(found.map(([name]) => name))}`;
  const dropped = (name) => isCredential(rules, name) || name.toLowerCase() === "anthropic-beta";
  const hops = (joined(fields, "connection") ?? "").split(",");
  return expected.credential === "ours" && hops.some(dropped) ? "the next hop would drop ours" : null;
}

/** A network that grants tokens, remembers what it was sent, and answers as a case says. */
function network({ status = 200, fields = [] } = {}) {
  const sent = [];
  let granted = 0;
  const fetch = async (input, init) => {
    const request = new Request(input, init);
    if (request.url === `${API}/v1/oauth/token`) {
      granted += 1;
      return Response.json({ access_token: `sk-ant-oat01-${granted}`, token_type: "Bearer", expires_in: 3600 });
    }
    sent.push({ url: request.url, fields: [...request.headers] });
    return new Response("{}", { status, headers: fields });
  };
  return { fetch, sent, granted: () => granted };
}

let minted = 0;
function jwt() {
  const part = (value) => btoa(JSON.stringify(value)).replaceAll("=", "").replaceAll("+", "-").replaceAll("/", "_");
  const iat = Math.floor(Date.now() / 1000);
  const claims = { iss: "i", sub: "s", iat, exp: iat + 3600, jti: `j${(minted += 1)}` };
  return `${part({ alg: "ES256", kid: "k" })}.${part(claims)}.c2ln`;
}

const configuration = {
  base_url: API,
  federation: {
    federation_rule_id: "fdrl_01a",
    organization_id: "de97a8b3-e3fb-4c22-9efa-0ff43df99222",
    identity_token: { source: "callable", freshness: "minted" },
  },
};

/** Runs one case, and says what is not so of it, or null. */
async function run({ createWif, rules, advance }, case_, more) {
  const { request, answer, sent: expected, rejected } = case_;
  const net = network(answer);
  const wif = createWif({ configuration, identityToken: jwt, fetch: net.fetch, ...more });
  try {
    await wif.token();
    // A token may be replaced from here on.
    advance(10_000);
    const [scheme, authority] = API.split("://");
    const parts = { api: API, scheme, authority, elsewhere: ELSEWHERE };
    const url = (request.url ?? "{api}/v1/messages").replaceAll(/\{(\w+)\}/g, (_, name) => parts[name]);
    const { method = "POST", fields = [] } = request;
    await wif.fetch(url, { method, headers: fields, ...(method === "POST" ? { body: "{}" } : {}) });
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (rejected !== undefined && net.granted() !== (rejected ? 2 : 1)) return `${net.granted()} tokens were granted`;
    if (net.sent.length !== (rejected ? 2 : 1)) return `it was sent ${net.sent.length} times`;
    return expected === undefined ? null : fault(rules, { ...case_, request: { ...request, fields } }, net.sent[0]);
  } finally {
    wif.close();
  }
}

/**
 * Runs all cases of these documents, whether the origin is told or not, and gives each name with the reason why it failed, or
 * null. `surroundings`: `createWif`, the document of rules, and what moves the clock.
 */
export async function requestCases(documents, surroundings) {
  const cases = documents.flatMap(({ cases }) => cases).filter(({ needs = [] }) => !needs.some((need) => LACKS.includes(need)));
  const results = [];
  for (const more of [{}, { origin: API }]) {
    for (const case_ of cases) {
      const failed = (error) => String(error.stack ?? error);
      const reason = await run(surroundings, case_, more).catch(failed);
      results.push({ name: `${case_.name}${more.origin === undefined ? "" : ", where the origin is told"}`, reason });
    }
  }
  return results;
}

const STEP_MS = 100;
const POLLED_MS = 30;
const idOf = (token) => token.repeat(16);

/**
 * A clock that stands still until it is told to go on, for everything in this process: `setTimeout` and all that tells the time.
 * To be made before the package is loaded.
 */
export function stoppedClock() {
  const { setTimeout: later } = globalThis;
  const begin = Date.now();
  let now = 0;
  let timers = [];
  Date.now = () => begin + now;
  Object.defineProperty(performance, "now", { value: () => now, configurable: true });
  globalThis.setTimeout = (callback, wait = 0, ...given) => {
    const timer = { at: now + wait, callback: () => callback(...given), unref: () => timer };
    timers.push(timer);
    return timer;
  };
  globalThis.clearTimeout = (ended) => void (timers = timers.filter((timer) => timer !== ended));
  /** Everything happens that takes no time. */
  const settle = async () => {
    for (let turns = 0; turns < 5; turns += 1) await new Promise((resolve) => later(resolve, 0));
  };
  const goOn = async (milliseconds) => {
    const until = now + milliseconds;
    for (;;) {
      const due = timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      timers = timers.filter((timer) => timer !== due);
      now = Math.max(now, due.at);
      due.callback();
      await settle();
    }
    now = until;
    await settle();
  };
  return { settle, goOn };
}

/** What a caller is told, apart from when. */
async function told(wif, { replaces, "waits-ms": waitAtMostMs }, { NoTokenError }) {
  try {
    const token = await (replaces === undefined
      ? wif.token(waitAtMostMs === undefined ? {} : { waitAtMostMs })
      : wif.replacement(idOf(replaces)));
    return token === undefined ? { nothing: true } : { token: token.id[0] };
  } catch (error) {
    if (!(error instanceof NoTokenError)) throw error;
    const { status, headers } = error.toResponse();
    if (status !== 503) throw new Error(`the status is ${status}`);
    return { code: headers.get("x-wif-code"), "retry-after-s": Number(headers.get("retry-after")) };
  }
}

/** Runs one case of callers, and gives what each was told. */
async function runCallers({ createWif, clock, ...errors }, case_) {
  const { session, "max-waiters": maxWaiters = 100, happens = [], callers } = case_;
  const wif = createWif({ configuration: { session }, maxWaiters, fetch: () => Promise.reject(new Error("nothing is sent")) });
  // Where nothing goes on without a request, this is one.
  const attend = () => wif.current();
  attend();
  await clock.settle();
  const answers = callers.map(() => undefined);
  const end = Math.max(...callers.map((caller) => caller["at-ms"] + caller.told["after-ms"]));
  const news = [];
  for (let now = 0; now <= end + STEP_MS; now += STEP_MS) {
    for (const { closes, rejects } of happens.filter((happening) => happening["at-ms"] === now)) {
      if (closes) wif.close();
      else wif.rejected(idOf(rejects));
      await clock.settle();
    }
    for (const [number, caller] of callers.entries()) {
      if (caller["at-ms"] !== now) continue;
      const answer = told(wif, caller, errors).catch((error) => ({ error: String(error.stack) }));
      answer.then((value) => news.push([number, value]));
      await clock.settle();
    }
    // Where nothing can wake a waiter, it has looked again by then.
    await clock.goOn(POLLED_MS);
    for (const [number, value] of news.splice(0)) answers[number] = { ...value, "after-ms": now - callers[number]["at-ms"] };
    await clock.goOn(STEP_MS - POLLED_MS);
    attend();
    await clock.settle();
  }
  wif.close();
  return answers;
}

/** Runs all cases of callers, and gives what each was told with the reason why that is wrong, or null. */
export async function callerCases(documents, surroundings) {
  const results = [];
  const text = (value) => JSON.stringify(Object.entries(value ?? {}).sort());
  for (const case_ of documents.flatMap(({ cases }) => cases)) {
    const answers = await runCallers(surroundings, case_);
    for (const [number, { told: expected, "at-ms": at }] of case_.callers.entries()) {
      const answer = answers[number];
      const reason = text(answer) === text(expected) ? null : `${JSON.stringify(answer)}, and not ${JSON.stringify(expected)}`;
      results.push({ name: `${case_.name}, at ${at} ms (${number})`, reason });
    }
  }
  return results;
}
