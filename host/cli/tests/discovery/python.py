"""What the vendor's Python SDK makes of environments: one of each line of the input, a line of JSON each.

Nothing leaves: each request is answered here, and told.
"""

import json
import os
import ssl
import sys
import warnings

import httpx2

# Loading the roots takes longer than everything else, and nothing here is encrypted.
ssl.create_default_context = lambda *_, **__: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ssl.SSLContext.load_verify_locations = lambda *_, **__: None

import anthropic  # noqa: E402
import logging  # noqa: E402

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")

SENT = []


def answer(self, request):
    request.read()
    body = json.loads(request.content or b"{}")
    told = {
        "url": str(request.url),
        "headers": {name: request.headers.get(name) for name in ("authorization", "x-api-key", "anthropic-workspace-id")},
    }
    if request.url.path.endswith("/oauth/token"):
        SENT.append(told | {"body": body})
        content = {"access_token": "sk-ant-oat01-exchanged", "token_type": "Bearer", "expires_in": 3600}
    else:
        SENT.append(told)
        content = {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "x"}],
            "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
        }
    return httpx2.Response(200, json=content, request=request)


httpx2.HTTPTransport.handle_request = answer

for line in sys.stdin:
    place = json.loads(line)
    os.environ.clear()
    os.environ.update(place["variables"])
    os.chdir(place["directory"])
    SENT.clear()
    error = None
    try:
        client = anthropic.Anthropic(max_retries=0)
        client.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}])
    except Exception as caught:  # whatever it is, the test decides
        error = f"{type(caught).__name__}: {caught}"[:200]
    print(json.dumps({"sent": SENT, "error": error}), flush=True)
