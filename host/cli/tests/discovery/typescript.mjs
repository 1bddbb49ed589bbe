// What the vendor's TypeScript SDK makes of environments: one of each line of the input, a line of JSON each.
//
// Nothing leaves: each request is answered here, and told.

import { createInterface } from "node:readline";
import Anthropic from "@anthropic-ai/sdk";

let sent = [];
globalThis.fetch = async (url, init) => {
  const headers = new Headers(init?.headers);
  const named = ["authorization", "x-api-key", "anthropic-workspace-id"];
  const told = { url: String(url), headers: Object.fromEntries(named.map((name) => [name, headers.get(name)])) };
  if (String(url).endsWith("/oauth/token")) {
    sent.push({ ...told, body: JSON.parse(init.body) });
    return Response.json({ access_token: "sk-ant-oat01-exchanged", token_type: "Bearer", expires_in: 3600 });
  }
  sent.push(told);
  const usage = { input_tokens: 1, output_tokens: 1 };
  const content = [{ type: "text", text: "x" }];
  return Response.json({ id: "msg_1", type: "message", role: "assistant", model: "m", content, stop_reason: "end_turn", usage });
};
console.warn = console.error = () => {};

for await (const line of createInterface({ input: process.stdin })) {
  const place = JSON.parse(line);
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, place.variables);
  process.chdir(place.directory);
  sent = [];
  let error = null;
  try {
    const client = new Anthropic({ maxRetries: 0 });
    await client.messages.create({ model: "m", max_tokens: 1, messages: [{ role: "user", content: "x" }] });
  } catch (caught) {
    error = `${caught.constructor.name}: ${caught.message}`.slice(0, 200);
  }
  process.stdout.write(`${JSON.stringify({ sent, error })}\n`);
}
