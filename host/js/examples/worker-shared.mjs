import { env } from "cloudflare:workers";
import { CredentialObject, NoTokenError, sharedWif } from "wif-credential";

// The session lives in a Durable Object, with its journal: an identity token that can be exchanged once is exchanged once,
// whatever the isolates do.
export class Credential extends CredentialObject {
  options() {
    return {
      configuration: {
        federation: {
          federation_rule_id: this.env.FEDERATION_RULE_ID,
          organization_id: this.env.ORGANIZATION_ID,
          identity_token: { source: "callable", freshness: "shared" },
        },
      },
      // Somebody rotates it: a cron job that writes it to KV, say.
      identityToken: async () => (await this.env.KV.get("identity-token")) ?? "",
    };
  }
}

const wif = sharedWif(env.CREDENTIAL, { origin: "https://api.anthropic.com" });

export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    try {
      // A gateway: whatever credential the caller sent is taken off.
      return await wif.fetch(new Request(`https://api.anthropic.com${pathname}`, request));
    } catch (error) {
      if (error instanceof NoTokenError) return error.toResponse();
      throw error;
    }
  },
};
