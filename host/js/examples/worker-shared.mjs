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

// A gateway puts the credential on all that it lets through: it has to know its callers, and what they may ask for. Callers show
// the gateway's own key where the SDK puts an API key.
const paths = ["/v1/messages", "/v1/messages/count_tokens", "/v1/models"];
const digest = async (text) => new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));

async function isKnown(request) {
  const shown = request.headers.get("x-api-key");
  if (!shown || !env.GATEWAY_KEY) return false;
  const [ours, theirs] = await Promise.all([digest(env.GATEWAY_KEY), digest(shown)]);
  return ours.every((byte, index) => byte === theirs[index]);
}

export default {
  async fetch(request) {
    const { pathname, search } = new URL(request.url);
    if (!(await isKnown(request))) return new Response("unauthorized", { status: 401 });
    if (!paths.includes(pathname)) return new Response("not found", { status: 404 });
    try {
      // Whatever credential the caller sent is taken off.
      return await wif.fetch(new Request(`https://api.anthropic.com${pathname}${search}`, request));
    } catch (error) {
      if (error instanceof NoTokenError) return error.toResponse();
      throw error;
    }
  },
};
