// What a Worker's author writes, checked by the compiler: never run.

import {
  createWif,
  CredentialObject,
  type Credential,
  httpCache,
  kvCache,
  type ObjectOptions,
  sharedWif,
} from "wif-credential/workers";

interface Environment {
  CREDENTIAL: DurableObjectNamespace;
  KV: KVNamespace;
  KEY: Uint8Array;
  IDENTITY_TOKEN: string;
}

export class Shared extends CredentialObject<Environment> {
  protected override options(): ObjectOptions {
    return { configuration: {}, identityToken: () => this.env.IDENTITY_TOKEN };
  }
}

export function make(env: Environment): Credential[] {
  return [
    sharedWif(env.CREDENTIAL, { name: "one", origin: "https://api.anthropic.com" }),
    createWif({ store: kvCache(env.KV, env.KEY), waitUntil: (work) => void work }),
    createWif({ store: httpCache(() => caches.open("wif"), env.KEY) }),
  ];
}

export default {
  async fetch(request, env): Promise<Response> {
    return make(env)[0]!.fetch(request);
  },
} satisfies ExportedHandler<Environment>;

// @ts-expect-error: where a credential in an object begins is the object's own affair.
export const options: ObjectOptions = { start: "lost" };
