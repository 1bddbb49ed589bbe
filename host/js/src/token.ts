// The credential of one request.

import type { Standing } from "./contract.js";
import { carry, type Field, union } from "./fields.js";

/** What a token is made of. Holds the secret. */
export interface Parts {
  readonly id: string;
  readonly origin: string;
  readonly standing: Standing;
  readonly set: readonly Field[];
  readonly merge: readonly Field[];
}

let parts: (token: Token) => Parts;

/** An access token, as headers for requests to one origin. Shows no secret when it is printed or serialised. */
export class Token {
  /** The first 16 hexadecimal digits of SHA-256 of the token. Safe to log, and what `rejected` takes. */
  readonly id: string;
  /** The only origin that this token may go to, such as `https://api.anthropic.com`. */
  readonly origin: string;
  /** `suspect` once the API has rejected it: served where none better can be had. */
  readonly standing: Standing;
  readonly #parts: Parts;

  static {
    parts = (token) => token.#parts;
  }

  /** @internal */
  constructor(made: Parts) {
    this.id = made.id;
    this.origin = made.origin;
    this.standing = made.standing;
    this.#parts = { ...made, merge: made.merge.map(([name, value]) => [name, union("", value)]) };
  }

  /** Whether a request to this URL goes to the token's origin: scheme, host and port, as parsed. */
  isFor(url: string | URL): boolean {
    return originOf(url) === this.origin;
  }

  /**
   * Puts the credential on a request to `origin`: takes off every form of the caller's own, sets ours, and merges the rest.
   * Doing it twice is the same as doing it once.
   *
   * Taken off are the headers that `wit/rules.json` lists, with `-` or `_`: `authorization`, `x-api-key`, `cookie` and others,
   * and `anthropic-workspace-id`, for the workspace is the credential's and not the caller's. A `connection` header that names one of these, or one of ours, no longer does.
   */
  apply(headers: Headers): void {
    carry(headers, this.#parts.set, this.#parts.merge);
  }

  /** Secret: `Bearer` and the token, for clients that take no headers. None where the credential is no bearer token. */
  revealAuthorization(): string | undefined {
    return this.#parts.set.find(([name]) => name === "authorization")?.[1];
  }
}

/** Secret: everything in it. */
export function revealParts(token: Token): Parts {
  return parts(token);
}

/** The origin of a URL of `http` or `https`; undefined for everything else. */
export function originOf(url: string | URL): string | undefined {
  try {
    const { protocol, origin } = new URL(url);
    return protocol === "https:" || protocol === "http:" ? origin : undefined;
  } catch {
    return undefined;
  }
}
