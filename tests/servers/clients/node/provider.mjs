// An OpenID provider that others wrote and certified, with three clients. Its argument is their configuration in JSON: the secret,
// and the public key. Prints its issuer.

import { createServer } from "node:http";
import Provider from "oidc-provider";

const { secret, jwk } = JSON.parse(process.argv.at(-1));
const server = createServer();
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
const client = (id, method, more) => ({
  client_id: id,
  token_endpoint_auth_method: method,
  grant_types: ["client_credentials"],
  redirect_uris: [],
  response_types: [],
  scope: "claude",
  ...more,
});
const provider = new Provider(issuer, {
  clients: [
    client("by:header", "client_secret_basic", { client_secret: secret }),
    client("by-body", "client_secret_post", { client_secret: secret }),
    client("by-key", "private_key_jwt", { jwks: { keys: [jwk] }, token_endpoint_auth_signing_alg: "ES256" }),
  ],
  scopes: ["claude"],
  clientAuthMethods: ["client_secret_basic", "client_secret_post", "private_key_jwt"],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => ({ scope: "claude", audience: resource, accessTokenFormat: "jwt", accessTokenTTL: 300 }),
    },
  },
});
provider.on("server_error", (_, error) => console.error(error));
provider.on("grant.error", (_, error) => console.error(error.message, error.error_description, error.error_detail));
server.on("request", provider.callback());
console.log(issuer);
