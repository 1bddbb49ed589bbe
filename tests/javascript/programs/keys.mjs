// Makes a key as a Worker's author does it once: prints both halves as JWKs.

const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
const exported = (key) => crypto.subtle.exportKey("jwk", key);
const published = {
  ...(await exported(pair.publicKey)),
  kid: "worker-1",
  alg: "ES256",
  use: "sig",
  key_ops: undefined,
  ext: undefined,
};
console.log(JSON.stringify({ private: await exported(pair.privateKey), public: published }));
