"""The driver against the emulator, over real sockets. `tests/python.rs` starts both, and tells this program through its environment
where everything is."""

import json
import os
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from component import Plugin
from driver import Driver, SystemClock, Unavailable
from request import put_on
from tasks import Tasks

PLUGIN = Plugin(Path(os.environ["WIF_PLUGIN"]).read_bytes())
EMULATOR, ADMIN, TOKEN_FILE = (os.environ[name] for name in ("EMULATOR", "EMULATOR_ADMIN", "IDENTITY_TOKEN_FILE"))
FEDERATION = {
    "federation_rule_id": os.environ["FEDERATION_RULE_ID"],
    "organization_id": os.environ["ORGANIZATION_ID"],
    "identity_token": {"source": "file", "path": TOKEN_FILE},
}
CONFIGURATION = json.dumps({"base_url": EMULATOR, "federation": FEDERATION})
CLOCK = SystemClock()


def ask(method, path, body=None, url=ADMIN, headers=()):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, dict(headers), method=method)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return json.load(answer)


def eventually(holds, seconds=20):
    ends = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < ends, history()
        time.sleep(0.02)
    return found


def history(since=0):
    return ask("GET", f"/history?since={since}")["entries"]


class Live(unittest.TestCase):
    def setUp(self):
        ask("DELETE", "/faults")
        self.rotate()
        self.since = ask("GET", "/history?since=0")["next"]
        self.notes = []

    def tearDown(self):
        reasons = [entry.get("reason") for entry in self.exchanges()]
        self.assertEqual(reasons.count("jti_reused"), getattr(self, "reused", 0), "no spent identity token is sent again")
        shown = json.dumps(self.notes)
        self.assertNotIn("sk-ant-", shown)
        self.assertNotIn("eyJ", shown)

    def rotate(self):
        ask("POST", "/token-file/rotate", {})

    def driver(self, configuration=CONFIGURATION, environ=None, **more):
        tasks = Tasks(configuration, [EMULATOR], environ or {})
        driver = Driver(PLUGIN, configuration, tasks, clock=CLOCK, note=self.notes.append, **more)
        self.addCleanup(driver.close, 0)
        return driver

    def pass_time(self, driver, seconds):
        """For the service, the identity provider and the driver alike."""
        ask("POST", "/clock/advance", {"seconds": seconds})
        CLOCK.ahead_ms += seconds * 1000
        driver.changed()

    def exchanges(self):
        return [entry for entry in history(self.since) if entry["kind"] == "exchange"]

    def models(self, driver):
        """A request with the credential: its status."""
        token = driver.token(20)
        try:
            ask("GET", "/v1/models", url=EMULATOR, headers=put_on([("anthropic-version", "2023-06-01")], token))
            return 200, token["id"]
        except urllib.error.HTTPError as error:
            return error.code, token["id"]

    def test_a_token_is_got_once_for_all_callers(self):
        driver = self.driver()
        statuses = []
        callers = [threading.Thread(target=lambda: statuses.append(self.models(driver)[0])) for _ in range(30)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        self.assertEqual(statuses, [200] * 30)
        self.assertEqual(len(self.exchanges()), 1)

    def test_the_environment_alone_leads_to_a_token(self):
        environ = {
            "HOME": "/nowhere",
            "ANTHROPIC_BASE_URL": EMULATOR,
            "ANTHROPIC_FEDERATION_RULE_ID": FEDERATION["federation_rule_id"],
            "ANTHROPIC_ORGANIZATION_ID": FEDERATION["organization_id"],
            "ANTHROPIC_IDENTITY_TOKEN_FILE": TOKEN_FILE,
        }
        self.assertEqual(self.models(self.driver("{}", environ))[0], 200)

    def test_it_sleeps_and_refreshes_by_itself(self):
        ask("POST", "/faults", {"endpoint": "exchange", "fault": {"fault": "expires_in", "value": 12}})
        driver = self.driver()
        first = driver.token(20)["id"]
        self.rotate()
        # No caller says anything, and nobody moves the clock.
        eventually(lambda: len(self.exchanges()) == 2)
        eventually(lambda: driver.token(20)["id"] != first)

    def test_a_refresh_holds_no_caller_up(self):
        driver = self.driver()
        first = self.models(driver)[1]
        self.rotate()
        ask("POST", "/faults", {"endpoint": "exchange", "fault": {"fault": "delay", "ms": 1500}})
        self.pass_time(driver, 3530)
        began = time.monotonic()
        self.assertEqual(self.models(driver), (200, first))
        self.assertLess(time.monotonic() - began, 1)
        second = eventually(lambda: driver.token(20)["id"] != first and driver.token(20)["id"])
        self.assertEqual(self.models(driver), (200, second))
        self.assertEqual(len(self.exchanges()), 2)

    def test_a_rejected_token_is_replaced(self):
        driver = self.driver()
        status, first = self.models(driver)
        self.pass_time(driver, 60)
        self.rotate()
        ask("POST", "/revoke", {"all": True})
        status, rejected = self.models(driver)
        self.assertEqual((status, rejected), (401, first))
        driver.rejected(rejected)
        status, second = self.models(driver)
        self.assertEqual(status, 200)
        self.assertNotEqual(second, first)
        self.assertEqual(len(self.exchanges()), 2)

    def test_a_session_is_reopened_from_its_journal(self):
        with tempfile.TemporaryDirectory() as folder:
            kept = Path(folder) / "journal"

            def keep(journal):
                # Whole or not at all, and for its owner alone.
                new = kept.with_suffix(".new")
                with open(new, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                    file.write(journal)
                new.replace(kept)

            first = self.driver(keep=keep)
            name = first.token(20)["id"]
            first.close()
            again = self.driver(keep=keep, journal=kept.read_text())
            self.assertEqual(self.models(again), (200, name))
            self.assertEqual(len(self.exchanges()), 1)
            # One that cannot be read counts as lost: what was spent may be sent once, and not again.
            again.close()
            self.reused = 1
            lost = self.driver(journal=kept.read_text()[:-9])
            with self.assertRaises(Unavailable) as raised:
                lost.token(20)
            self.assertEqual(raised.exception.failure["code"], "identity-token-spent")
            self.rotate()
            self.pass_time(lost, 10)
            eventually(lambda: self.token_of(lost))
            self.assertEqual(len(self.exchanges()), 3)

    def token_of(self, driver):
        try:
            return driver.token(5)
        except Unavailable:
            return None

    def test_a_lost_answer_costs_one_refusal(self):
        ask("POST", "/faults", {"endpoint": "exchange", "fault": "lost_answer"})
        driver = self.driver()
        with self.assertRaises(Unavailable) as raised:
            driver.token(20)
        self.assertEqual(raised.exception.failure["code"], "endpoint-unreachable")
        self.reused = 1
        self.pass_time(driver, 10)
        eventually(lambda: len(self.exchanges()) == 2)
        for _ in range(5):
            self.pass_time(driver, 60)
            self.assertIsNone(self.token_of(driver))
        self.rotate()
        self.pass_time(driver, 10)
        eventually(lambda: self.token_of(driver))
        self.assertEqual(len(self.exchanges()), 3)

    def test_a_request_that_never_left_costs_nothing(self):
        # Nobody listens on this port.
        configuration = json.dumps({"base_url": "http://127.0.0.1:9", "federation": FEDERATION})
        driver = Driver(PLUGIN, configuration, Tasks(configuration, ["http://127.0.0.1:9"]), clock=CLOCK)
        with self.assertRaises(Unavailable) as raised:
            driver.token(20)
        self.assertEqual(raised.exception.failure["code"], "endpoint-unreachable")
        driver.close()
        # The same identity token is still good elsewhere.
        self.assertEqual(self.models(self.driver(journal=driver.journal()))[0], 200)

    def test_whatever_the_endpoint_answers_is_survived(self):
        cuts = {"redirect": "answer-unusable", "oversized": "endpoint-unreachable", "cut_answer": "endpoint-unreachable"}
        for fault, code in (cuts | {"not_json": "answer-unusable", "rate_limited": "rate-limited"}).items():
            with self.subTest(fault):
                self.rotate()
                ask("POST", "/faults", {"endpoint": "exchange", "fault": fault})
                driver = self.driver()
                with self.assertRaises(Unavailable) as raised:
                    driver.token(20)
                self.assertEqual(raised.exception.failure["code"], code)
                driver.close()
        # No redirect was followed.
        self.assertEqual({entry["kind"] for entry in history(self.since)}, {"exchange"})

    def test_a_request_takes_its_time_and_no_more(self):
        ask("POST", "/faults", {"endpoint": "exchange", "fault": {"fault": "delay", "ms": 5000}})
        configuration = json.dumps({"base_url": EMULATOR, "exchange_timeout_ms": 1000, "federation": FEDERATION})
        driver = self.driver(configuration)
        began = time.monotonic()
        with self.assertRaises(Unavailable) as raised:
            driver.token(20)
        self.assertEqual(raised.exception.failure["code"], "endpoint-unreachable")
        self.assertTrue(0.9 < time.monotonic() - began < 4)

    def test_closing_lets_an_exchange_end(self):
        ask("POST", "/faults", {"endpoint": "exchange", "fault": {"fault": "delay", "ms": 700}})
        driver = self.driver()
        eventually(lambda: driver.journal())
        driver.close()
        self.assertEqual(self.models(driver)[0], 200)
        self.assertEqual(len(self.exchanges()), 1)


if __name__ == "__main__":
    unittest.main()
