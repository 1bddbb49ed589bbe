// Signs with WebCrypto, for workloads on platforms that issue no identity tokens.

import type { Signer } from "./callables.js";
import { OptionError } from "./errors.js";

const HASH: Record<string, string> = { "256": "SHA-256", "384": "SHA-384", "512": "SHA-512" };
const FAMILIES: Record<string, string> = { ES: "ECDSA", RS: "RSASSA-PKCS1-v1_5", PS: "RSA-PSS" };

/**
 * A signer for the identity token source `signer`, by a private key that never leaves WebCrypto. Import the key with usage
 * `sign` and as not extractable; publish its public half as a JWKS under the issuer. The signature of any other algorithm than
 * the key's own is refused.
 */
export function signer(key: CryptoKey | Promise<CryptoKey> | (() => CryptoKey | Promise<CryptoKey>)): Signer {
  return async ({ algorithm, input }) => {
    const own = await (typeof key === "function" ? key() : key);
    const hash = HASH[algorithm.slice(2)];
    if (hash === undefined || FAMILIES[algorithm.slice(0, 2)] !== own.algorithm.name) {
      throw new OptionError(`the key is for ${own.algorithm.name}, and not for ${algorithm}`);
    }
    const parameters = { name: own.algorithm.name, hash, saltLength: Number(algorithm.slice(2)) / 8 };
    // WebCrypto's form of an ECDSA signature is the one of JWS (RFC 7518 section 3.4).
    return new Uint8Array(await crypto.subtle.sign(parameters, own, new TextEncoder().encode(input)));
  };
}
