"""A session in virtual time, for tests that bend its world."""

import json
import os
import unittest
from pathlib import Path

from component import Plugin
from vectors import canonical, id_of, jwt

PLUGIN = Plugin(Path(os.environ["WIF_PLUGIN"]).read_bytes())
START_MS = 1_790_000_000_000
PATH = "/var/run/secrets/anthropic/token"
FEDERATION = {"federation_rule_id": "fdrl_abc123", "organization_id": "3f2b8c1e-0000-4000-8000-1234567890ab"}
BEARER = {"bearer": {"source": "callable", "name": "cloud"}}


def federation(source="file", **more):
    """A configuration with this source of the identity token."""
    sources = {
        "file": {"source": "file", "path": PATH},
        "shared": {"source": "callable", "name": "show", "freshness": "shared"},
        "minted": {"source": "callable", "name": "mint", "freshness": "minted"},
        "signer": {"source": "signer", "algorithm": "ES256", "key_id": "k", "issuer": "https://issuer.example", "subject": "app"},
    }
    return {"federation": FEDERATION | {"identity_token": sources[source]}} | more


def identity_token(name="one", lives_s=3600, at_s=START_MS // 1000):
    claims = {"iss": "https://issuer.example", "sub": "system:serviceaccount:app:web", "aud": "https://api.anthropic.com"}
    return jwt(claims | {"iat": at_s, "exp": at_s + lives_s, "jti": name})


def answer(status, body, **headers):
    fields = [{"name": name.replace("_", "-"), "value": value} for name, value in headers.items()]
    return {"response": {"status": status, "headers": fields, "body": body if isinstance(body, str) else canonical(body)}}


def granted(token="sk-ant-oat01-first", lives_s=3600):
    return answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": lives_s}, request_id="req_1")


REFUSED = answer(401, {"type": "error", "error": {"type": "authentication_error", "message": "no"}}, request_id="req_2")


class Play:
    """One session, its clock, and all that it asked for. Whatever a test does, a trap fails it: `Stopped` is not caught."""

    def __init__(self, configuration=None, can=("read-file",), start="fresh", seed=1, now_ms=0, steady=True):
        self.configuration = federation() if configuration is None else configuration
        self.can, self.steady = list(can), steady
        self.now_ms, self.wall_ahead_ms, self.steady_ahead_ms = now_ms, 0, 0
        self.outputs, self.sent, self.journal = [], [], None
        self.open(start, seed)

    def open(self, start, seed=2):
        opening = {"configuration": json.dumps(self.configuration), "seed": seed, "can": self.can, "from": start}
        self.session, self.tasks = PLUGIN.open(opening), {}

    def clock(self):
        now = {"wall-ms": START_MS + self.now_ms + self.wall_ahead_ms}
        return now | {"steady-ms": 5000 + self.now_ms + self.steady_ahead_ms} if self.steady else now

    def step(self, event, after_ms=0):
        self.now_ms += after_ms
        output = self.session.step(self.clock(), event)
        self.outputs.append(output)
        for numbered in output["tasks"]:
            assert numbered["number"] not in self.tasks, "numbers are never used twice"
            self.tasks[numbered["number"]] = numbered["task"]
            if "send-request" in numbered["task"]:
                body = json.loads(numbered["task"]["send-request"]["body"])
                self.sent.append(json.dumps(body.get("assertion")).strip('"'))
        self.journal = output.get("journal", self.journal)
        return output

    def number(self, kind):
        """The newest task of this kind."""
        return next(number for number, task in reversed(self.tasks.items()) if kind in task)

    def finish(self, number, outcome, after_ms=0):
        return self.step({"finished": {"number": number, "outcome": outcome}}, after_ms)

    def answer(self, kind, outcome, after_ms=0):
        return self.finish(self.number(kind), outcome, after_ms)

    def reading(self):
        """The file is being read."""
        return self.step("woken")

    def sending(self, token=None):
        """The identity token is on its way."""
        self.reading()
        return self.answer("read-file", {"content": token or identity_token()})

    def serving_by(self, answer):
        """The token endpoint has answered."""
        self.sending()
        return self.answer("send-request", answer)

    def serving(self, token="sk-ant-oat01-first", lives_s=3600):
        """A token is there."""
        return self.serving_by(granted(token, lives_s))

    def quiet(self, answers, until_ms=None, event=None):
        """Answers what is asked, by kind (an outcome, or what makes one), and wakes it in time, as a good driver does."""
        output = self.step(event) if event else self.outputs[-1]
        open_tasks = list(output["tasks"])
        for _ in range(2000):
            if open_tasks:
                numbered = open_tasks.pop(0)
                kind, payload = next(iter(numbered["task"].items()))
                outcome = answers[kind]
                output = self.finish(numbered["number"], outcome(payload) if callable(outcome) else outcome)
            elif until_ms is not None and "wake-in-ms" in output and self.now_ms + output["wake-in-ms"] <= until_ms:
                output = self.step("woken", max(output["wake-in-ms"], 1))
            else:
                self.now_ms = max(self.now_ms, until_ms or 0)
                return output
            open_tasks += output["tasks"]
        raise AssertionError("it never comes to rest")


class SessionCase(unittest.TestCase):
    """What tests ask of outputs."""

    def token(self, output):
        self.assertIn("usable", output["access"], output["access"])
        return output["access"]["usable"]

    def serves(self, output, token="sk-ant-oat01-first"):
        self.assertEqual(self.token(output)["id"], id_of(token))

    def failed(self, output, *codes):
        self.assertIn("failed", output["access"], output["access"])
        self.assertIn(output["access"]["failed"]["code"], codes)
        return output["access"]["failed"]

    def asks(self, output, *kinds):
        self.assertEqual([next(iter(numbered["task"])) for numbered in output["tasks"]], list(kinds))

    def rests(self, output):
        self.asks(output)
        self.assertEqual(output["progress"], "resting", output)

    def codes(self, output):
        return [note["code"] for note in output["notes"]]

    def sent_once(self, play):
        """No identity token left twice."""
        self.assertEqual(len(play.sent), len(set(play.sent)), play.sent)
