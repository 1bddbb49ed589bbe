import { getVercelOidcToken } from "@vercel/oidc"; // 3.8 or later, which knows skipCache
import { createWif } from "wif-credential";

// On Vercel the identity token belongs to the request, and is asked for in it. Without a `jti` of its own and `skipCache` the
// function gives the same token again, which can be exchanged once.
const wif = createWif({
  configuration: {
    federation: {
      federation_rule_id: process.env.ANTHROPIC_FEDERATION_RULE_ID,
      organization_id: process.env.ANTHROPIC_ORGANIZATION_ID,
      identity_token: { source: "callable", freshness: "minted" },
    },
  },
  identityToken: ({ audience }) => getVercelOidcToken({ audience, jti: crypto.randomUUID(), skipCache: true }),
});

export default async function handler() {
  const headers = { "content-type": "application/json", "anthropic-version": "2023-06-01" };
  const messages = [{ role: "user", content: "Hello" }];
  const body = JSON.stringify({ model: "claude-sonnet-5-5", max_tokens: 64, messages });
  return wif.fetch("https://api.anthropic.com/v1/messages", { method: "POST", headers, body });
}
