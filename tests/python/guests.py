"""The driver around components that steal, loop, take memory and flood, in place of ours: those of `tests/guests`."""

import json
import os
import time
import unittest
from pathlib import Path

from component import Plugin
from driver import Driver, Unavailable
from tasks import Tasks

ORIGIN = "https://api.anthropic.com"
# Where the configuration of a thief says that the API is.
API = "https://gateway.example"
TOKEN = "0000000000000001"
# What a thief is told, and what it does otherwise.
TOLD = {"file": "", "variable": "", "url": "", "origin": "{api}", "header": "", "value": "", "method": "POST", "purpose": "exchange"} | {"bytes": "", "fields": ""}


def guest(name):
    return Plugin((Path(os.environ["GUESTS"]) / name).read_bytes())


class Recording(Tasks):
    """Tasks that send nothing, and count what would be sent."""

    def __init__(self, configuration, **more):
        super().__init__(configuration, [ORIGIN, API], **more)
        self.sent = []
        self.bodies = []

    def send(self, request):
        self.check_request(request)
        self.sent.append(request["url"])
        self.bodies.append(request["body"])
        return {"response": {"status": 200, "headers": [], "body": "{}"}}


class Guests(unittest.TestCase):
    def test_what_is_none_of_its_business_is_neither_read_nor_sent(self):
        document = json.loads((Path(__file__).parents[1] / "guests" / "attempts.json").read_text())
        exfiltrating = guest("exfiltrating")
        for attempt in document["attempts"]:
            if attempt.get("of_sources"):
                continue  # This host asks none.
            with self.subTest(attempt["name"]):
                scheme, authority = API.split("://")
                goal = " ".join(
                    f"{key}={attempt.get(key, otherwise).format(api=API, scheme=scheme, authority=authority)}"
                    for key, otherwise in TOLD.items()
                )
                source = attempt.get("identity_token", {"source": "file", "path": "/etc/hostname"})
                named = {"federation": {"identity_token": json.loads(json.dumps(source).replace("{api}", API))}}
                kind = {"discover": {"config_dir": "/etc/wif-profiles"}} if attempt.get("discovers") else named
                configuration = json.dumps(kind | {"base_url": API, "says": goal})
                stolen = dict.fromkeys(("ANTHROPIC_API_KEY", "ANTHROPIC_ADMIN_KEY", "AWS_SECRET_ACCESS_KEY", "HOME", "PATH"), "canary")
                tasks = Recording(configuration, environ=stolen)
                with Driver(exfiltrating, configuration, tasks) as driver:
                    with self.assertRaises(Unavailable) as raised:
                        driver.token(timeout=20)
                answers = raised.exception.failure["message"].split(", ")
                # A response is told with the names of its header fields.
                self.assertEqual([answer.split()[0] for answer in answers], attempt["answers"])
                self.assertEqual(tasks.sent, [f"{API}/v1/oauth/token"] if attempt.get("sent") else [])
                carried = [body.removeprefix("stolen:").strip() != "" for body in tasks.bodies]
                self.assertEqual(carried, [attempt["carries"]] if attempt.get("sent") else [])

    def test_what_a_component_says_is_heard_as_a_stranger_would_be(self):
        document = json.loads((Path(__file__).parents[1] / "guests" / "outputs.json").read_text())
        lying = guest("lying")
        for said in document["outputs"]:
            with self.subTest(said["name"]):
                notes = []
                stopped = lambda: "session-stopped" in [note["code"] for note in notes]
                with Driver(lying, f"answer={said['answer']}", Recording("{}"), note=notes.append) as driver:
                    if said["then"] == "served":
                        self.assertEqual(driver.token(timeout=20)["id"], TOKEN)
                        self.assertFalse(stopped(), notes)
                    elif said["then"] == "denied":
                        with self.assertRaises(Unavailable) as raised:
                            driver.token(timeout=20)
                        self.assertEqual(raised.exception.code, "denied-by-host")
                    else:
                        self.eventually(stopped)
                        with self.assertRaises(Unavailable):
                            driver.token(timeout=0)
                    driver.close(timeout=0)
                notes.clear()
                with Driver(lying, f"answer=later-{said['answer']}", Recording("{}"), note=notes.append) as driver:
                    self.assertEqual(driver.token(timeout=20)["id"], TOKEN)
                    driver.changed()
                    if said["then"] == "stopped":
                        self.eventually(stopped)
                    if said["then"] != "denied":
                        self.assertEqual(driver.token(timeout=20)["id"], TOKEN)
                    driver.close(timeout=0)

    def eventually(self, holds):
        ends = time.monotonic() + 20
        while not holds() and time.monotonic() < ends:
            time.sleep(0.005)
        self.assertTrue(holds())

    def test_a_loop_a_deep_recursion_and_a_hoard_cost_the_instance(self):
        for what in ("loop", "recursion", "memory"):
            notes = []
            with Driver(guest("exhausting"), f"changed={what}", Recording("{}"), note=notes.append) as driver:
                self.assertEqual(driver.token(timeout=20)["id"], TOKEN)
                driver.changed()
                ends = time.monotonic() + 20
                while not notes and time.monotonic() < ends:
                    self.assertEqual(driver.token(timeout=20)["id"], TOKEN, what)
                    time.sleep(0.01)
                self.assertEqual([note["code"] for note in notes], ["session-stopped"], what)
                self.assertEqual(driver.token(timeout=20)["id"], TOKEN, what)

    def test_a_text_is_one_line_and_has_an_end(self):
        notes = []
        with Driver(guest("lying"), "answer=control", Recording("{}"), note=notes.append) as driver:
            with self.assertRaises(Unavailable) as raised:
                driver.token(timeout=20)
        failure = raised.exception.failure
        told = (str(raised.exception), failure["message"], failure["action"], failure["request-id"])
        for text in (*told, notes[0]["message"], notes[0]["fields"][0]["value"]):
            self.assertRegex(text, r"\Aa  b \[2Jc d[ -~]{0,2000}\Z")

    def test_a_flood_of_requests_ends_after_a_few(self):
        tasks = Recording("{}")
        with Driver(guest("lying"), f"answer=flood origin={ORIGIN}", tasks) as driver:
            self.assertEqual(driver.token(timeout=20)["id"], TOKEN)
            time.sleep(2)
            self.assertLessEqual(len(tasks.sent), 40)
            self.assertGreater(len(tasks.sent), 0)
            self.assertEqual(driver.token(timeout=20)["id"], TOKEN)


if __name__ == "__main__":
    unittest.main()
