// A gateway to the Claude API: callers show the gateway's own key, and their requests go on with the credential of this Worker.
//
// A Worker has no identity of its own. This one vouches for itself: it signs its identity tokens with a key that is one of its
// secrets, and the public half of that key stands in the federation issuer.

import { env } from "cloudflare:workers";
import { createWif, kvCache, NoTokenError, signer } from "wif-credential";

const variable = (name) => `set it in wrangler.jsonc, under "vars": { "${name}": … }`;
const secret = (name) => `npx wrangler secret put ${name} < keys/${name}`;
const needed = {
  FEDERATION_RULE_ID: variable,
  ORGANIZATION_ID: variable,
  ISSUER: variable,
  PRIVATE_KEY: secret,
  SEALING_KEY: secret,
  GATEWAY_KEY: secret,
};

const missing = Object.keys(needed).filter((name) => !env[name]);
const problems = missing.map((name) => `${name} is not set: ${needed[name](name)}`);
if (!env.KV) problems.push('KV is not bound: set the id of a namespace in wrangler.jsonc, under "kv_namespaces"');

// What `npx wrangler tail` shows when there is no token, and when there is one again: each isolate says it once. No secret is in it.
let logged = "usable";
function log({ availability: { kind, failure } }) {
  const state = failure?.code ?? kind;
  if ((kind !== "failed" && kind !== "usable") || state === logged) return;
  logged = state;
  if (kind === "failed") console.error(`no token (${failure.code}): ${failure.message} ${failure.action}`);
  else console.log("there is a token again");
}

// Secrets are read when the first request needs them, not when the Worker is uploaded.
const wif = problems.length > 0 ? undefined : createWif({
  configuration: {
    federation: {
      federation_rule_id: env.FEDERATION_RULE_ID,
      organization_id: env.ORGANIZATION_ID,
      service_account_id: env.SERVICE_ACCOUNT_ID || undefined,
      workspace_id: env.WORKSPACE_ID || undefined,
      identity_token: { source: "signer", key_id: "worker-1", issuer: env.ISSUER, subject: "wif-worker" },
    },
  },
  signer: signer(() =>
    crypto.subtle.importKey("jwk", JSON.parse(env.PRIVATE_KEY), { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]),
  ),
  // Isolates find each other's token in KV, where it is sealed.
  store: kvCache(env.KV, Uint8Array.from(atob(env.SEALING_KEY.trim()), (character) => character.charCodeAt(0))),
  onChange: log,
});

// What callers may ask for.
const paths = ["/v1/messages", "/v1/messages/count_tokens", "/v1/models"];
const digest = async (text) => new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));

async function isKnown(request) {
  const shown = request.headers.get("x-api-key");
  if (!shown) return false;
  const [ours, theirs] = await Promise.all([digest(env.GATEWAY_KEY.trim()), digest(shown)]);
  return ours.every((byte, index) => byte === theirs[index]);
}

export default {
  async fetch(request) {
    if (wif === undefined) return new Response(`${problems.join("\n")}\n`, { status: 500 });
    const { pathname, search } = new URL(request.url);
    if (!(await isKnown(request))) return new Response("unauthorized\n", { status: 401 });
    if (!paths.includes(pathname)) return new Response("not found\n", { status: 404 });
    try {
      return await wif.fetch(new Request(`https://api.anthropic.com${pathname}${search}`, request));
    } catch (error) {
      if (error instanceof NoTokenError) return error.toResponse();
      throw error;
    }
  },
};
