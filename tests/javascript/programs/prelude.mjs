// Leads a program that is meant for the real API to the emulator, and gives it the platforms' functions for identity tokens.
//
// What it needs stands in the environment, or where there is none in `PRELUDE`: EMULATOR, ADMIN, RULE and ORGANIZATION.

const { EMULATOR, ADMIN, RULE, ORGANIZATION } = globalThis.PRELUDE ?? process.env;
const plain = globalThis.fetch;
const api = "https://api.anthropic.com";

async function mint() {
  const answer = await plain(`${ADMIN}/identity-tokens`, { method: "POST", body: "{}" });
  return (await answer.json()).identity_token;
}

// The packages `@vercel/oidc` and `@deno/oidc` that examples import here ask this.
globalThis.identityTokenOfThePlatform = mint;
globalThis.fetch = async (input, init) => {
  const url = input instanceof Request ? input.url : String(input);
  if (url === "http://127.0.0.1:4180/token") {
    const exchange = {
      grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer",
      assertion: await mint(),
      federation_rule_id: RULE,
      organization_id: ORGANIZATION,
    };
    const headers = { "content-type": "application/json", "anthropic-beta": "oauth-2025-04-20,oidc-federation-2026-04-01" };
    return plain(`${EMULATOR}/v1/oauth/token`, { method: "POST", headers, body: JSON.stringify(exchange) });
  }
  if (!url.startsWith(`${api}/`)) throw new TypeError(`it goes to ${url}`);
  const there = EMULATOR + url.slice(api.length);
  return plain(input instanceof Request ? new Request(there, input) : there, init);
};
