// Where sessions of one identity meet, so that they make fewer exchanges between them, or one.

/** A value in a store, with the version that a later swap compares. */
export interface Entry {
  /** Changes with every write; compared for equality only. */
  readonly version: string;
  /** Secret: it holds the access token. */
  readonly value: string;
}

/** How a swap ended: the new version, or the entry that is there instead of the expected one, if any. */
export type Swapped =
  { readonly done: true; readonly version: string } | { readonly done: false; readonly entry: Entry | undefined };

/**
 * A store that credentials share. Whoever can read it can use the access token, and whoever can write it can make every
 * credential that shares it use a token of theirs.
 */
export interface Store {
  /**
   * Whether `swap` really compares, as one operation, whoever else writes. A store that does not is a cache: it saves
   * exchanges, and is refused for identity tokens that are shared and can be exchanged once.
   */
  readonly compares: boolean;
  /** Whether it is in this process's memory, which no other sees. Where isolates come and go such a store is a cache. */
  readonly local?: boolean;
  /** Loads the entry under this key. */
  load(key: string): Promise<Entry | undefined>;
  /**
   * Replaces the entry if its version is the expected one, or, where none is expected, if there is none. Nobody waits any more once the
   * signal says so: what has not been written by then should not be.
   */
  swap(key: string, expected: string | undefined, value: string, signal?: AbortSignal): Promise<Swapped>;
}

/** A store in this process, for credentials that share an identity in it. In an isolate it is a cache. */
export function memoryStore(): Store {
  const entries = new Map<string, Entry>();
  return {
    compares: true,
    local: true,
    async load(key) {
      return entries.get(key);
    },
    async swap(key, expected, value) {
      const entry = entries.get(key);
      if (entry?.version !== expected) return { done: false, entry };
      const version = String(Number(entry?.version ?? 0) + 1);
      entries.set(key, { version, value });
      return { done: true, version };
    },
  };
}

/** What a sealed cache keeps its values in: text by key, with a time to live in seconds. */
export interface Texts {
  get(key: string): Promise<string | null | undefined>;
  put(key: string, text: string, lifetimeS: number): Promise<void>;
}

/** Entries are forgotten after a day without a write; they are worthless once their token has expired. */
const LIFETIME_S = 86_400;
const IV_BYTES = 12;

/**
 * A cache whose entries are sealed with AES-GCM, bound to their key: whoever reads the place where they rest learns nothing,
 * and what somebody else wrote there counts as none. `key` is 32 random bytes, the same wherever the cache is shared.
 */
export function sealedCache(texts: Texts, key: Uint8Array): Store {
  if (key.byteLength !== 32) throw new TypeError("the key of a sealed cache is 32 bytes long");
  // A copy: what the program does with its bytes later is its own affair.
  const bytes = Uint8Array.from(key);
  const imported = () => crypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
  const additional = (name: string) => new TextEncoder().encode(`wif:credential/entry ${name}`);
  return {
    compares: false,
    async load(name) {
      const text = await texts.get(name);
      const sealed = typeof text === "string" ? fromBase64(text) : undefined;
      if (sealed === undefined || sealed.length <= IV_BYTES) return undefined;
      const parameters = { name: "AES-GCM", iv: sealed.slice(0, IV_BYTES), additionalData: additional(name) };
      try {
        const value = await crypto.subtle.decrypt(parameters, await imported(), sealed.slice(IV_BYTES));
        return { version: toBase64(sealed.slice(0, IV_BYTES)), value: new TextDecoder().decode(value) };
      } catch {
        // Not ours, or of an earlier key.
        return undefined;
      }
    },
    async swap(name, _expected, value) {
      const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
      const parameters = { name: "AES-GCM", iv, additionalData: additional(name) };
      const sealed = await crypto.subtle.encrypt(parameters, await imported(), new TextEncoder().encode(value));
      await texts.put(name, toBase64(concat(iv, new Uint8Array(sealed))), LIFETIME_S);
      return { done: true, version: toBase64(iv) };
    },
  };
}

/** What is used of a Workers KV namespace. */
export interface KvNamespace {
  get(key: string): Promise<string | null>;
  put(key: string, value: string, options?: { expirationTtl?: number }): Promise<void>;
}

/** Workers KV as a sealed cache. It is eventually consistent: an isolate elsewhere may exchange once more. */
export function kvCache(namespace: KvNamespace, key: Uint8Array): Store {
  return sealedCache(
    {
      get: (name) => namespace.get(name),
      put: (name, text, lifetimeS) => namespace.put(name, text, { expirationTtl: lifetimeS }),
    },
    key,
  );
}

/** What is used of the Cache API. */
export interface HttpCache {
  match(url: string): Promise<Response | undefined>;
  put(url: string, response: Response): Promise<void>;
}

/** The Cache API as a sealed cache: one for each place where the Worker runs. `open` gives the cache, in each request anew. */
export function httpCache(open: () => HttpCache | Promise<HttpCache>, key: Uint8Array): Store {
  const url = (name: string) => `https://wif.invalid/${encodeURIComponent(name)}`;
  return sealedCache(
    {
      get: async (name) => (await (await open()).match(url(name)))?.text(),
      put: async (name, text, lifetimeS) => {
        const headers = { "cache-control": `max-age=${lifetimeS}` };
        await (await open()).put(url(name), new Response(text, { headers }));
      },
    },
    key,
  );
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** Undefined for what is no base64. */
function fromBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}
