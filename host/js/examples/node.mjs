import Anthropic from "@anthropic-ai/sdk";
import { createWif } from "wif-credential";

// What is configured is discovered as the vendor's clients do it; the first exchange begins here.
const wif = createWif();
const client = new Anthropic({ authToken: "wif", middleware: [wif.middleware] });

const answer = await client.messages.create({
  model: "claude-sonnet-5-5",
  max_tokens: 64,
  messages: [{ role: "user", content: "Hello" }],
});
console.log(answer.content[0].text);
