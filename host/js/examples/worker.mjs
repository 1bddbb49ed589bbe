import { env } from "cloudflare:workers";
import Anthropic from "@anthropic-ai/sdk";
import { createWif, kvCache, signer } from "wif-credential";

// A Worker has no identity of its own: it vouches for itself with a key that is one of its secrets. The public half is the
// federation issuer's JWKS.
const key = () =>
  crypto.subtle.importKey("jwk", JSON.parse(env.PRIVATE_KEY), { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
const wif = createWif({
  configuration: {
    federation: {
      federation_rule_id: env.FEDERATION_RULE_ID,
      organization_id: env.ORGANIZATION_ID,
      identity_token: { source: "signer", key_id: "worker-1", issuer: "https://worker.example", subject: "my-worker" },
    },
  },
  signer: signer(key),
  // Fewer exchanges: isolates find each other's token. The entry is sealed with 32 random bytes, another secret.
  store: kvCache(env.KV, Uint8Array.from(atob(env.SEALING_KEY), (character) => character.charCodeAt(0))),
});
const client = new Anthropic({ authToken: "wif", middleware: [wif.middleware] });

export default {
  async fetch() {
    const messages = [{ role: "user", content: "Hello" }];
    const answer = await client.messages.create({ model: "claude-sonnet-5-5", max_tokens: 64, messages });
    return new Response(answer.content[0].text);
  },
};
