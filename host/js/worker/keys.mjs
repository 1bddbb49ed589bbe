// Makes what is secret, in the folder `keys`, and the public half for the Console: node keys.mjs [folder]

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2] ?? "keys";
const { subtle } = globalThis.crypto;

const random = (bytes) => Buffer.from(crypto.getRandomValues(new Uint8Array(bytes)));
const pair = await subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
const privateKey = await subtle.exportKey("jwk", pair.privateKey);
const { kty, crv, x, y } = await subtle.exportKey("jwk", pair.publicKey);
const jwks = { keys: [{ kty, crv, x, y, kid: "worker-1", alg: "ES256", use: "sig" }] };

mkdirSync(folder, { recursive: true, mode: 0o700 });
// Keys that are in use are not written over: `wx` fails where there is a file.
const write = (name, text, mode) => writeFileSync(join(folder, name), `${text}\n`, { flag: "wx", mode });
write("PRIVATE_KEY", JSON.stringify(privateKey), 0o600);
write("SEALING_KEY", random(32).toString("base64"), 0o600);
write("GATEWAY_KEY", random(32).toString("base64url"), 0o600);
write("jwks.json", JSON.stringify(jwks, undefined, 2), 0o644);

console.log(`${folder}/PRIVATE_KEY, SEALING_KEY, GATEWAY_KEY: secrets of the Worker
${folder}/jwks.json: for the federation issuer in the Console`);
