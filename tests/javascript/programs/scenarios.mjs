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

/** None takes as long: what hangs has failed, in milliseconds. */
const LONGEST_MS = 40_000;

export async function finish() {
  for (const [name, run] of scenarios) {
    let reason = null;
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("it hangs")), LONGEST_MS);
    });
    try {
      await Promise.race([run(), late]);
    } catch (error) {
      reason = String(error.stack);
    } finally {
      clearTimeout(timer);
    }
    console.log(JSON.stringify({ name, reason }));
  }
  process.exit(0);
}
