// An edge function with a credential.

import { createWif } from "wif-credential";

const { options, baseURL, adminURL } = globalThis.OPTIONS;
const identityToken = async () => {
  const response = await fetch(`${adminURL}/identity-tokens`, { method: "POST", body: "{}" });
  return (await response.json()).identity_token;
};
const wif = createWif({ ...options, identityToken });
const body = JSON.stringify({ model: "claude-sonnet-5-5", max_tokens: 64, messages: [{ role: "user", content: "Hello" }] });
const headers = { "content-type": "application/json", "anthropic-version": "2023-06-01" };

addEventListener("fetch", (event) =>
  event.respondWith(
    (async () => {
      const ask = () => wif.fetch(`${baseURL}/v1/messages`, { method: "POST", headers, body });
      const answers = await Promise.all(Array.from({ length: 10 }, ask));
      return Response.json({ statuses: [...new Set(answers.map(({ status }) => status))] });
    })(),
  ),
);
