// Measures in workerd: answers nanoseconds by name, a list of samples each. The clock there counts milliseconds.

import { createWif } from "wif-credential";
import { modules } from "../node_modules/wif-credential/dist/modules/plugin/workers.js";
import { measure, options } from "./measured.mjs";

export default {
  async fetch() {
    const samples = await measure({ createWif, modules, clock: () => Date.now(), batches: 11, calls: 100_000, steps: 5_000 });
    const start = Date.now();
    const times = 50;
    for (let at = 0; at < times; at += 1) createWif(options).current();
    samples.opened = [((Date.now() - start) / times) * 1e6];
    return Response.json(samples);
  },
};
