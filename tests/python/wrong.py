"""Drives a session wrong, sentence by sentence of the contract, and shows what comes of it. Run it with `WIF_PLUGIN=… python wrong.py`.

Whatever a driver does, a session never traps, and no identity token is lost or sent twice where the contract promises that it is not.
Where a broken rule costs something, its test shows what: that is why the rule is there.

`tests/contract/sentences.md` leads from each sentence to the tests that break it. Those whose duty is the driver's own are in `callers.py`,
`guests.py` and `live.py`.
"""

import json
import re
import threading
import unittest
from pathlib import Path

from component import Refused
from world import BEARER, PLUGIN, REFUSED, START_MS, Play, SessionCase, answer, canonical, federation, granted, id_of, identity_token

OUTCOMES = {
    "response": granted("sk-ant-oat01-misplaced"),
    "content": {"content": identity_token("misplaced")},
    "token": {"token": {"value": "sk-ant-oat01-misplaced"}},
    "entry": {"entry": {"version": "1", "value": "{}"}},
    "swapped": {"swapped": "1"},
    "conflict": {"conflict": None},
    "absent": "absent",
    "denied": {"denied": "no"},
    "unsupported": "unsupported",
    "unsent": {"unsent": "no"},
    "maybe-sent": {"maybe-sent": "no"},
    "failed": {"failed": "no"},
    "unkept": {"unkept": "no"},
    "lost": "lost",
}
ABSENT = {"finished": {"number": 99, "outcome": "absent"}}


def at(kind):
    """A session with a task of this kind out."""
    store = ["read-file", "store"]
    if kind == "send-request":
        play = Play()
        play.sending()
    elif kind == "swap-entry":
        play = at("load-entry")
        play.answer("load-entry", "absent")
    elif kind == "load-entry":
        play = Play(can=store)
        play.sending()
    else:
        configuration, can = {
            "read-file": (None, ["read-file"]),
            "read-variable": ({}, ["read-variable", "read-file"]),
            "supply-assertion": (federation("shared"), ["supply-assertion"]),
            "supply-token": (BEARER, ["supply-token"]),
            "sign": (federation("signer"), ["sign"]),
        }[kind]
        play = Play(configuration, can)
        play.step("woken")
    play.number(kind)
    return play


