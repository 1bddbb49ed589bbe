import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { createWif } from "wif-credential";

// The journal holds the access token: a directory that only this program reads.
const path = `${process.env.STATE_DIRECTORY ?? "."}/wif-journal`;
const read = () => {
  try {
    return { journal: readFileSync(path, "utf8") };
  } catch {
    return "fresh";
  }
};
const keepJournal = (journal) => {
  writeFileSync(`${path}.new`, journal, { mode: 0o600 });
  renameSync(`${path}.new`, path);
};
const wif = createWif({ start: read(), keepJournal });

const answer = await wif.fetch("https://api.anthropic.com/v1/models", { headers: { "anthropic-version": "2023-06-01" } });
console.log(answer.status);
