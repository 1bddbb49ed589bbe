import { getIdToken } from "@deno/oidc"; // On Deno Deploy: deno add jsr:@deno/oidc
import { createWif } from "wif-credential";

const wif = createWif({
  configuration: {
    federation: {
      federation_rule_id: "fdrl_01example",
      organization_id: "00000000-0000-4000-8000-000000000000",
      identity_token: { source: "callable", freshness: "minted" },
    },
  },
  identityToken: ({ audience }) => getIdToken(audience),
});

const answer = await wif.fetch("https://api.anthropic.com/v1/models", { headers: { "anthropic-version": "2023-06-01" } });
console.log(answer.status);
