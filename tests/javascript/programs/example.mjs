// Runs an example with the prelude: node example.mjs <name>

import "./prelude.mjs";

await import(`../examples/${process.argv.at(-1)}`);
