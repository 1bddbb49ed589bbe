// The example of an edge function, as the platform calls it.

import "./prelude.mjs";
import handler from "../examples/edge.mjs";

addEventListener("fetch", (event) => event.respondWith(handler(event.request)));
