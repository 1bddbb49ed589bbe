// What the embedding program supplies: identity tokens, access tokens, signatures.

/** Asked for an identity token. */
export interface IdentityTokenRequest {
  /** The audience (`aud`) that the identity token must carry. */
  readonly audience: string;
}

/** Supplies an identity token: a JWT. Runs in the request that needs it. */
export type IdentityTokenCallable = (request: IdentityTokenRequest) => string | Promise<string>;

/** Asked for an access token. */
export interface AccessTokenRequest {
  /** The id of the token that the API rejected, where that is why a new one is wanted: answer from no cache. */
  readonly rejected?: string | undefined;
}

/** An access token that the program has. */
export interface SuppliedToken {
  /** The token. */
  readonly token: string;
  /**
   * When it expires, in milliseconds since 1970. Without it the token's own `exp` is taken where it is a JWT; with neither the
   * token serves the callers that were waiting for it, and the next caller asks again.
   */
  readonly expiresAtMs?: number | undefined;
}

/** Supplies the access token itself. A plain string says nothing about its expiry. Runs in the request that needs it. */
export type AccessTokenCallable = (request: AccessTokenRequest) => string | SuppliedToken | Promise<string | SuppliedToken>;

/** Asked for a signature. */
export interface SignRequest {
  /** The JWS algorithm (RFC 7518 section 3.1), such as `ES256`. Sign with no other. */
  readonly algorithm: string;
  /** The JWS signing input: ASCII. */
  readonly input: string;
}

/** Signs with a key that stays with the program; gives the JWS signature's bytes. `signer` makes one from a `CryptoKey`. */
export type Signer = (request: SignRequest) => Uint8Array | Promise<Uint8Array>;

/** One callable, named `default`, or several by the names that the configuration uses. */
export type Named<Callable> = Callable | Readonly<Record<string, Callable>>;

/** All of a kind by their names. */
export function named<Callable extends (...arguments_: never[]) => unknown>(
  given: Named<Callable> | undefined,
): ReadonlyMap<string, Callable> {
  if (given === undefined) return new Map();
  return new Map(typeof given === "function" ? [["default", given]] : Object.entries(given));
}
