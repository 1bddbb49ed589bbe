// Measures in Node: node bench.mjs. Prints nanoseconds by name, a list of samples each.

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

if (process.argv.at(-1) === "start") {
  const start = performance.now();
  const { createWif } = await import("wif-credential");
  const imported = performance.now();
  let asked;
  createWif({ configuration: { bearer: { source: "callable" } }, accessToken: () => (asked = performance.now()) && "x" });
  // Timers have their turn: the first task waits for one where the first step took long.
  while (asked === undefined) await new Promise(setImmediate);
  console.log(JSON.stringify([imported - start, asked - start].map((milliseconds) => milliseconds * 1e6)));
} else if (process.argv.at(-1) === "sdk") {
  const start = performance.now();
  await import("@anthropic-ai/sdk");
  console.log((performance.now() - start) * 1e6);
} else {
  const { createWif } = await import("wif-credential");
  const { measure } = await import("./measured.mjs");
  const { modules } = await import("../node_modules/wif-credential/dist/modules/plugin/inline.js");
  const clock = () => performance.now();
  const samples = await measure({ createWif, modules, clock, batches: 31, calls: 20_000, steps: 2_000 });
  Object.assign(samples, await requests({ createWif, clock, batches: 25, calls: 200 }));
  const program = fileURLToPath(import.meta.url);
  const starts = Array.from({ length: 9 }, () => JSON.parse(execFileSync(process.execPath, [program, "start"])));
  samples["sdk-imported"] = starts.map(() => Number(execFileSync(process.execPath, [program, "sdk"])));
  samples.imported = starts.map(([imported]) => imported);
  samples.started = starts.map(([, started]) => started);
  console.log(JSON.stringify(samples));
}
process.exit(0);

/** From the vendor's SDK being called to its request going out, with the SDK's own cache of tokens and with ours. */
async function requests({ createWif, clock, batches, calls }) {
  const { default: Anthropic } = await import("@anthropic-ai/sdk");
  const { options } = await import("./measured.mjs");
  const { token, expiresAtMs } = options.accessToken();
  const body = JSON.stringify({ type: "message", role: "assistant", content: [], usage: {} });
  let sentAt;
  const socket = async () => {
    sentAt = clock();
    return new Response(body, { headers: { "content-type": "application/json" } });
  };
  const wif = createWif({ ...options, fetch: socket });
  await wif.token();
  const client = (more) => new Anthropic({ baseURL: "https://api.anthropic.com", apiKey: null, ...more });
  const clients = {
    "sdk-request": client({ credentials: async () => ({ token, expiresAt: expiresAtMs / 1000 }), fetch: socket }),
    "credentials-request": client({ credentials: wif.credentials, fetch: socket }),
    "fetch-request": client({ authToken: "none", fetch: wif.fetch }),
    "middleware-request": client({ authToken: "none", middleware: [wif.middleware], fetch: socket }),
  };
  // The least that a `fetch` can do which leaves the caller's headers as they are.
  const copying = (url, init) => {
    const headers = new Headers(init.headers);
    headers.set("authorization", `Bearer ${token}`);
    return socket(url, { ...init, headers });
  };
  clients["copying-request"] = client({ authToken: "none", fetch: copying });
  const asked = { model: "claude-sonnet-5-5", max_tokens: 16, messages: [{ role: "user", content: "Hello" }] };
  const taken = {};
  for (let batch = -2; batch < batches; batch += 1) {
    for (const [name, { messages }] of Object.entries(clients)) {
      let sum = 0;
      for (let at = 0; at < calls; at += 1) {
        const start = clock();
        await messages.create(asked);
        sum += sentAt - start;
      }
      if (batch >= 0) (taken[name] ??= []).push((sum / calls) * 1e6);
    }
  }
  return taken;
}
