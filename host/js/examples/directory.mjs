import { createWif, directoryStore } from "wif-credential";

// A directory that only this program's user can write to. It is made if it is not there.
const store = directoryStore(`${process.env.STATE_DIRECTORY ?? "."}/wif`);
const wif = createWif({ store });

const answer = await wif.fetch("https://api.anthropic.com/v1/models", { headers: { "anthropic-version": "2023-06-01" } });
console.log(answer.status);
