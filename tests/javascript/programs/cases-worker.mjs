// The cases that every host runs, in a Worker: its variables have the documents, and it answers with what came of each.

import { env } from "cloudflare:workers";
import { createWif, NoTokenError } from "wif-credential";
import { callerCases, requestCases, stoppedClock } from "./cases.mjs";

const run = {
  requests() {
    let ahead = 0;
    const now = Date.now.bind(Date);
    Date.now = () => now() + ahead;
    const advance = (milliseconds) => void (ahead += milliseconds);
    return requestCases(env.DOCUMENTS, { createWif, rules: env.RULES, advance });
  },
  callers: () => callerCases(env.DOCUMENTS, { createWif, NoTokenError, clock: stoppedClock() }),
};

export default {
  fetch: async () => Response.json(await run[env.WHAT]()),
};
