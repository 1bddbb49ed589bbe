// The component: each session has an instance of its own, for a trap ends the instance.

import type { Open } from "./contract.js";
import { instantiate } from "./plugin/plugin.js";

/** Gives one of the component's core modules, compiled. */
export type Modules = (name: string) => WebAssembly.Module;

/** Opens sessions of the component that this package was built from. */
export function open(modules: Modules): Open {
  return (configuration, seed, can, from) => instantiate(modules, {}).session.Session.open(configuration, seed, can, from);
}
