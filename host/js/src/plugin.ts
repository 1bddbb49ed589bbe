// The component: each session has an instance of its own, for a trap ends the instance.

import type { Open } from "./contract.js";
import { instantiate } from "./plugin/plugin.js";

/** Gives one of the component's core modules, compiled. */
export type Modules = (name: string) => WebAssembly.Module;

/** A session that has grown beyond this is not itself, in bytes. */
const MEMORY_LIMIT_BYTES = 8 << 20;

/** Opens sessions of the component that this package was built from. */
export function open(modules: Modules): Open {
  return (configuration, seed, can, from) => {
    let memory: WebAssembly.Memory | undefined;
    const { session } = instantiate(modules, {}, (module, imports) => {
      const instance = new WebAssembly.Instance(module, imports);
      if (instance.exports["memory"] instanceof WebAssembly.Memory) memory = instance.exports["memory"];
      return instance;
    });
    const opened = session.Session.open(configuration, seed, can, from);
    return {
      step(now, event) {
        const output = opened.step(now, event);
        if (memory !== undefined && memory.buffer.byteLength > MEMORY_LIMIT_BYTES) {
          throw new WebAssembly.RuntimeError("it has taken too much memory");
        }
        return output;
      },
      entryKey: () => opened.entryKey(),
      status: (now) => opened.status(now),
    };
  };
}
