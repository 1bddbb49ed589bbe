// A list of scenarios by name. Prints a line of JSON for each: its name, and why it failed, or null.

const scenarios = [];

/** A test moves the clock of everything in this process. */
let ahead = 0;
const now = Date.now.bind(Date);
Date.now = () => now() + ahead;

export function advance(milliseconds) {
  ahead += milliseconds;
}

export function scenario(name, run) {
  scenarios.push([name, run]);
}

export async function finish() {
  for (const [name, run] of scenarios) {
    let reason = null;
    try {
      await run();
    } catch (error) {
      reason = String(error.stack);
    }
    console.log(JSON.stringify({ name, reason }));
  }
  process.exit(0);
}
