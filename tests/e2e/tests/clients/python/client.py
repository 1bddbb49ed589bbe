"""The vendor's Python SDK, as a program that reads requests from its input and answers a line of JSON for each.

It is told nothing but its environment: how it comes to its credential is its own affair.
"""

import json
import sys

import anthropic

MODEL = "claude-sonnet-5-5"
MESSAGES = [{"role": "user", "content": "Hello"}]


def message(client):
    return client.messages.create(model=MODEL, max_tokens=64, messages=MESSAGES).content[0].text


def stream(client):
    with client.messages.stream(model=MODEL, max_tokens=64, messages=MESSAGES) as events:
        pieces = list(events.text_stream)
        final = events.get_final_message()
    assert len(pieces) > 1, "nothing was streamed"
    assert "".join(pieces) == final.content[0].text
    return final.content[0].text


def count_tokens(client):
    return client.messages.count_tokens(model=MODEL, messages=MESSAGES).input_tokens


def models(client):
    return [model.id for model in client.models.list()]


REQUESTS = {"message": message, "stream": stream, "count-tokens": count_tokens, "models": models}


def main():
    client = None
    for line in sys.stdin:
        try:
            client = client or anthropic.Anthropic(max_retries=1)
            answer = {"ok": REQUESTS[line.strip()](client)}
        except Exception as error:  # whatever it is, the test decides
            answer = {
                "error": type(error).__name__,
                "status": getattr(error, "status_code", None),
                "request_id": getattr(error, "request_id", None),
                "message": str(error),
            }
        print(json.dumps(answer), flush=True)


main()
