// A Worker under test. Its routes are what a test asks for; how it comes to its credential is told by its variables.

import { env } from "cloudflare:workers";
import Anthropic from "@anthropic-ai/sdk";
import { oidcFederationProvider } from "@anthropic-ai/sdk/lib/credentials/oidc-federation";
import { createWif, CredentialObject, httpCache, kvCache, NoTokenError, sharedWif, signer } from "wif-credential";

const { BASE_URL: baseURL, ADMIN_URL: adminURL, FEDERATION: federation, SHARING: sharing } = env;

/** A test moves the clock: the local runtime's does not stand still, but that is all the same here. */
let ahead = 0;
const now = Date.now.bind(Date);
Date.now = () => now() + ahead;

async function mint() {
  const response = await fetch(`${adminURL}/identity-tokens`, { method: "POST", body: "{}" });
  return (await response.json()).identity_token;
}

const identityToken = env.IDENTITY_TOKEN === undefined ? mint : () => env.IDENTITY_TOKEN;
const key = () => crypto.subtle.importKey("jwk", env.PRIVATE_KEY, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
const options = {
  configuration: { base_url: baseURL, federation },
  identityToken,
  ...(env.PRIVATE_KEY === undefined ? {} : { signer: signer(key) }),
  policy: { allowOrigins: [baseURL] },
};
const sealing = new Uint8Array(32).fill(7);

export class Credential extends CredentialObject {
  options() {
    return options;
  }
}

function make() {
  switch (sharing) {
    case "object":
      return sharedWif(env.CREDENTIAL);
    case "kv":
      return createWif({ ...options, store: kvCache(env.KV, sealing) });
    case "cache":
      return createWif({ ...options, store: httpCache(() => caches.open("wif"), sealing) });
    case "unanchored":
      return createWif({ ...options, waitUntil: () => undefined });
    default:
      return createWif(options);
  }
}

const wif = make();
const model = "claude-sonnet-5-5";
const messages = [{ role: "user", content: "Hello" }];
const message = JSON.stringify({ model, max_tokens: 64, messages });

const withFetch = new Anthropic({ authToken: "wif", baseURL, fetch: wif.fetch, maxRetries: 0 });
const withMiddleware = new Anthropic({ authToken: "wif", baseURL, middleware: [wif.middleware], maxRetries: 0 });
const withProvider = new Anthropic({ credentials: wif.credentials, baseURL, maxRetries: 0 });

/** The SDK by itself, as it is used at module scope. */
const alone = new Anthropic({
  baseURL,
  maxRetries: 0,
  credentials: oidcFederationProvider({
    identityTokenProvider: mint,
    federationRuleId: federation.federation_rule_id,
    organizationId: federation.organization_id,
    serviceAccountId: federation.service_account_id,
    workspaceId: federation.workspace_id,
    baseURL,
    fetch: (input, init) => fetch(input, init),
  }),
});

async function say(client) {
  const answer = await client.messages.create({ model, max_tokens: 64, messages });
  return Response.json({ text: answer.content[0].text });
}

const routes = {
  async "/message"() {
    const headers = {
      "content-type": "application/json",
      "anthropic-version": "2023-06-01",
      "x-api-key": "the caller's own",
    };
    return wif.fetch(`${baseURL}/v1/messages`, { method: "POST", headers, body: message });
  },
  async "/request"(request) {
    const headers = { "content-type": "application/json", "anthropic-version": "2023-06-01" };
    return wif.fetch(new Request(`${baseURL}/v1/messages`, { method: "POST", headers, body: request.body }));
  },
  async "/stream"() {
    const body = JSON.stringify({ model, max_tokens: 64, messages, stream: true });
    return wif.fetch(`${baseURL}/v1/messages`, {
      method: "POST",
      headers: { "content-type": "application/json", "anthropic-version": "2023-06-01" },
      body,
    });
  },
  async "/token"() {
    return Response.json(await wif.token());
  },
  async "/status"() {
    return Response.json(await wif.status());
  },
  "/sdk": () => say(withFetch),
  "/sdk-middleware": () => say(withMiddleware),
  "/sdk-provider": () => say(withProvider),
  "/sdk-alone": () => say(alone),
  async "/advance"(request) {
    // The object runs in the same isolate here.
    ahead += Number(await request.text());
    return new Response();
  },
  async "/cached"() {
    const { keys } = await env.KV.list();
    const texts = await Promise.all(keys.map(({ name }) => env.KV.get(name)));
    return Response.json(texts.map((text) => ({ text, decoded: atob(text) })));
  },
};

export default {
  async fetch(request) {
    try {
      return await routes[new URL(request.url).pathname](request);
    } catch (error) {
      const shown = { error: error.name, message: error.message, stack: String(error.stack), json: JSON.stringify(error) };
      if (error instanceof NoTokenError) return Response.json({ ...shown, code: error.code }, error.toResponse());
      return Response.json(shown, { status: 500 });
    }
  },
};
