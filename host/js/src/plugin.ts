// The component: each session has an instance of its own, for a trap ends the instance.

import type { Open } from "./contract.js";
import { MAX_INSTRUCTIONS } from "./limits.js";
import { instantiate } from "./plugin/plugin.js";

/** Gives one of the component's core modules, compiled. */
export type Modules = (name: string) => WebAssembly.Module;

/** Opens sessions of the component that this package was built from. */
export function open(modules: Modules): Open {
  return (configuration, seed, can, from) => {
    const counter = new Counter();
    const root = instantiate(modules, {}, (module, imports) => counter.watch(new WebAssembly.Instance(module, imports)));
    const session = counter.bounded(() => root.session.Session.open(configuration, seed, can, from));
    return {
      step: (now, event) => counter.bounded(() => session.step(now, event)),
      entryKey: () => counter.bounded(() => session.entryKey()),
      status: (now) => counter.bounded(() => session.status(now)),
    };
  };
}

/**
 * What an instance may still do, where its modules count that themselves: `build.mjs` makes them so where no platform ends a program
 * that goes on for ever, and JavaScript cannot.
 */
class Counter {
  readonly #left: WebAssembly.Global[] = [];

  watch(instance: WebAssembly.Instance): WebAssembly.Instance {
    const left = instance.exports["instructions-left"];
    if (left instanceof WebAssembly.Global) this.#left.push(left);
    return instance;
  }

  bounded<T>(call: () => T): T {
    for (const left of this.#left) left.value = MAX_INSTRUCTIONS;
    try {
      return call();
    } catch (error) {
      if (this.#left.every((left) => left.value >= 0)) throw error;
      throw new WebAssembly.RuntimeError(`it had not ended after ${MAX_INSTRUCTIONS} instructions`);
    }
  }
}
