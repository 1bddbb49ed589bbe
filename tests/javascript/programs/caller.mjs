// A Worker that calls the one under test, or its `twin`, and hangs up when it is told to: `after` milliseconds after the
// beginning.

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const after = url.searchParams.get("after");
    const hangUp = new AbortController();
    if (after !== null) setTimeout(() => hangUp.abort(), Number(after));
    try {
      const inner = new Request(`http://worker${url.pathname}${url.search}`, request);
      const worker = url.searchParams.has("twin") ? env.TWIN : env.WORKER;
      const response = await worker.fetch(inner, { signal: hangUp.signal });
      return response;
    } catch (error) {
      if (hangUp.signal.aborted) return new Response("hung up", { status: 499 });
      return Response.json({ error: error.name, message: error.message }, { status: 500 });
    }
  },
};
