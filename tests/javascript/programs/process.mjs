// A program in Node, Deno or Bun with a credential: reads commands from its input, a word and perhaps an argument in each line,
// and answers each with a line of JSON.
//
// Its only argument is JSON: options for the credential, a directory for its store if there is one, and what to try beside it.

import { createInterface } from "node:readline";
import Anthropic from "@anthropic-ai/sdk";
import { createWif, directoryStore, memoryStore, signer } from "wif-credential";

/** A test moves the clock. */
let ahead = 0;
const now = Date.now.bind(Date);
Date.now = () => now() + ahead;

const { options, baseURL, key, directory } = JSON.parse(process.argv.at(-1));
if (typeof directory === "string") options.store = directoryStore(directory);
if (typeof key === "string") {
  const der = Buffer.from(key.replace(/-----[^-]*-----|\s/g, ""), "base64");
  options.signer = signer(crypto.subtle.importKey("pkcs8", der, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]));
}
const store = memoryStore();
const notes = [];
const make = (more = {}) => createWif({ ...options, onChange: ({ notes: more }) => notes.push(...more), ...more });
const wif = make();
const model = "claude-sonnet-5-5";
const messages = [{ role: "user", content: "Hello" }];
const headers = { "content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": "the caller's own" };
const post = (body, signal) =>
  wif.fetch(`${baseURL}/v1/messages`, {
    method: "POST",
    headers,
    body: JSON.stringify({ model, max_tokens: 64, messages, ...body }),
    signal,
  });
const withFetch = () => new Anthropic({ authToken: "wif", baseURL, fetch: wif.fetch, maxRetries: 0 });
const withProvider = new Anthropic({ credentials: wif.credentials, baseURL, maxRetries: 0 });
const say = async (client) => (await client.messages.create({ model, max_tokens: 64, messages })).content[0].text;

const commands = {
  async message() {
    const answer = await post({});
    await answer.arrayBuffer();
    return answer.status;
  },
  async request() {
    const body = JSON.stringify({ model, max_tokens: 64, messages });
    const answer = await wif.fetch(new Request(`${baseURL}/v1/messages`, { method: "POST", headers, body }));
    await answer.arrayBuffer();
    return answer.status;
  },
  /** Where a request's URL may have a name and a password: the caller's own credential, too. */
  async user() {
    const url = `${baseURL.replace("://", "://name:password@")}/v1/messages`;
    let request;
    try {
      request = new Request(url, { method: "POST", headers, body: JSON.stringify({ model, max_tokens: 64, messages }) });
    } catch {
      return "refused";
    }
    const answer = await wif.fetch(request);
    await answer.arrayBuffer();
    return answer.status;
  },
  async burst(times) {
    const answers = await Promise.all(Array.from({ length: Number(times) }, () => commands.message()));
    return [...new Set(answers)];
  },
  /** The first request, which starts an exchange, gives up after so long; three others do not. What becomes of each. */
  async "give-up"(milliseconds) {
    const leader = post({}, AbortSignal.timeout(Number(milliseconds))).then(({ status }) => status);
    const others = [1, 2, 3].map(() => commands.message());
    const outcomes = await Promise.allSettled([leader, ...others]);
    return outcomes.map(({ value, reason }) => value ?? reason.name);
  },
  async stream() {
    const answer = await post({ stream: true });
    let pieces = 0;
    for await (const _ of answer.body) pieces += 1;
    return { status: answer.status, pieces };
  },
  sdk: () => say(withFetch()),
  "sdk-middleware": () =>
    say(new Anthropic({ authToken: "wif", baseURL, middleware: [wif.middleware], maxRetries: 0 })),
  "sdk-provider": () => say(withProvider),
  async "shared-store"(times) {
    const wifs = Array.from({ length: Number(times) }, () => make({ store }));
    return new Set((await Promise.all(wifs.map((one) => one.token()))).map(({ id }) => id)).size;
  },
  async resumed() {
    await wif.token();
    const next = make({ start: { journal: wif.journal() } });
    return (await next.token()).id === (await wif.token()).id;
  },
  async token() {
    return (await wif.token()).id;
  },
  status: () => wif.status(),
  async notes() {
    return notes.map(({ code }) => code);
  },
  async advance(milliseconds) {
    ahead += Number(milliseconds);
    return ahead;
  },
  async changed() {
    wif.changed();
    return true;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [name, argument] = line.trim().split(" ");
  let answer;
  try {
    answer = { ok: await commands[name](argument) };
  } catch (error) {
    answer = { error: error.name, code: error.code ?? null, message: error.message };
  }
  console.log(JSON.stringify(answer));
}
