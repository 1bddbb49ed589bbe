// What is measured in Node and in workerd alike: nanoseconds of one call, for each of some batches that take turns.

import { TokenCache } from "@anthropic-ai/sdk/lib/credentials/token-cache";
import { open } from "../node_modules/wif-credential/dist/modules/plugin.js";

const token = `sk-ant-oat01-${"x".repeat(95)}`;
const later = () => Date.now() + 3_600_000;

/** The credential whose token comes from the program: what a request costs is the same whatever brought it. */
export const options = {
  configuration: { bearer: { source: "callable" } },
  accessToken: () => ({ token, expiresAtMs: later() }),
};

/** The least that any JavaScript could do. */
function plainCache() {
  const cached = { token, expiresAtMs: later() };
  return () => (Date.now() < cached.expiresAtMs - 120_000 ? cached : undefined);
}

/** `modules` are the platform's own. */
export async function measure({ createWif, modules, clock, batches, calls, steps }) {
  const wif = createWif(options);
  await wif.token();
  const plain = plainCache();
  const sdk = new TokenCache(async () => ({ token, expiresAt: later() / 1000 }));
  await sdk.getToken();
  // A wake that changes nothing: one call of the component.
  const session = open(modules)(JSON.stringify({ ...options.configuration, prefetch: false }), 1n, ["supply-token"], {
    tag: "fresh",
  });
  const headers = new Headers({ "content-type": "application/json" });
  const of = {
    plain: [calls, () => plain()],
    current: [calls, () => wif.current()],
    edge: [steps, () => session.step({ wallMs: BigInt(Date.now()) }, { tag: "woken" })],
    applied: [steps, () => wif.current().apply(headers)],
  };
  const awaited = { "sdk-awaited": () => sdk.getToken(), "token-awaited": () => wif.token() };
  const samples = {};
  const add = (name, taken, times) => (samples[name] ??= []).push((taken / times) * 1e6);
  for (let batch = -2; batch < batches; batch += 1) {
    for (const [name, [times, call]] of Object.entries(of)) {
      const start = clock();
      for (let at = 0; at < times; at += 1) call();
      if (batch >= 0) add(name, clock() - start, times);
    }
    for (const [name, call] of Object.entries(awaited)) {
      const start = clock();
      for (let at = 0; at < calls; at += 1) await call();
      if (batch >= 0) add(name, clock() - start, calls);
    }
  }
  return samples;
}
