// The vendor's TypeScript SDK, as a program that reads requests from its input and answers a line of JSON for each.
//
// It is told nothing but its environment: how it comes to its credential is its own affair.

import { createInterface } from "node:readline";
import Anthropic from "@anthropic-ai/sdk";

const model = "claude-sonnet-5-5";
const messages = [{ role: "user", content: "Hello" }];

const requests = {
  async message(client) {
    return (await client.messages.create({ model, max_tokens: 64, messages })).content[0].text;
  },
  async stream(client) {
    const events = client.messages.stream({ model, max_tokens: 64, messages });
    const pieces = [];
    events.on("text", (piece) => pieces.push(piece));
    const text = await events.finalText();
    if (pieces.length < 2 || pieces.join("") !== text) throw new Error("nothing was streamed");
    return text;
  },
  async "count-tokens"(client) {
    return (await client.messages.countTokens({ model, messages })).input_tokens;
  },
  async models(client) {
    const ids = [];
    for await (const known of client.models.list()) ids.push(known.id);
    return ids;
  },
};

let client;
for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    client ??= new Anthropic({ maxRetries: 1 });
    answer = { ok: await requests[line.trim()](client) };
  } catch (error) {
    answer = {
      error: error.constructor.name,
      status: error.status ?? error.statusCode ?? null,
      request_id: error.requestID ?? error.requestId ?? null,
      message: error.message,
    };
  }
  console.log(JSON.stringify(answer));
}
