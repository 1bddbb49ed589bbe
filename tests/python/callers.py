"""The duties of the driver itself, tried with sessions that are played: what callers are told, what happens after a trap, and what a
component may not get. The table of `wrong.py` says which sentence of the contract each test stands for."""

import itertools
import json
import os
import socket
import tempfile
import threading
import time
import unittest
from pathlib import Path

from component import Refused, Stopped
from driver import MAX_STEPS, MAX_WAITERS, Driver, SystemClock, Unavailable, checked
from request import Request, carry
from tasks import LIMITS, Denied, Tasks
from world import BEARER, PLUGIN, federation, granted, id_of, identity_token

ORIGIN = "https://api.anthropic.com"


def usable(name="0123456789abcdef", **times):
    """Access to a token with these times in milliseconds."""
    at = {key.replace("_", "-"): value for key, value in times.items()}
    header = {"name": "authorization", "value": "Bearer sk-ant-oat01-x"}
    beta = {"name": "anthropic-beta", "value": "oauth-2025-04-20"}
    return {"usable": {"id": name, "origin": ORIGIN, "set": [header], "merge": [beta], "standing": "good"} | at}


def output(access, progress="resting", tasks=(), wait=1000, **more):
    numbered = [{"number": number, "task": task} for number, task in enumerate(tasks, 1)]
    rest = {"progress": progress, "wait-at-most-ms": wait, "tasks": numbered, "abandon": [], "notes": []}
    return {"access": access} | rest | more


class Played:
    """A plugin whose sessions answer each event by a function, or by the same output always."""

    def __init__(self, answer):
        self.answer = answer if callable(answer) else lambda event: answer
        self.openings, self.events, self.numbers = [], [], itertools.count(1)

    def open(self, opening):
        self.openings.append(opening)
        return self

    def step(self, now, event):
        self.events.append(event)
        output = self.answer(event)
        # No number twice in a session, and no two sessions at once.
        return output | {"tasks": [{"number": next(self.numbers), "task": task["task"]} for task in output["tasks"]]}


class Desk(Tasks):
    """Tasks without a world around them."""

    def __init__(self, outcome=lambda task: "unsupported", **more):
        super().__init__("{}", [ORIGIN], **more)
        self.outcome = outcome


def eventually(holds):
    ends = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ends, "it does not happen"
        time.sleep(0.005)


class Case(unittest.TestCase):
    def drive(self, answer, outcome=lambda task: "unsupported", **more):
        self.played = answer if isinstance(answer, Played) else Played(answer)
        driver = Driver(self.played, "{}", more.pop("desk", None) or Desk(outcome), **more)
        self.addCleanup(driver.close, 0)
        eventually(lambda: self.played.events)
        return driver

    def timed(self, run):
        began = time.monotonic()
        return run(), time.monotonic() - began


