import { createWif } from "wif-credential";

// The access token itself comes from elsewhere in the program: any JavaScript, where the SDK takes a string alone.
const wif = createWif({
  configuration: { bearer: { source: "callable" } },
  accessToken: async ({ rejected }) => {
    const answer = await fetch("http://127.0.0.1:4180/token", { headers: rejected ? { "cache-control": "no-cache" } : {} });
    const { access_token: token, expires_in: seconds } = await answer.json();
    return { token, expiresAtMs: Date.now() + seconds * 1000 };
  },
});

const answer = await wif.fetch("https://api.anthropic.com/v1/models", { headers: { "anthropic-version": "2023-06-01" } });
console.log(answer.status);
