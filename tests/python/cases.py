"""The cases of `tests/requests` and `tests/callers`, which every host runs. The component of the latter is `scripted` of
`tests/guests`."""

import json
import os
import threading
import time
import unittest
from pathlib import Path

import driver
from component import Plugin
from driven import Standing, StandingClock
from driver import Unavailable
from request import Request, carry, goes_to, is_credential, is_exempt, rejects
from tasks import Tasks

TESTS = Path(__file__).parents[1]
API, ELSEWHERE = "https://api.anthropic.com", "https://elsewhere.example"
STEP_MS = 100


def cases(folder):
    return [case for path in sorted((TESTS / folder).glob("*.json")) for case in json.loads(path.read_text())["cases"]]


def joined(fields, name):
    """All values of a name, with commas between them and no spaces around those."""
    values = [item.strip(" \t") for field, value in fields if field.lower() == name.lower() for item in value.split(",")]
    return ",".join(values) if values else None


def token(digit="1"):
    header = {"name": "authorization", "value": f"Bearer sk-ant-oat01-{digit}"}
    return {"id": digit * 16, "origin": API, "set": [header], "merge": [{"name": "anthropic-beta", "value": "oauth-2025-04-20"}]}


class Requests(unittest.TestCase):
    """What leaves, and what an answer means. This driver lacks nothing that a case needs."""

    def request(self, case):
        asked = case["request"]
        url = asked.get("url", "{api}/v1/messages")
        parts = {"api": API, "scheme": "https", "authority": API.removeprefix("https://"), "elsewhere": ELSEWHERE}
        fields, trailers = ([tuple(pair) for pair in asked.get(of, [])] for of in ("fields", "trailers"))
        return Request(asked.get("method", "POST"), url.format(**parts), fields, trailers)

    def test_what_leaves(self):
        ran = 0
        for case in cases("requests"):
            if "sent" not in case:
                continue
            ran += 1
            with self.subTest(case["name"]):
                came = self.request(case)
                self.holds(case["sent"], came, carry(came, token()))
        self.assertGreaterEqual(ran, 45)

    def holds(self, expected, came, sent):
        for of in ("fields", "trailers"):
            for name, value in expected.get(of, {}).items():
                self.assertEqual(joined(getattr(sent, of), name), value, name)
        if expected["credential"] == "callers":
            return self.assertEqual(sent, came)
        self.assertNotIn("caller-secret", repr(sent))
        self.assertFalse([name for name, _ in sent.trailers if is_credential(name)])
        ours = [("authorization", "Bearer sk-ant-oat01-1")] if expected["credential"] == "ours" else []
        self.assertEqual([pair for pair in sent.fields if is_credential(pair[0])], ours)
        dropped = (joined(sent.fields, "connection") or "").lower().split(",") if ours else []
        self.assertFalse([name for name in dropped if is_credential(name) or name == "anthropic-beta"])

    def test_what_answers_mean(self):
        ran = 0
        for case in cases("requests"):
            if "rejected" not in case:
                continue
            ran += 1
            with self.subTest(case["name"]):
                request, answer = self.request(case), case.get("answer", {})
                carries = goes_to(request.url, token()) and not is_exempt(request)
                fields = [tuple(pair) for pair in answer.get("fields", [])]
                self.assertEqual(carries and rejects(answer.get("status", 200), fields), case["rejected"])
        self.assertGreaterEqual(ran, 16)


class Callers(unittest.TestCase):
    """What callers are told, and when."""

    def ask(self, credential, caller):
        waits = caller.get("waits-ms")
        seconds = None if waits is None else waits / 1000
        try:
            if "replaces" in caller:
                found = credential.another(caller["replaces"] * 16, seconds)
                return {"token": found["id"][0]} if found else {"nothing": True}
            return {"token": credential.token(3600 if seconds is None else seconds)["id"][0]}
        except Unavailable as error:
            return {"code": error.code, "retry-after-s": error.retry_after_s}

    def settle(self, credential, callers):
        """Until nothing happens any more at this time. What happens may make something else happen."""
        ends = time.monotonic() + 60
        for _ in range(3):
            credential.look_again()
            while not credential.is_quiet(sum(told is None for _, told in callers)):
                assert time.monotonic() < ends, "it does not come to rest"
                time.sleep(0.0005)

    def run_case(self, plugin, case):
        clock = StandingClock(1_000_000)
        driver.MAX_WAITERS = case.get("max-waiters", 100)
        script = json.dumps({"session": case["session"]})
        credential = Standing(plugin, script, Tasks("{}", [API]), clock=clock)
        callers = []
        self.settle(credential, callers)
        ends_ms = max(caller["at-ms"] + caller["told"]["after-ms"] for caller in case["callers"])
        for now_ms in range(0, ends_ms + 2 * STEP_MS, STEP_MS):
            for happening in case.get("happens", []):
                if happening["at-ms"] == now_ms:
                    event = {"rejected": happening["rejects"] * 16} if "rejects" in happening else "closing"
                    credential._events.put((event, None, None))
                    self.settle(credential, callers)
            for caller in case["callers"]:
                if caller["at-ms"] == now_ms:
                    place = [caller, None]
                    callers.append(place)

                    def asks(place=place, began_ms=now_ms):
                        answer = self.ask(credential, place[0])
                        after_ms = clock.now["steady-ms"] - 1_000_000 - began_ms
                        place[1] = answer | {"after-ms": after_ms}

                    threading.Thread(target=asks, daemon=True).start()
                    self.settle(credential, callers)
            clock.now = {"wall-ms": clock.now["wall-ms"] + STEP_MS, "steady-ms": clock.now["steady-ms"] + STEP_MS}
            self.settle(credential, callers)
        credential._closing = True
        credential._events.put(("closing", None, None))
        return callers

    def test_what_callers_are_told_and_when(self):
        plugin = Plugin((Path(os.environ["GUESTS"]) / "scripted").read_bytes())
        told = 0
        for case in cases("callers"):
            with self.subTest(case["name"]):
                for caller, answer in self.run_case(plugin, case):
                    told += 1
                    self.assertEqual(answer, caller["told"], f"who asked at {caller['at-ms']} ms")
        self.assertGreaterEqual(told, 60)


if __name__ == "__main__":
    unittest.main()