class Steps(SessionCase):
    """Which event, when, and how often."""

    def test_same_inputs_give_the_same_outputs(self):
        def run():
            play = Play(seed=7)
            play.serving()
            for event in ("needed", "changed", ABSENT, {"rejected": id_of("sk-ant-oat01-first")}):
                play.step(event, 7001)
            return play.outputs

        self.assertEqual(run(), run())

    def test_the_first_step_may_be_any_event(self):
        spurious = ("needed", "changed", {"rejected": "0123456789abcdef"}, {"still-running": 7}, ABSENT)
        for event in spurious:
            play = Play()
            self.asks(play.step(event), "read-file")
            self.asks(play.step("woken"))
        play = Play()
        self.assertEqual(play.step("closing")["access"], "closed")
        self.rests(play.step("woken"))

    def test_a_wake_far_too_late_costs_nothing_but_the_wait(self):
        play = Play()
        play.serving()
        late = play.step("woken", 30 * 24 * 3_600_000)
        self.asks(late, "read-file")
        self.assertNotIn("usable", late["access"])
        fresh = identity_token("two", at_s=(1_790_000_000_000 + play.now_ms) // 1000)
        play.answer("read-file", {"content": fresh})
        self.serves(play.answer("send-request", granted("sk-ant-oat01-second")), "sk-ant-oat01-second")
        self.sent_once(play)

    def test_a_tick_before_the_time_changes_nothing(self):
        play = Play()
        until = self.token(play.serving())["unusable-in-ms"]
        for _ in range(300):
            output = play.step("woken", 1000)
            self.rests(output)
            until -= 1000
            self.assertEqual(self.token(output)["unusable-in-ms"], until)

    def test_many_needed_start_one_exchange(self):
        play = Play()
        for _ in range(300):
            play.step("needed")
        self.assertEqual(len(play.tasks), 1)
        play.answer("read-file", {"content": identity_token()})
        for _ in range(300):
            play.step("needed")
        self.assertEqual(len(play.sent), 1)

    def test_idle_lasts_until_somebody_says_needed(self):
        play = Play(federation(prefetch=False))
        for event in ("woken", "changed", ABSENT, "woken"):
            output = play.step(event, 3_600_000)
            self.assertEqual(output["access"], "idle")
            self.rests(output)
        self.asks(play.step("needed"), "read-file")

    def test_without_any_timer_needed_is_enough(self):
        play = Play()
        answers = {"read-file": lambda _: {"content": identity_token(str(play.now_ms), at_s=1_790_000_000 + play.now_ms // 1000)}}
        answers["send-request"] = lambda _: granted(f"sk-ant-oat01-{play.now_ms}", 600)
        play.quiet(answers, event="needed")
        for _ in range(200):
            play.now_ms += 60_000
            output = play.quiet(answers, event="needed")
            self.token(output)
        self.assertTrue(20 <= len(play.sent) <= 30, len(play.sent))
        self.sent_once(play)

    def test_hundreds_of_steps_in_a_turn_change_nothing(self):
        play = Play()
        before = play.serving()["access"]
        for event in ("woken", "needed", "changed", ABSENT, {"still-running": 2}, {"rejected": "0123456789abcdef"}) * 100:
            output = play.step(event)
            self.assertEqual(output["access"], before)
            self.rests(output)

    def test_answers_in_the_same_turn_make_no_loop(self):
        for outcome in OUTCOMES.values():
            play = Play()
            # `quiet` fails where a session asks on and on without letting time pass.
            play.quiet({"read-file": {"content": identity_token()}, "send-request": outcome}, event="woken")
            self.assertLess(len(play.tasks), 64)

    def test_the_first_output_of_a_turn_is_out_of_date(self):
        play = Play()
        first = play.reading()
        last = play.quiet({"read-file": {"content": identity_token()}, "send-request": granted()})
        self.assertIn("pending", first["access"])
        self.serves(last)
        # Who keeps the first sees no token until the next output, which says it all again.
        self.serves(play.step("woken"))

    def test_a_step_during_a_step_is_refused_before_the_component(self):
        play = Play()
        play.reading()
        play.session._stepping.acquire()
        refusals = []

        def intrude():
            try:
                play.session.step(play.clock(), "woken")
            except RuntimeError as error:
                refusals.append(str(error))

        intruder = threading.Thread(target=intrude)
        intruder.start()
        intruder.join()
        play.session._stepping.release()
        self.assertIn("serial", refusals[0])
        self.serves(play.quiet({"read-file": {"content": identity_token()}, "send-request": granted()}))

    def test_status_at_any_time_changes_nothing(self):
        watched, alone = Play(), Play()
        for play in (watched, alone):
            play.sending()
        for wall in (0, 1, 2**63, 2**64 - 1):
            watched.session.status({"wall-ms": wall})
            watched.session.status({"wall-ms": wall, "steady-ms": 2**64 - 1 - wall})
        self.assertEqual(watched.answer("send-request", granted()), alone.answer("send-request", granted()))
        watched.session.status({"wall-ms": 2**64 - 1, "steady-ms": 2**64 - 1})
        self.assertEqual(watched.step("needed", 1000), alone.step("needed", 1000))

    def test_the_entry_key_comes_when_the_source_was_read(self):
        play = Play({}, ["read-variable", "read-file"])
        self.assertIsNone(play.session.entry_key())
        play.step("woken")
        self.assertIsNone(play.session.entry_key())
        # Whose identity tokens the file holds, nobody knows before it was read.
        self.assertIsNone(at("read-file").session.entry_key())
        self.assertRegex(at("send-request").session.entry_key(), "^[0-9a-f]{32}$")

    def test_a_document_that_can_never_work_is_refused(self):
        for configuration in ('{"federation": {}}', "[]", "", "null", "{" * 10_000, "\0", '{"prefetch": 1}'):
            with self.assertRaises(Refused):
                PLUGIN.open({"configuration": configuration, "seed": 1, "can": [], "from": "fresh"})


class Results(SessionCase):
    """How tasks end."""

    def test_a_result_for_an_unknown_number_is_ignored(self):
        play = Play()
        play.sending()
        for number in (0, 3, 99, 2**32 - 1):
            for outcome in ("lost", granted(), REFUSED, {"content": identity_token("two")}):
                self.assertIn("pending", play.finish(number, outcome)["access"])
        self.serves(play.answer("send-request", granted()))
        self.sent_once(play)

    def test_a_task_that_is_finished_twice_counts_once(self):
        play = Play()
        play.serving()
        number = play.number("send-request")
        for outcome in (REFUSED, granted("sk-ant-oat01-other"), "lost"):
            output = play.finish(number, outcome)
            self.serves(output)
            self.rests(output)
        # The other way round, the first result counts as well.
        play = Play()
        play.sending()
        number = play.number("send-request")
        play.finish(number, REFUSED)
        self.failed(play.finish(number, granted()), "refused")

    def test_a_task_that_is_never_answered_is_given_up(self):
        play = Play()
        output = play.sending()
        output = play.step("woken", output["wake-in-ms"])
        self.failed(output, "endpoint-unreachable")
        self.assertEqual(output["abandon"], [play.number("send-request")])
        self.assertIn("task-lost", self.codes(output))
        # It counts as perhaps sent: it goes out again on the backoff schedule, and a refusal then means that it is spent.
        output = play.step("woken", output["wake-in-ms"])
        play.answer("read-file", {"content": identity_token()})
        self.failed(play.answer("send-request", REFUSED), "identity-token-spent")
        play.quiet({"read-file": {"content": identity_token()}}, until_ms=600_000)
        self.assertEqual(len(play.sent), 2)

    def test_a_reader_that_is_never_answered_is_asked_again(self):
        for kind in ("read-file", "read-variable", "supply-assertion", "supply-token", "sign", "load-entry"):
            play = at(kind)
            before, output = len(play.tasks), play.outputs[-1]
            for _ in range(8):
                output = play.step("woken", output.get("wake-in-ms", 60_000))
            self.assertGreater(len(play.tasks), before, kind)
            self.assertLess(len(play.tasks), 100, kind)
            self.assertNotIn("usable", output["access"], kind)

    def test_any_outcome_for_any_task_leaves_it_alive(self):
        kinds = (
            "send-request",
            "read-file",
            "read-variable",
            "supply-assertion",
            "supply-token",
            "sign",
            "load-entry",
            "swap-entry",
        )
        right = {
            "send-request": {"response"},
            "read-file": {"content"},
            "read-variable": {"content"},
            "supply-assertion": {"content"},
            "supply-token": {"token"},
            "sign": set(),
            "load-entry": {"entry", "absent"},
            "swap-entry": {"swapped", "conflict"},
        }
        for kind in kinds:
            for name, outcome in OUTCOMES.items():
                play = at(kind)
                output = play.answer(kind, outcome)
                if name not in right[kind]:
                    self.assertNotIn("usable", output["access"], f"{name} for {kind}")
                    self.assertEqual(len(play.sent), int(kind == "send-request"), f"{name} for {kind}")
                # It lives on: nothing that was misplaced ever shows.
                for _ in range(3):
                    output = play.step("needed", output.get("wake-in-ms", 1000))
                    if name not in right[kind]:
                        self.assertNotIn("misplaced", json.dumps(output["access"]), f"{name} for {kind}")

    def test_an_abandoned_task_needs_no_result(self):
        play = Play()
        output = play.sending()
        for _ in range(3):
            while not output["abandon"]:
                output = play.step("needed", output.get("wake-in-ms", 1000))
                if any("read-file" in numbered["task"] for numbered in output["tasks"]):
                    output = play.answer("read-file", {"content": identity_token("two")})
            output = play.step("woken", 1000)
        play.quiet({"read-file": {"content": identity_token("three")}, "send-request": granted()}, play.now_ms + 60_000, "needed")
        self.serves(play.outputs[-1])

    def test_a_late_success_is_taken(self):
        play = Play()
        output = play.sending()
        number = play.number("send-request")
        self.assertEqual(play.step("woken", output["wake-in-ms"])["abandon"], [number])
        output = play.finish(number, granted(), 1000)
        self.serves(output)
        # Its life counts from the request, and not from the answer.
        self.assertEqual(self.token(output)["unusable-in-ms"], 3_595_000 - 36_000)

    def test_a_request_that_was_sent_twice_costs_a_refusal(self):
        # The driver repeats a request, the first one was exchanged, and the second answer is all that it hands over.
        play = Play()
        play.sending()
        self.failed(play.answer("send-request", REFUSED), "refused")
        output = play.quiet({"read-file": {"content": identity_token()}, "send-request": REFUSED}, until_ms=600_000)
        self.failed(output, "refused")
        # The token is lost, and the session cannot know: it took the refusal for one that burns nothing, and tries again.
        self.assertGreater(len(play.sent), 2)

    def test_a_false_unsent_sends_the_identity_token_again(self):
        play = Play()
        play.sending()
        play.answer("send-request", {"unsent": "it had left, in truth"})
        play.answer("read-file", {"content": identity_token()})
        self.assertEqual(len(play.sent), 2)
        # The repeat is refused, and nothing says that the first one was exchanged.
        self.failed(play.answer("send-request", REFUSED), "refused")

    def test_a_redirect_that_was_followed_is_no_answer(self):
        for body in ("<html>signed in</html>", "{}", '{"access_token": 1}', ""):
            play = Play()
            play.sending()
            self.failed(play.answer("send-request", answer(200, body)), "answer-unusable")
        play = Play()
        play.sending()
        self.failed(play.answer("send-request", answer(307, "", location="https://elsewhere.example/")), "answer-unusable")
        self.assertTrue(all("elsewhere" not in json.dumps(task) for task in play.tasks.values()))

    def test_an_answer_may_be_anything(self):
        header = {"name": "Retry-After", "value": "-1\0\r\nx: y"}
        bodies = ("", "\0", "\ufffd" * 100, "{" * 200_000, '{"access_token":"' + "a" * 300_000 + '"}', "9" * 5000)
        for status in (0, 99, 100, 103, 200, 204, 299, 304, 401, 429, 503, 600, 65_535):
            for body in bodies:
                play = Play()
                play.sending()
                output = play.answer("send-request", {"response": {"status": status, "headers": [header] * 50, "body": body}})
                self.assertNotIn("usable", output["access"])
                self.assertLess(output["wake-in-ms"], 3_600_000)
                self.assertLess(len(json.dumps(output)), 20_000)

    def test_an_answer_without_its_fields_costs_advice_and_no_token(self):
        self.serves(Play().serving_by(answer(200, {"access_token": "sk-ant-oat01-first", "expires_in": 3600})))
        play = Play()
        play.sending()
        failure = self.failed(play.answer("send-request", answer(429, "{}")), "rate-limited")
        # Nobody finds it in the endpoint's history, and it waits for a time of its own.
        self.assertNotIn("request-id", failure)
        self.assertLess(failure["retry-in-ms"], 60_000)

    def test_an_answer_that_is_cut_off_is_no_token(self):
        whole = canonical({"access_token": "sk-ant-oat01-first", "expires_in": 3600, "token_type": "Bearer"})
        for length in range(len(whole)):
            output = Play().serving_by(answer(200, whole[:length]))
            self.failed(output, "answer-unusable")

    def test_a_signature_that_is_none_costs_a_refusal(self):
        play = at("sign")
        play.answer("sign", {"content": "bm8gc2lnbmF0dXJl"})
        self.assertEqual(len(play.sent), 1)
        self.failed(play.answer("send-request", REFUSED), "refused")

    def test_a_source_that_is_answered_from_a_cache_shows_no_rotation(self):
        play = Play()
        play.serving()
        answers = {"read-file": {"content": identity_token()}, "send-request": granted("sk-ant-oat01-second")}
        # The file was rotated long ago, and the driver reads it no more.
        play.quiet(answers, 3_600_000, "needed")
        self.failed(play.step("needed"), "identity-token-spent", "identity-token-expired")
        self.sent_once(play)

    def test_a_callable_that_answers_from_a_cache_gives_the_rejected_token(self):
        play = Play(BEARER, ["supply-token"])
        play.step("woken")
        kept = {"token": {"value": "sk-ant-oat01-first", "expires-at-ms": START_MS + 3_600_000}}
        self.serves(play.answer("supply-token", kept))
        play.step({"rejected": id_of("sk-ant-oat01-first")}, 10_000)
        self.assertEqual(play.tasks[play.number("supply-token")]["supply-token"]["rejected"], id_of("sk-ant-oat01-first"))
        output = play.answer("supply-token", kept)
        # It is not published as good once more.
        self.assertNotEqual(output["access"].get("usable", {}).get("standing"), "good")

    def test_content_may_be_anything(self):
        contents = ("", "\0", "\ufffd\ufffd", "eyJ.eyJ.e", "a" * 1_000_000, "{" * 100_000, identity_token() * 300, "\ud800")
        for content in contents:
            for kind in ("read-file", "supply-assertion", "sign", "read-variable"):
                play = at(kind)
                output = play.answer(kind, {"content": content})
                self.assertNotIn("usable", output["access"])
                if kind != "sign":
                    self.assertEqual(play.sent, [])

    def test_a_long_text_is_cut(self):
        canary = "x" * 200 + "canary"
        for kind, outcome in (("read-file", "failed"), ("send-request", "maybe-sent"), ("send-request", "denied")):
            play = at(kind)
            failure = self.failed(play.answer(kind, {outcome: canary * 1000}), *CODES)
            self.assertNotIn("canary", failure["message"])
            self.assertLess(len(json.dumps(play.session.status(play.clock()))), 5000)

    def test_a_text_with_a_token_is_withheld(self):
        for kind, outcome in (
            ("read-file", "failed"),
            ("read-file", "denied"),
            ("send-request", "maybe-sent"),
            ("supply-token", "failed"),
        ):
            for secret in (identity_token(), "sk-ant-oat01-" + "canary" * 9):
                play = at(kind)
                output = play.answer(kind, {outcome: f"it did not work with {secret}"})
                self.assertNotIn(secret, json.dumps([output["access"], output["notes"], play.session.status(play.clock())]))

    def test_of_late_results_only_a_successful_exchange_is_taken(self):
        play = at("supply-token")
        number = play.number("supply-token")
        self.assertEqual(play.step("woken", play.outputs[-1]["wake-in-ms"])["abandon"], [number])
        output = play.finish(number, {"token": {"value": "sk-ant-oat01-late", "expires-at-ms": 2**42}}, 1000)
        self.assertNotIn("usable", output["access"])

    def test_a_supplied_token_that_has_expired_is_not_served(self):
        for expires_at_ms in (0, 1, 1_789_999_999_999, 1_790_000_000_000):
            play = at("supply-token")
            output = play.answer("supply-token", {"token": {"value": "sk-ant-oat01-old", "expires-at-ms": expires_at_ms}})
            self.assertNotIn("usable", output["access"])
        for expires_at_ms in (2**63, 2**64 - 1):
            play = at("supply-token")
            self.token(play.answer("supply-token", {"token": {"value": "sk-ant-oat01-new", "expires-at-ms": expires_at_ms}}))
            self.token(play.step("needed", 3_600_000))


class Rejections(SessionCase):
    """After a 401."""

    def test_a_rejection_of_another_token_does_nothing(self):
        play = Play()
        before = play.serving()["access"]
        for name in ("", "0123456789abcdef", id_of("sk-ant-oat01-first").upper(), id_of("sk-ant-oat01-first") + " ", "x" * 100_000):
            output = play.step({"rejected": name})
            self.assertEqual(output["access"], before)
            self.rests(output)

    def test_many_rejections_start_one_exchange(self):
        play = Play()
        play.serving()
        play.now_ms += 60_000
        for _ in range(300):
            output = play.step({"rejected": id_of("sk-ant-oat01-first")})
            self.assertEqual(self.token(output)["standing"], "suspect")
        play.answer("read-file", {"content": identity_token("two")})
        self.assertEqual(len(play.sent), 2)
        output = play.answer("send-request", granted("sk-ant-oat01-second"))
        for _ in range(300):
            output = play.step({"rejected": id_of("sk-ant-oat01-first")})
        self.serves(output, "sk-ant-oat01-second")
        self.assertEqual(self.token(output)["standing"], "good")
        self.assertEqual(len(play.sent), 2)

    def test_a_rejection_within_five_seconds_waits(self):
        play = Play()
        play.serving()
        output = play.step({"rejected": id_of("sk-ant-oat01-first")}, 1000)
        self.asks(output)
        # It is served on, so that the API's own answer reaches the caller.
        self.assertEqual(self.token(output)["standing"], "suspect")
        self.assertLessEqual(output["wake-in-ms"], 4000)
        self.asks(play.step("woken", output["wake-in-ms"]), "read-file")

    def test_whoever_asks_before_the_rejection_is_stepped_gets_the_same_token(self):
        play = Play()
        play.serving()
        play.now_ms += 60_000
        again = play.step("needed")
        self.serves(again)
        self.rests(again)
        self.assertEqual(self.token(again)["standing"], "good")
        self.asks(play.step({"rejected": id_of("sk-ant-oat01-first")}), "read-file")

    def test_a_storm_of_hints_sends_nothing_twice(self):
        play = Play()
        play.serving()
        for _ in range(300):
            self.rests(play.step("changed", 10))
        play = Play()
        play.sending()
        play.answer("send-request", answer(503, ""))
        for _ in range(100):
            output = play.step("changed", 10)
            for numbered in output["tasks"]:
                play.finish(numbered["number"], {"content": identity_token()})
        self.assertEqual(len(play.sent), 1)

    def test_after_closing_no_event_starts_anything(self):
        play = Play()
        play.serving()
        play.step("closing")
        for event in ("woken", "needed", "changed", "closing", {"rejected": id_of("sk-ant-oat01-first")}, ABSENT):
            for after_ms in (0, 3_000_000):
                output = play.step(event, after_ms)
                self.rests(output)
                self.assertNotIn("journal", output)
                if output["access"] == "closed":
                    self.assertNotIn("wake-in-ms", output)

    def test_a_result_after_closing_is_lost(self):
        play = Play()
        play.sending()
        output = play.step("closing", 100)
        self.assertEqual(output["abandon"], [play.number("send-request")])
        output = play.answer("send-request", granted())
        self.assertEqual(output["access"], "closed")
        # The identity token is spent for nothing. The journal of before says that it may be, so it is not sent for ever.
        play.open({"resumed": play.journal})
        play.quiet({"read-file": {"content": identity_token()}, "send-request": REFUSED}, play.now_ms + 400_000, "woken")
        self.failed(play.outputs[-1], "identity-token-spent")
        self.assertEqual(len(play.sent), 2)


class Owners(SessionCase):
    """Tasks whose owners vanish."""

    def test_silence_makes_a_task_lost_where_owners_vanish(self):
        play = Play(can=["read-file", "owners-vanish"])
        play.sending()
        number = play.number("send-request")
        for _ in range(20):
            self.assertIn("pending", play.step({"still-running": number}, 1000)["access"])
        self.assertIn("pending", play.step("woken", 4999)["access"])
        output = play.step("woken", 1)
        self.assertIn("task-lost", self.codes(output))
        self.failed(output, "endpoint-unreachable")
        # It was slow and not gone: its result is still good.
        self.serves(play.finish(number, granted(), 1000))

    def test_still_running_without_the_capability_means_nothing(self):
        play = Play()
        output = play.sending()
        number, end = play.number("send-request"), output["wake-in-ms"]
        for named in (number, 0, 2**32 - 1):
            self.assertIn("pending", play.step({"still-running": named}, (end - 1) // 3)["access"])
        # It lengthens nothing.
        self.assertEqual(play.step("woken", end - play.now_ms)["abandon"], [number])

    def test_nothing_is_asked_without_its_capability(self):
        needs = {"send-request": None, "load-entry": "store", "swap-entry": "store"}
        configurations = [{}, BEARER, *(federation(source) for source in ("file", "shared", "minted", "signer"))]
        for can in (
            [],
            ["read-file"],
            ["read-variable"],
            ["store"],
            ["supply-assertion", "supply-token"],
            ["sign"],
            ["owners-vanish"],
        ):
            for configuration in configurations:
                try:
                    play = Play(configuration, can)
                except Refused:
                    continue  # Without that capability the document can never work.
                play.quiet(dict.fromkeys(OUTCOMES, "absent") | {kind: "absent" for kind in KINDS}, 30_000, "woken")
                for task in play.tasks.values():
                    need = needs.get(next(iter(task)), next(iter(task)))
                    self.assertIn(need, [None, *can], configuration)

    def test_an_answer_without_its_capability_means_nothing(self):
        with self.assertRaises(Refused):
            Play(can=[])
        # Discovery finds out that it needs a file, and cannot have it.
        play = Play({}, ["read-variable"])
        play.step("woken")
        for number in range(1, 40):
            for outcome in ({"content": "/token"}, {"content": identity_token()}, granted()):
                output = play.finish(number, outcome)
                self.assertNotIn("usable", output["access"])
        self.failed(output, "configuration", "unsupported-by-host")
        self.assertEqual(play.sent, [])


class Clocks(SessionCase):
    """What time it is."""

    def test_the_wall_clock_may_be_anything(self):
        play = Play()
        end = self.token(play.serving())["unusable-in-ms"]
        for wall in (-1_790_000_000_000, -3_600_000, 3_600_000, 10**15, 2**63 - 2 * 10**12):
            play.wall_ahead_ms = wall - play.now_ms
            self.assertEqual(self.token(play.step("needed"))["unusable-in-ms"], end - play.now_ms)
        alone = Play(steady=False)
        alone.serving()
        for wall in (-1_790_000_000_000, -3_600_000, -40_000, 0):
            alone.wall_ahead_ms = wall
            output = alone.step("needed")
            if "usable" in output["access"]:
                self.assertLessEqual(self.token(output)["unusable-in-ms"], end)

    def test_a_steady_clock_that_goes_back_lengthens_nothing(self):
        play = Play()
        play.serving()
        play.now_ms += 3_000_000
        left = self.token(play.step("woken"))["unusable-in-ms"]
        for back in (1, 1000, 2_999_999, 3_004_999):
            play.steady_ahead_ms = -back
            self.assertLessEqual(self.token(play.step("needed"))["unusable-in-ms"], left)
        self.sent_once(play)

    def test_a_steady_clock_that_comes_and_goes_lengthens_nothing(self):
        for begins_with in (True, False):
            play = Play(steady=begins_with)
            play.serving()
            ends_at = 3_595_000
            for round in range(1, 80):
                play.steady = round % 2 == begins_with
                output = play.step(("needed", "woken", "changed")[round % 3], 50_000)
                if "usable" in output["access"]:
                    self.assertLessEqual(play.now_ms + self.token(output)["unusable-in-ms"], ends_at)
            self.assertNotIn("usable", output["access"])
            self.sent_once(play)

    def test_a_steady_clock_that_stops_serves_a_dead_token(self):
        play = Play()
        play.serving()
        # Suspended for two hours, on a clock that did not count them: the session cannot know, and the API's 401 tells it.
        play.now_ms += 7_200_000
        play.steady_ahead_ms = -7_200_000
        self.serves(play.step("needed"))
        play.step({"rejected": id_of("sk-ant-oat01-first")}, 10_000)
        self.assertIn("read-file", play.tasks[max(play.tasks)])


class Journals(SessionCase):
    """Traps, restarts, reloads."""

    def reopened(self, play, start, **more):
        other = Play(play.configuration, play.can, start, 9, play.now_ms + 6000, **more)
        other.sent = play.sent
        return other

    def test_the_newest_journal_sends_nothing_twice(self):
        play = Play()
        play.serving()
        for seed in (1, 2):
            again = self.reopened(play, {"resumed": play.journal})
            again.open({"resumed": play.journal}, seed)
            self.serves(again.sending())
            again.step("needed", 3_550_000)
            again.answer("read-file", {"content": identity_token()})
        self.sent_once(play)

    def test_an_older_journal_sends_the_identity_token_again(self):
        play = Play()
        play.sending()
        old = play.journal
        play.answer("send-request", granted())
        # The journal from before the answer: sent, and nobody knows what came of it.
        again = self.reopened(play, {"resumed": old})
        again.quiet({"read-file": {"content": identity_token()}, "send-request": REFUSED}, 400_000, "woken")
        self.failed(again.outputs[-1], "identity-token-spent")
        self.assertEqual(len(play.sent), 2)

    def test_a_request_without_a_result_is_sent_once_more_at_most(self):
        play = Play()
        play.sending()
        for _ in range(5):
            play.open({"resumed": play.journal})
            output = play.quiet(
                {"read-file": {"content": identity_token()}, "send-request": REFUSED}, play.now_ms + 400_000, "woken"
            )
            self.failed(output, "identity-token-spent")
        self.assertEqual(len(play.sent), 2)

    def test_fresh_after_another_session_sends_a_spent_token(self):
        play = Play()
        play.serving()
        again = self.reopened(play, "fresh")
        again.quiet({"read-file": {"content": identity_token()}, "send-request": REFUSED}, 400_000, "woken")
        # It knows nothing, so it takes the refusal for one that burns nothing, and repeats it.
        self.failed(again.outputs[-1], "refused")
        self.assertGreater(len(play.sent), 3)

    def test_lost_where_nothing_came_before_costs_nothing(self):
        play = Play(start="lost")
        self.serves(play.serving())
        again = Play(start="lost")
        again.sending()
        self.failed(again.answer("send-request", REFUSED), "identity-token-spent")
        self.sent_once(again)

    def test_a_journal_that_cannot_be_kept_sends_nothing(self):
        for outcome in ("unkept", "denied"):
            play = Play()
            play.sending()
            output = play.answer("send-request", {outcome: "the disk is full"})
            self.assertIn("full", self.failed(output, "store-failed", "denied-by-host")["message"])
            play.quiet({"read-file": {"content": identity_token()}, "send-request": {outcome: "full"}}, 1_000_000)
            # Nothing left, so the identity token is as good as before.
            play.quiet({"read-file": {"content": identity_token()}, "send-request": granted()}, 2_000_000, "changed")
            self.serves(play.outputs[-1])

    def test_results_of_an_earlier_session_mean_nothing(self):
        play = Play()
        play.sending()
        old = dict(play.tasks)
        play.open({"resumed": play.journal})
        # Before the new session has asked for anything, and with numbers that it will use itself for other tasks.
        for number in old:
            output = play.finish(number, granted("sk-ant-oat01-old"))
            self.assertNotIn("usable", output["access"])
        play.step("woken")
        for outcome in (granted("sk-ant-oat01-old"), {"token": {"value": "sk-ant-oat01-old"}}):
            output = play.finish(play.number("read-file"), outcome)
            self.assertNotIn("usable", output["access"])

    def test_a_journal_cut_off_anywhere_counts_as_lost(self):
        play = Play()
        play.serving()
        for length in range(len(play.journal)):
            again = Play(start={"resumed": play.journal[:length]})
            output = again.step("woken")
            self.assertIn("state-ignored", self.codes(output))
            self.asks(output, "read-file")
        again.answer("read-file", {"content": identity_token()})
        self.failed(again.answer("send-request", REFUSED), "identity-token-spent")

    def test_a_journal_that_is_no_journal_counts_as_lost(self):
        play = Play()
        play.serving()
        text = play.journal
        broken = [
            "",
            "null",
            "[]",
            "{}",
            "\0",
            "{" * 100_000,
            "9" * 100_000,
            text + text,
            text.replace('"version":1', '"version":2'),
        ]
        broken += [text.replace(digit, "-" + digit, 1) for digit in "123456789"] + [text.replace("3600000", "1e400")]
        broken += [text.replace("spent", "unspent"), text.replace("1790003600000", "18446744073709551615")]
        for journal in broken:
            again = self.reopened(play, {"resumed": journal})
            output = again.sending()
            if "usable" in output["access"]:
                # What was changed was no harm: it serves within the times that are known.
                self.assertLessEqual(self.token(output).get("unusable-in-ms", 2**64), 3_600_000)
            elif "send-request" in json.dumps(output["tasks"]):
                self.failed(again.answer("send-request", REFUSED), "identity-token-spent")

    def test_a_journal_of_another_configuration_keeps_what_was_spent(self):
        play = Play()
        play.serving()
        other = federation(base_url="https://elsewhere.example")
        again = Play(other, start={"resumed": play.journal}, now_ms=6000)
        output = again.step("woken")
        self.assertNotIn("usable", output["access"])
        again.quiet({"read-file": {"content": identity_token()}}, 60_000)
        self.failed(again.outputs[-1], "identity-token-spent")
        self.assertEqual(again.sent, [])

    def test_a_journal_survives_a_reboot(self):
        play = Play()
        play.serving()
        # The steady clock begins anew.
        again = self.reopened(play, {"resumed": play.journal})
        again.steady_ahead_ms = -again.now_ms
        output = again.sending()
        self.serves(output)
        self.assertLessEqual(self.token(output)["unusable-in-ms"], 3_595_000 - 6000)

    def test_a_journal_from_another_machine_keeps_what_was_spent(self):
        for wall in (-86_400_000, -3_600_000, -40_000, 40_000, 1_800_000):
            for steady in (True, False):
                play = Play()
                play.serving()
                again = self.reopened(play, {"resumed": play.journal}, steady=steady)
                again.wall_ahead_ms, again.steady_ahead_ms = wall, 10**9
                output = again.sending()
                if "usable" in output["access"]:
                    self.assertLessEqual(self.token(output)["unusable-in-ms"], 3_595_000)
                again.quiet({"read-file": {"content": identity_token()}}, again.now_ms + 10_000, "needed")
                self.sent_once(play)

    def test_equal_seeds_refresh_at_the_same_moment(self):
        def refresh(seed):
            return self.token(Play(seed=seed).serving())["refresh-in-ms"]

        self.assertEqual(refresh(1), refresh(1))
        self.assertGreater(len({refresh(seed) for seed in range(20)}), 15)


class Stores(SessionCase):
    """What sessions share."""

    def test_a_store_that_always_agrees_makes_two_exchanges(self):
        entries, plays = {}, [Play(can=["read-file", "store"], seed=seed) for seed in (1, 2)]

        def swap(request):
            entries[request["key"]] = request["value"]
            return {"swapped": str(len(entries))}

        for play in plays:
            play.sending()
            play.answer("load-entry", "absent")
        for play in plays:
            play.answer("swap-entry", swap(play.tasks[play.number("swap-entry")]["swap-entry"]))
        # Each saw its own lease swapped in. A store that had compared would have let one of them go on.
        self.assertEqual([len(play.sent) for play in plays], [1, 1])
        self.serves(plays[0].answer("send-request", granted()))
        self.failed(plays[1].answer("send-request", REFUSED), "refused")

    def test_versions_that_do_not_change_lengthen_nothing(self):
        play = Play(can=["read-file", "store"])
        play.step("woken")
        entry = {}

        def swap(request):
            entry["value"] = request["value"]
            return {"swapped": "always the same"}

        def load(_):
            return {"entry": {"version": "always the same", "value": entry["value"]}} if entry else "absent"

        answers = {"load-entry": load, "swap-entry": swap, "read-file": {"content": identity_token()}, "send-request": granted()}
        play.quiet(answers, until_ms=3_000_000)
        output = play.step("woken")
        self.serves(output)
        self.assertEqual(play.now_ms + self.token(output)["unusable-in-ms"], 3_595_000)
        self.sent_once(play)

    def test_a_cache_that_refuses_a_swap_is_no_cache(self):
        play = Play(federation("minted"), ["supply-assertion", "cache"])
        answers = {"load-entry": "absent", "supply-assertion": {"content": identity_token()}, "send-request": granted()}
        answers["swap-entry"] = {"conflict": {"version": "1", "value": "not ours"}}
        self.serves(play.quiet(answers, until_ms=10_000, event="woken"))
        # It tries to write what it knows, a bounded number of times a second, and serves meanwhile.
        self.assertLess(len(play.tasks), 10 * 20)
        self.sent_once(play)

    def test_an_entry_that_a_host_wrote_is_ignored(self):
        for value in ("", "{}", "null", '{"token":"sk-ant-oat01-forged"}', "[" * 10_000):
            play = at("load-entry")
            output = play.answer("load-entry", {"entry": {"version": "1", "value": value}})
            self.assertNotIn("usable", output["access"])
            # And it is replaced, by its version, by what a session writes.
            self.assertEqual(play.tasks[play.number("swap-entry")]["swap-entry"]["expected"], "1")

    def test_one_operation_of_the_store_is_out_at_a_time(self):
        play = at("load-entry")
        for event in ("woken", "needed", "changed") * 20:
            play.step(event)
        self.assertEqual(len(play.tasks), 2)
        # Out of order: the second operation is not there yet, so there is nothing to answer early.
        play.finish(3, {"swapped": "1"})
        self.assertEqual(play.sent, [])
        play.answer("load-entry", "absent")
        for event in ("woken", "needed", "changed") * 20:
            play.step(event)
        out = [task for task in play.tasks.values() if task.keys() & {"load-entry", "swap-entry"}]
        self.assertEqual(len(out), 2)


class Table(unittest.TestCase):
    """`tests/contract/sentences.md`. That each sentence stands there is checked beside it."""

    def test_every_test_here_stands_beside_a_sentence(self):
        import callers

        table = (Path(__file__).parents[1] / "contract" / "sentences.md").read_text()
        listed = {test for line in table.splitlines() for test in re.split(r", | \| ", line.strip("| "))[1:]}
        of = [("", case) for case in (Steps, Results, Rejections, Owners, Clocks, Journals, Stores)]
        of += [(case.__name__ + ".", case) for case in (callers.Callers, callers.Recovery, callers.Policy)]
        tests = {prefix + name.removeprefix("test_") for prefix, case in of for name in dir(case) if name.startswith("test_")}
        self.assertEqual(tests - listed, set())


KINDS = ("send-request", "read-file", "read-variable", "supply-assertion", "supply-token", "sign", "load-entry", "swap-entry")
CODES = ("identity-token-unreadable", "endpoint-unreachable", "denied-by-host")

if __name__ == "__main__":
    unittest.main()
