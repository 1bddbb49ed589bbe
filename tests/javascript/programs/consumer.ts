// What programs write, checked by the compiler: never run.

import Anthropic from "@anthropic-ai/sdk";
import {
  type AccessTokenProvider,
  type Change,
  ConfigurationError,
  createWif,
  type Credential,
  memoryStore,
  NoTokenError,
  type Options,
  signer,
  type Status,
  type Token,
} from "wif-credential";

const options: Options = {
  configuration: {
    federation: {
      federation_rule_id: "fdrl_01a",
      organization_id: "de97a8b3-e3fb-4c22-9efa-0ff43df99222",
      identity_token: { source: "callable", freshness: "minted" },
    },
  },
  identityToken: async ({ audience }) => audience,
  accessToken: { default: ({ rejected }) => ({ token: rejected ?? "", expiresAtMs: Date.now() }) },
  signer: signer({} as CryptoKey),
  store: memoryStore(),
  policy: { allowOrigins: ["https://proxy.example"], callableTimeoutMs: 1000 },
  start: "lost",
  keepJournal: (journal: string) => void journal,
  onChange: ({ availability, notes, leftOut }: Change) => {
    if (availability.kind === "usable")
      console.log(
        availability.id,
        leftOut,
        notes.map(({ code }) => code),
      );
  },
};
const wif: Credential = createWif(options);
const provider: AccessTokenProvider = wif.credentials;

export const clients = [
  new Anthropic({ authToken: "wif", middleware: [wif.middleware] }),
  new Anthropic({ authToken: "wif", fetch: wif.fetch }),
  new Anthropic({ credentials: provider }),
];

export async function use(): Promise<string | undefined> {
  try {
    const token: Token = await wif.token({ waitAtMostMs: 1000, signal: AbortSignal.timeout(1000) });
    const headers = new Headers();
    token.apply(headers);
    const status: Status = await wif.status();
    const left: number | undefined = status.token?.unusableInMs;
    return token.isFor("https://api.anthropic.com") ? token.revealAuthorization() : String(left);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.field;
    if (error instanceof NoTokenError) return `${error.code} ${error.retryAfterSeconds}`;
    throw error;
  } finally {
    wif.close();
  }
}

// @ts-expect-error: what the secret is made of is not for programs.
export const parts = wif.token().then((token) => token.parts);
// @ts-expect-error: an option that is not known.
createWif({ audience: "x" });
// @ts-expect-error: a callable gives a string.
createWif({ identityToken: () => 1 });
