// Measures in workerd: answers nanoseconds by name, a list of samples each. The clock there counts milliseconds.

import { createWif } from "wif-credential";
import core from "../node_modules/wif-credential/dist/plugin/plugin.core.wasm";
import core2 from "../node_modules/wif-credential/dist/plugin/plugin.core2.wasm";
import core3 from "../node_modules/wif-credential/dist/plugin/plugin.core3.wasm";
import { measure, options } from "./measured.mjs";

const table = { "plugin.core.wasm": core, "plugin.core2.wasm": core2, "plugin.core3.wasm": core3 };
const modules = (name) => table[name];

export default {
  async fetch() {
    const samples = await measure({
      createWif,
      modules,
      clock: () => Date.now(),
      batches: 11,
      calls: 100_000,
      steps: 5_000,
    });
    const start = Date.now();
    const times = 50;
    for (let at = 0; at < times; at += 1) createWif(options).current();
    samples.opened = [((Date.now() - start) / times) * 1e6];
    return Response.json(samples);
  },
};
