// The least that a program can do with the package.

import { createWif } from "wif-credential";

const wif = createWif({ configuration: { bearer: { source: "callable" } }, accessToken: () => "canary" });

export default { fetch: (request) => wif.fetch(request) };
