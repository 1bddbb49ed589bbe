// GitHub's own client for actions: prints the identity token that it got.

import { getIDToken } from "@actions/core";

console.log(await getIDToken("https://api.anthropic.com"));