class Callers(Case):
    """The rules for callers' requests."""

    def test_a_good_token_is_served_without_a_step(self):
        driver = self.drive(output(usable(refresh_in_ms=60_000, hold_in_ms=70_000, unusable_in_ms=80_000)))
        for _ in range(1000):
            self.assertEqual(driver.token(1)["id"], "0123456789abcdef")
        self.assertEqual(self.played.events, ["woken"])

    def test_past_refresh_the_first_caller_says_needed(self):
        driver = self.drive(output(usable(refresh_in_ms=0, hold_in_ms=70_000, unusable_in_ms=80_000), "underway"))
        for _ in range(1000):
            driver.token(1)
        eventually(lambda: len(self.played.events) > 1)
        self.assertLessEqual(self.played.events[1:], ["needed", "needed"])

    def test_a_caller_holds_for_a_refresh_and_not_longer(self):
        held = usable(refresh_in_ms=0, hold_in_ms=0, unusable_in_ms=80_000)
        driver = self.drive(lambda event: output(held, "underway", wait=300))
        token, seconds = self.timed(lambda: driver.token(10))
        self.assertEqual(token["id"], "0123456789abcdef")
        self.assertTrue(0.25 < seconds < 2, seconds)
        # Outputs that say the same do not lengthen it, and the deadline shortens it.
        self.assertLess(self.timed(lambda: driver.token(0.1))[1], 0.25)
        # Nothing under way, or another token: no wait.
        driver = self.drive(lambda event: output(held, "resting", wait=5000))
        self.assertLess(self.timed(lambda: driver.token(10))[1], 0.5)
        next_token = usable("fedcba9876543210", refresh_in_ms=0, hold_in_ms=0, unusable_in_ms=80_000)
        driver = self.drive(lambda event: output(next_token if event == "changed" else held, "underway", wait=5000))
        threading.Timer(0.1, driver.changed).start()
        token, seconds = self.timed(lambda: driver.token(10))
        self.assertEqual(token["id"], "fedcba9876543210")
        self.assertLess(seconds, 2)

    def test_pending_waits_up_to_the_deadline(self):
        driver = self.drive(lambda event: output(usable() if event == "changed" else {"pending": "exchanging"}, "underway"))
        with self.assertRaises(Unavailable):
            driver.token(0.1)
        self.assertEqual(self.played.events, ["woken"])
        threading.Timer(0.1, driver.changed).start()
        driver.token(10)

    def test_failed_answers_at_once(self):
        failure = {"code": "refused", "message": "It was refused.", "action": "Look at the rule.", "retry-in-ms": 5000}
        driver = self.drive(output({"failed": failure}))
        with self.assertRaises(Unavailable) as raised:
            self.assertLess(self.timed(lambda: driver.token(10))[1], 1)
        self.assertEqual(raised.exception.failure, failure)
        self.assertEqual(self.played.events, ["woken"])

    def test_idle_says_needed_once_for_all(self):
        driver = self.drive(lambda event: output(usable(unusable_in_ms=60_000) if event == "needed" else "idle"))
        callers = [threading.Thread(target=driver.token, args=[10]) for _ in range(50)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        self.assertEqual(self.played.events, ["woken", "needed"])

    def test_a_passing_token_serves_those_who_waited(self):
        passing = usable(refresh_in_ms=0, hold_in_ms=0, unusable_in_ms=0)
        driver = self.drive(lambda event: output(passing if event == "changed" else {"pending": "asking-for-token"}, "underway"))
        threading.Timer(0.2, driver.changed).start()
        self.assertEqual(driver.token(10)["id"], "0123456789abcdef")
        # Whoever comes later asks anew.
        with self.assertRaises(Unavailable):
            driver.token(0.1)
        eventually(lambda: "needed" in self.played.events)

    def test_waiters_are_bounded(self):
        driver = self.drive(output({"pending": "exchanging"}, "underway"))
        driver._waiting = MAX_WAITERS
        with self.assertRaisesRegex(Unavailable, "too many"):
            self.assertLess(self.timed(lambda: driver.token(10))[1], 1)
        driver._waiting = 0

    def test_a_snapshot_is_there_before_a_task_starts(self):
        seen = []

        def outcome(task):
            seen.append(driver.token(0)["id"])
            return "unsupported"

        task = {"supply-token": {"name": "x"}}
        driver = self.drive(lambda event: output(usable(), tasks=[task] if event == "changed" else []), outcome)
        driver.changed()
        eventually(lambda: seen)
        self.assertEqual(seen, ["0123456789abcdef"])

    def test_a_rejection_is_stepped_before_it_returns(self):
        def answer(event):
            if isinstance(event, dict):
                time.sleep(0.2)
                return output(usable("fedcba9876543210"))
            return output(usable())

        driver = self.drive(answer)
        driver.rejected("0123456789abcdef")
        self.assertEqual(driver.token(1)["id"], "fedcba9876543210")
        # Everybody who was told of the old one says so; none of that is news.
        for _ in range(1000):
            driver.rejected("0123456789abcdef")
        self.assertEqual(self.played.events, ["woken", {"rejected": "0123456789abcdef"}])


class Recovery(Case):
    """Traps, journals and locks."""

    def test_a_callable_may_ask_its_own_driver(self):
        def call(request):
            with self.assertRaises(Unavailable):
                driver.token(0.1)
            driver.changed()
            return {"token": {"value": "sk-ant-oat01-called", "expires-at-ms": 2**42}}

        tasks = Tasks(json.dumps(BEARER), [ORIGIN], callables={"supply-token": call})
        driver = Driver(PLUGIN, json.dumps(BEARER | {"prefetch": False}), tasks)
        self.addCleanup(driver.close, 0)
        self.assertEqual(driver.token(10)["id"], id_of("sk-ant-oat01-called"))

    def test_a_journal_is_kept_before_a_request_leaves(self):
        order = []

        def outcome(task):
            order.append(next(iter(task)))
            return {"content": identity_token(at_s=int(time.time()))} if "read-file" in task else granted()

        desk = Tasks(json.dumps(federation()), [ORIGIN])
        desk.outcome = outcome
        driver = Driver(PLUGIN, json.dumps(federation()), desk, keep=lambda journal: order.append("journal"))
        self.addCleanup(driver.close, 0)
        self.assertEqual(driver.token(10)["id"], id_of("sk-ant-oat01-first"))
        self.assertEqual(order[:4], ["read-file", "journal", "send-request", "journal"])

    def test_a_journal_that_cannot_be_kept_sends_nothing(self):
        asked, full = [], [True]

        def keep(journal):
            if full[0]:
                raise OSError("the disk is full")

        task = {"send-request": {}}
        answer = lambda event: output(usable(), tasks=[task] if event == "changed" else [], journal="secret")
        driver = self.drive(answer, lambda task: asked.append(task) or "lost", keep=keep)
        driver.changed()
        eventually(lambda: isinstance(self.played.events[-1], dict))
        self.assertIn("unkept", self.played.events[-1]["finished"]["outcome"])
        self.assertEqual(asked, [])
        full[0] = False
        driver.changed()
        eventually(lambda: asked)

    def test_the_last_token_is_served_while_a_session_is_reopened(self):
        def answer(event):
            if event == {"still-running": 1}:
                raise Stopped("unreachable")
            first = len(self.played.openings) == 1
            failure = {"code": "refused", "message": "No.", "action": "None."}
            return output(usable(unusable_in_ms=60_000) if first else {"failed": failure}, journal="secret")

        driver = self.drive(answer)
        self.assertEqual(driver.token(1)["id"], "0123456789abcdef")
        driver._events.put(({"still-running": 1}, None, None))
        eventually(lambda: len(self.played.openings) == 2 and self.played.events[-1] == "woken")
        self.assertEqual(driver.token(1)["id"], "0123456789abcdef")
        self.assertEqual(self.played.openings[1]["from"], {"resumed": "secret"})
        self.assertNotEqual(self.played.openings[0]["seed"], self.played.openings[1]["seed"])
        # But not after its times, and not after it was rejected.
        driver.rejected("0123456789abcdef")
        with self.assertRaises(Unavailable):
            driver.token(1)

    def test_a_session_that_traps_again_is_opened_after_pauses_and_then_from_lost(self):
        def answer(event):
            raise Stopped("unreachable")

        clock = SystemClock()
        driver = Driver(played := Played(answer), "{}", Desk(), journal="secret", clock=clock)
        self.played = played
        self.addCleanup(driver.close, 0)
        eventually(lambda: len(played.openings) == 2)
        for pause_ms in (1000, 4000, 16_000):
            known = len(played.openings)
            driver.changed()
            time.sleep(0.05)
            self.assertEqual(len(played.openings), known, "it waits")
            clock.ahead_ms += pause_ms
            driver.changed()
            eventually(lambda: len(played.openings) > known)
        self.assertEqual([opening["from"] for opening in played.openings], [{"resumed": "secret"}] * 4 + ["lost"])

    def test_a_result_that_two_sessions_trapped_on_is_told_as_lost(self):
        def answer(event):
            finished = event.get("finished") if isinstance(event, dict) else None
            if finished and finished["outcome"] != "lost":
                raise Stopped("unreachable")
            told.extend([finished["outcome"]] if finished else [])
            return output(usable(), tasks=[{"read-variable": "X"}] if event == "woken" else [])

        told, clock = [], SystemClock()
        driver = self.drive(answer, lambda task: "absent", clock=clock)
        eventually(lambda: len(self.played.openings) == 2)
        self.assertEqual(told, [])

        def goes_on():
            clock.ahead_ms += 1000
            driver.changed()
            return told

        eventually(goes_on)
        self.assertEqual((told, len(self.played.openings)), (["lost"], 3))

    def test_a_component_that_refuses_what_it_took_is_stopped(self):
        def open_(opening):
            played.openings.append(opening)
            if len(played.openings) == 2:
                raise Refused({"field": "x", "message": "no\r\nERROR forged\x1b[2J"})
            return played

        def answer(event):
            if event == {"still-running": 1}:
                raise Stopped("unreachable")
            return output(usable(unusable_in_ms=60_000))

        played, clock, notes = Played(answer), SystemClock(), []
        played.open = open_
        driver = self.drive(played, clock=clock, note=notes.append)
        driver._events.put(({"still-running": 1}, None, None))
        eventually(lambda: len(played.openings) == 2)
        self.assertEqual(driver.token(1)["id"], "0123456789abcdef")
        clock.ahead_ms += 10_000
        driver.changed()
        eventually(lambda: len(played.openings) == 3 and played.events[-1] != {"still-running": 1})
        self.assertEqual([note["message"] for note in notes], ["unreachable", "x: no  ERROR forged [2J"])


class Policy(Case):
    """What a component may not get."""

    CONFIGURATION = json.dumps(federation(base_url=ORIGIN + "/claude"))

    def request(self, **changed):
        headers = [{"name": "content-type", "value": "application/json"}, {"name": "anthropic-beta", "value": "x"}]
        of = {
            "purpose": "exchange",
            "method": "POST",
            "url": ORIGIN + "/claude/v1/oauth/token",
            "origin": ORIGIN,
            "headers": headers,
            "body": "{}",
        }
        return of | {"timeout-ms": 1000, "max-response-bytes": 1000} | changed

    def test_a_request_is_the_exchange_or_nothing(self):
        tasks = Tasks(self.CONFIGURATION, [ORIGIN, "http://127.0.0.1:1"])
        for right in ({}, {"purpose": "refresh"}):
            tasks.check_request(self.request(**right))
        own = self.request()["url"]
        wrong = [{"method": method} for method in ("GET", "post", "PUT", "POST ", "")]
        wrong += [{"url": own + more} for more in ("/", "?x=stolen", "#x", "\t", "/../files", "%2f", "\r\nx: y")]
        wrong += [
            {"url": url} for url in (ORIGIN + "/v1/oauth/token", ORIGIN + "/claude/v1/files", "", "https://[", "file:///etc/passwd")
        ]
        elsewhere = ("https://evil.example", "http://api.anthropic.com", ORIGIN + ":444", "https://api.anthropic.com.evil.example")
        elsewhere += (
            "https://x@api.anthropic.com",
            "https://api.anthropic.com@evil.example",
            "https://api.anthropic.com\\@evil.example",
        )
        wrong += [{"url": origin + "/claude/v1/oauth/token", "origin": origin} for origin in elsewhere]
        wrong += [{"origin": origin} for origin in (*elsewhere, "http://127.0.0.1:1", "", "null")]
        names = ("x-api-key", "authorization", "cookie", "host", "Content-Type", "content-length", "transfer-encoding")
        wrong += [{"headers": [{"name": name, "value": "stolen"}]} for name in names]
        wrong += [{"headers": [{"name": "anthropic-beta", "value": value}]} for value in ("a\r\nx: y", "\0", "\x7f", "é")]
        wrong += [{"headers": [{"name": "content-type", "value": "multipart/form-data"}]}, {"body": "a" * 300_000}]
        wrong += [{"purpose": {"source": "gcp"}}, {"purpose": "anything"}]
        for changed in wrong:
            outcome = tasks.outcome({"send-request": self.request(**changed)})
            self.assertTrue(outcome.keys() & {"denied", "failed"}, f"{changed}: {outcome}")

    def test_a_request_goes_below_the_base_that_discovery_finds(self):
        with tempfile.TemporaryDirectory() as folder:
            profile = Path(folder) / "configs/default.json"
            profile.parent.mkdir()
            profile.write_text(json.dumps({"base_url": ORIGIN + "/any/"}))
            told = {"ANTHROPIC_CONFIG_DIR": folder, "HOME": folder}

            def allowed(tasks):
                urls = {path: ORIGIN + path + "/v1/oauth/token" for path in ("", "/any", "/other")}
                # It returns nothing where it does not refuse.
                tasks.send = tasks.check_request
                return [path for path, url in urls.items() if not tasks.outcome({"send-request": self.request(url=url)})]

            tasks = Tasks("{}", [ORIGIN], told)
            self.assertEqual(allowed(tasks), [""])
            tasks.outcome({"read-file": {"path": str(profile), "max-bytes": 1000, "protection": "any"}})
            self.assertEqual(allowed(tasks), ["", "/any"])
            tasks = Tasks("{}", [ORIGIN], told | {"ANTHROPIC_BASE_URL": ORIGIN + "/other"})
            tasks.outcome({"read-file": {"path": str(profile), "max-bytes": 1000, "protection": "any"}})
            self.assertEqual(allowed(tasks), ["/other"])

    def test_a_request_carries_no_field_of_its_own(self):
        seen = []
        server = socket.create_server(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{server.getsockname()[1]}"

        def serve():
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as lines:
                seen.extend(iter(lambda: lines.readline().strip().decode(), ""))
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        request = self.request(url=origin + "/v1/oauth/token", origin=origin) | {"timeout-ms": 10_000}
        outcome = Tasks(json.dumps(federation(base_url=origin)), [origin]).outcome({"send-request": request})
        thread.join()
        server.close()
        self.assertEqual(outcome["response"]["status"], 204)
        self.assertEqual(seen[0], "POST /v1/oauth/token HTTP/1.1")
        names = {line.split(":")[0].lower() for line in seen[1:]}
        self.assertEqual(names - {"host", "content-length", "accept-encoding"}, {"content-type", "anthropic-beta"})

    def test_other_files_and_variables_are_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            token, secret, fifo = home / "token", home / "secret", home / "fifo"
            token.write_text("named"), secret.write_text("stolen")
            os.mkfifo(fifo)
            document = federation()
            document["federation"]["identity_token"]["path"] = str(token)
            read = lambda tasks, path, **more: tasks.outcome(
                {"read-file": {"path": str(path), "max-bytes": 1000, "protection": "any"} | more}
            )
            tasks = Tasks(json.dumps(document), [ORIGIN], {"HOME": folder, "ANTHROPIC_API_KEY": "stolen"})
            self.assertEqual(read(tasks, token), {"content": "named"})
            for other in (
                secret,
                "/etc/passwd",
                home / "." / "secret",
                f"{token}/../secret",
                home / ".config/anthropic/active_config",
            ):
                self.assertIn("denied", read(tasks, other))
            for name in ("ANTHROPIC_API_KEY", "HOME", "PATH"):
                self.assertIn("denied", tasks.outcome({"read-variable": name}))
            self.assertIn("failed", read(tasks, token, **{"max-bytes": 4}))
            token.unlink()
            self.assertEqual(read(tasks, token), "absent")
            os.mkfifo(token)
            self.assertEqual(read(tasks, token), {"failed": "it is no regular file"})
            token.unlink()
            token.mkdir()
            self.assertIn("failed", read(tasks, token))
            # Discovery reads its own, and what a profile names.
            profiles = home / ".config/anthropic/configs"
            profiles.mkdir(parents=True)
            profile = profiles / "default.json"
            # One member names a file, and no other text that looks like a path.
            profile.write_text(json.dumps({"path": "/etc/shadow", "authentication": {"identity_token": {"path": str(secret)}}}))
            tasks = Tasks("{}", [ORIGIN], {"HOME": folder, "ANTHROPIC_API_KEY": "told", "AWS_SECRET_ACCESS_KEY": "stolen"})
            self.assertEqual(tasks.outcome({"read-variable": "ANTHROPIC_API_KEY"}), {"content": "told"})
            self.assertIn("denied", tasks.outcome({"read-variable": "AWS_SECRET_ACCESS_KEY"}))
            self.assertIn("denied", read(tasks, secret))
            profile.chmod(0o666)
            self.assertIn("denied", read(tasks, profile, protection="unwritable-by-others"))
            profile.chmod(0o600)
            self.assertIn("content", read(tasks, profile, protection="unwritable-by-others"))
            profiles.chmod(0o777)
            self.assertIn("chmod go-w", read(tasks, profile, protection="unwritable-by-others")["denied"])
            # Whatever the component says that it wants.
            self.assertIn("chmod go-w", read(tasks, profile)["denied"])
            profiles.chmod(0o755)
            self.assertIn("denied", read(tasks, "/etc/shadow"))
            self.assertEqual(read(tasks, secret), {"content": "stolen"})
            (profiles / "link.json").symlink_to(secret)
            self.assertIn("leads out of", read(tasks, profiles / "link.json")["denied"])

    def test_an_entry_has_a_key_of_hexadecimal_digits(self):
        asked = []
        store = {"load-entry": lambda key: asked.append(key) or "absent", "swap-entry": lambda swap: asked.append(swap["key"]) or {"swapped": "1"}}
        tasks = Tasks("{}", [ORIGIN], {}, store)
        for key in ("", "../../etc/shadow", "00ff\n", "*", "g" * 64, "0" * 129):
            self.assertIn("denied", tasks.outcome({"load-entry": key}), key)
            self.assertIn("denied", tasks.outcome({"swap-entry": {"key": key, "value": "x"}}), key)
        self.assertEqual(tasks.outcome({"load-entry": "file:/etc/shadow"}), "unsupported")
        self.assertIn("denied", tasks.outcome({"swap-entry": {"key": "00ff", "value": "x" * (LIMITS["journal-bytes"] + 1)}}))
        self.assertEqual(asked, [])
        self.assertEqual(tasks.outcome({"load-entry": "00ff"}), "absent")

    def test_a_hostile_token_ends_the_session(self):
        origins = Tasks("{}", [ORIGIN]).allows_origin
        good = usable()["usable"]
        self.assertEqual(checked(output({"usable": good}), origins)["access"], {"usable": good})
        header = lambda name, value: [{"name": name, "value": value}]
        for changed in (
            {"set": header("host", "evil.example")},
            {"set": header("authorization", "Bearer x\r\nx: y")},
            {"set": header("authorization", "")},
            {"merge": header("cookie", "x")},
            {"set": header("authorization", "Bearer x") * 2},
            {"set": header("authorization", "Bearer x") + header("x-api-key", "y")},
            {"set": header("authorization", "Bearer x ")},
            {"set": header("anthropic-workspace-id", "default")},
            {"set": []},
            {"id": "short"},
            {"id": "0123456789ABCDEF"},
        ):
            with self.assertRaises(Stopped):
                checked(output({"usable": good | changed}), origins)
        for origin in ("https://evil.example", "http://api.anthropic.com", "", "https://x@api.anthropic.com"):
            access = checked(output({"usable": good | {"origin": origin}}), origins)["access"]
            self.assertEqual(access["failed"]["code"], "denied-by-host")

    def test_a_flood_of_tasks_and_wakes_is_bounded(self):
        notes = [{"code": "configured", "level": "error", "message": "x", "fields": []}] * 64
        heard, asked = [], []
        flood = lambda event: output(
            usable(unusable_in_ms=60_000), tasks=[{"read-variable": "X"}], **{"wake-in-ms": 0, "notes": notes}
        )
        driver = self.drive(flood, lambda task: asked.append(task) or "absent", note=heard.append)
        time.sleep(0.5)
        self.assertLessEqual(len(self.played.events), 2 * MAX_STEPS)
        self.assertLessEqual(len(asked), 2 * MAX_STEPS)
        self.assertTrue(200 < len(heard) <= LIMITS["notes-at-once"] + 4, len(heard))
        self.assertLess(self.timed(lambda: driver.token(1))[1], 0.5)
        many = self.drive(output(usable(), tasks=[{"read-variable": "X"}] * 65), note=heard.append)
        eventually(lambda: heard[-1]["code"] == "session-stopped")
        self.assertEqual(heard[-1]["message"], "too many tasks at once")
        with self.assertRaises(Unavailable):
            many.token(0.1)

    def test_a_flood_at_the_store_or_of_signatures_is_bounded(self):
        for kind, at_once in (("load-entry", "entries-at-once"), ("swap-entry", "entries-at-once"), ("sign", "requests-at-once")):
            asked, heard = [], []
            driver = self.drive(
                lambda event: output(usable(unusable_in_ms=60_000), tasks=[{kind: {}}] if event == "changed" else []),
                lambda task: asked.append(task) or "absent",
                note=heard.append,
            )
            self.assertEqual(sum(1 for _ in iter(driver._asking[kind].take, False)), LIMITS[at_once])
            driver.changed()
            eventually(lambda: heard)
            self.assertEqual(heard[0]["message"], "too many requests in a short time")
            self.assertEqual((asked, driver.token(1)["id"]), ([], "0123456789abcdef"))

    def test_of_a_flood_of_journals_a_few_are_kept_and_the_newest_in_the_end(self):
        kept = []
        driver = self.drive(lambda event: output(usable()), keep=kept.append)
        # So many are there at once; what is over waits for its turn.
        for _ in range(LIMITS["entries-at-once"]):
            driver._keeping.take()
        self.played.answer = lambda event: output(usable(), journal="newest")
        driver.changed()
        eventually(lambda: len(self.played.events) > 1)
        self.assertEqual(kept, [])
        self.assertEqual(driver.journal(), "newest")
        eventually(lambda: kept)
        self.assertEqual(kept[0], "newest")
        # A request does not wait for its turn, and its journal is kept before it.
        self.played.answer = lambda event: output(usable(), tasks=[{"send-request": {}}] if event == "changed" else [], journal="sent")
        driver.changed()
        eventually(lambda: "sent" in kept)

    def test_a_long_step_is_followed_by_a_rest(self):
        def answer(event):
            time.sleep(0.03)
            return output(usable(unusable_in_ms=60_000), **{"wake-in-ms": 0})

        self.drive(answer)
        time.sleep(1)
        # A fifth of the time, and no more.
        self.assertLess(len(self.played.events), 12)


if __name__ == "__main__":
    unittest.main()
