"""A driver by the rules of `wit/session.wit`: the example for authors of drivers. The numbers in comments are those of the rules.

    plugin = Plugin(Path("wif_plugin.wasm").read_bytes())
    with Driver(plugin, '{"federation": {…}}') as credential:
        token = credential.token(timeout=30)
        send(carry(Request("POST", url, headers, []), token))

One thread steps the session. It takes events from a queue, so steps are serial. Every task runs in a thread of its own and puts
what came of it into the queue. Callers read a snapshot, and never step.
"""

import contextlib
import json
import queue
import re
import secrets
import threading
import time
from dataclasses import dataclass
from typing import Any

from component import Refused, Stopped, shown
from tasks import AUTHORITY, RULES, Allowance, Denied, Tasks

NEVER = float("inf")
# What is never exceeded, whatever a session says (9).
LIMITS = AUTHORITY["limits"]
MAX_TASKS, MAX_LIST, MAX_HOLD_MS = LIMITS["tasks"], LIMITS["list"], LIMITS["wait-at-most-ms"]
WAKE_MS = LIMITS["wake-at-least-ms"], LIMITS["wake-at-most-ms"]
# In a second, so that nothing that the component says keeps this thread busy (3, 9).
MAX_STEPS = 64
MAX_WAITERS = 1000
# How often callers say `needed`, however many there are.
NEEDED_EVERY_MS = 1000
# The pauses before a session that stopped again is opened anew; after the last of them it is the journal that it dies of.
PAUSES_MS = (0, 1000, 4000, 16000)
FORGIVEN_AFTER_MS = 60_000
# What so many sessions trapped on is kept from the next ones, for so long.
STRIKES, STRUCK_FOR_MS = 2, 600_000
CLOSE_AFTER_SECONDS = 40


class Unavailable(Exception):
    """There is no token. A proxy answers with `code` and `retry_after_s`. `failure` is the contract's record, where the session said why
    so long ago."""

    def __init__(self, code, message, failure=None, age_ms=0):
        super().__init__(message)
        self.code, self.failure = code, failure
        seconds = RULES["replies"]["retry-after-s"]
        left_ms = max(1, (failure or {}).get("retry-in-ms", seconds["otherwise"] * 1000 + age_ms) - age_ms)
        self.retry_after_s = seconds[code] if code in seconds else min(-(-left_ms // 1000), seconds["otherwise"])


@dataclass(frozen=True)
class Snapshot:
    """What callers may do, and since when. Immutable: callers read it without a lock."""

    number: int
    at_ms: float
    access: Any
    underway: bool
    wait_at_most_ms: int

    @property
    def token(self):
        return self.access.get("usable") if isinstance(self.access, dict) else None

    def until(self, name):
        """The moment of a time of `usable`: absent means never."""
        return self.at_ms + self.token.get(name, NEVER)

    def serves(self, now_ms):
        return self.token is not None and now_ms < self.until("unusable-in-ms")


class SystemClock:
    """CLOCK_BOOTTIME counts while the machine sleeps. Where it is missing, rule for `steady-ms`: leave it out of every step."""

    STEADY = getattr(time, "CLOCK_BOOTTIME", None)

    def __init__(self):
        # So that tests can move time. Both clocks move together.
        self.ahead_ms = 0

    def steady_ms(self):
        now_ns = time.monotonic_ns() if self.STEADY is None else time.clock_gettime_ns(self.STEADY)
        return now_ns // 1_000_000 + self.ahead_ms

    def read(self):
        now = {"wall-ms": time.time_ns() // 1_000_000 + self.ahead_ms}
        return now if self.STEADY is None else now | {"steady-ms": self.steady_ms()}


class Driver:
    """One credential. `journal` is the newest one of an earlier session, `ran_before` says that there was one without a journal;
    `keep` stores a journal, where it has to outlive the process, and raises if it cannot."""

    def __init__(self, plugin, configuration, tasks=None, *, journal=None, ran_before=False, keep=None, note=None, clock=None):
        self._plugin, self._configuration = plugin, configuration
        self._tasks = tasks or Tasks(configuration, ["https://api.anthropic.com"])
        self._keep, self._note = keep or (lambda journal: None), note or (lambda note: None)
        self._clock = clock or SystemClock()
        self._journal, self._kept, self._ran_before = journal, True, ran_before or journal is not None
        self._events = queue.Queue()
        self._changed = threading.Condition()
        self._snapshot = Snapshot(0, self._clock.steady_ms(), {"pending": "discovering"}, True, 1000)
        # The last good snapshot of a session that stopped (6), and the last token that serves only those who waited for it.
        self._before = self._passing = None
        self._waiting, self._needed_at_ms = 0, -NEVER
        self._session, self._generation = None, 0
        self._running, self._abandoned = {}, set()  # The kinds of the tasks that are out, by session and number.
        self._second_ms, self._steps, self._rest_seconds = -NEVER, 0, 0
        self._noting, self._keeping = Allowance("notes", "note"), Allowance("entries", "entry")
        self._asking = {kind: Allowance("requests", "request") for kind in ("send-request", "supply-assertion", "sign")}
        self._asking |= {kind: Allowance("entries", "entry") for kind in ("load-entry", "swap-entry")}
        # The kind of the task whose result is handed over now, and how often and when sessions trapped on such results.
        self._handing, self._strikes = None, {}
        self._stops, self._stopped_at_ms, self._wake_at_ms, self._closing = 0, -NEVER, NEVER, False
        self._late = []  # Rejections that no session has heard of.
        self._open()  # A configuration that can never work raises `Refused` here.
        self._thread = threading.Thread(target=self._run, name="credential", daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- for callers --------------------------------------------------------------------------------------------------------

    def token(self, timeout):
        """A token as the contract's `usable`, by the rules for callers' requests. Raises `Unavailable`."""
        give_up_ms = self._clock.steady_ms() + timeout * 1000
        hold_until_ms, held, waits = None, None, False
        with self._changed:
            try:
                joined = self._snapshot.number
                while True:
                    now = self._clock.steady_ms()
                    snapshot = self._snapshot
                    if self._before and self._before.serves(now):
                        snapshot = self._before
                    wait_ms = give_up_ms - now
                    if self._passing and self._passing.number > joined:
                        return self._passing.token
                    if snapshot.serves(now):
                        if now >= snapshot.until("refresh-in-ms"):
                            self._need(now)
                        if now < snapshot.until("hold-in-ms") or not self._snapshot.underway:
                            return snapshot.token
                        if hold_until_ms is None:
                            hold_until_ms, held = now + snapshot.wait_at_most_ms, snapshot.token["id"]
                        if now >= min(hold_until_ms, give_up_ms) or snapshot.token["id"] != held:
                            return snapshot.token
                        wait_ms = min(wait_ms, hold_until_ms - now)
                    elif snapshot.access == "closed" or self._closing:
                        raise Unavailable("closed", "the credential is closed")
                    elif isinstance(snapshot.access, dict) and "failed" in snapshot.access:
                        failure = snapshot.access["failed"].items()
                        failure = {name: shown(value) if isinstance(value, str) else value for name, value in failure}
                        text = shown(f"{failure['message']} {failure['action']}")
                        raise Unavailable(failure["code"], text, failure, now - snapshot.at_ms)
                    elif snapshot.access == "idle" or snapshot.token:
                        self._need(now)
                    if wait_ms <= 0:
                        raise Unavailable("timed-out", f"no token within {timeout} s")
                    if not waits:
                        if self._waiting >= MAX_WAITERS:
                            if snapshot.serves(now):
                                return snapshot.token
                            raise Unavailable("overloaded", "too many callers are waiting")
                        waits, self._waiting = True, self._waiting + 1
                    self._changed.wait(min(wait_ms, NEEDED_EVERY_MS) / 1000)
            finally:
                self._waiting -= waits

    def rejected(self, token_id):
        """The API answered 401 to this token. Returns when the session knows it, so that a caller who asks again does not get it
        back. Send the request once more at most, with another token."""
        before, now = self._before, self._snapshot
        if before and before.token["id"] == token_id:
            self._before = None
        elif now.token and (now.token["id"] != token_id or now.token["standing"] == "suspect"):
            return  # Another token is served already, or a step of before told it.
        stepped = threading.Event()
        self._events.put(({"rejected": token_id}, None, stepped))
        stepped.wait(timeout=5)

    def another(self, token_id, timeout=None):
        """Another token than this one, which the API rejected; None where there is none for so long, or for as long as callers hold."""
        joined, until_ms = self._snapshot.number, None
        self.rejected(token_id)
        with self._changed:
            while True:
                now, snapshot = self._clock.steady_ms(), self._snapshot
                passing = self._passing if self._passing and self._passing.number > joined else None
                if passing:
                    return passing.token if passing.token["id"] != token_id else None
                serves = snapshot.serves(now)
                if serves and snapshot.token["id"] != token_id and snapshot.token["standing"] == "good":
                    return snapshot.token
                if serves and snapshot.token["standing"] == "suspect" and not snapshot.underway:
                    return None  # The session knows, and cannot do anything about it now.
                if snapshot.access == "closed" or isinstance(snapshot.access, dict) and "failed" in snapshot.access:
                    return None
                if snapshot.access == "idle" or snapshot.token and not serves:
                    self._need(now)
                if until_ms is None:
                    until_ms = now + (snapshot.wait_at_most_ms if timeout is None else timeout * 1000)
                if now >= until_ms:
                    return None
                self._changed.wait(min(until_ms - now, NEEDED_EVERY_MS) / 1000)

    def changed(self):
        """A hint: a file or the network may have changed. Also after a clock was moved."""
        self._events.put(("changed", None, None))

    def journal(self):
        """Secret. The newest journal, to open another session from."""
        return self._journal

    def close(self, timeout=CLOSE_AFTER_SECONDS):
        """Lets an exchange that is out end (8), and starts nothing new. The token stays usable until it expires."""
        with self._changed:
            self._changed.wait_for(lambda: not self._snapshot.underway, timeout)
        self._events.put(("closing", None, None))
        self._thread.join()

    def _need(self, now_ms):
        if now_ms - self._needed_at_ms >= NEEDED_EVERY_MS:
            self._needed_at_ms = now_ms
            self._events.put(("needed", None, None))

    # ---- the thread that steps ----------------------------------------------------------------------------------------------

    def _run(self):
        event, stepped = "woken", None
        while not self._closing:
            self._closing = event == "closing"
            if self._session is None and self._reopen():
                self._step("woken")
            if self._session is not None:
                self._step(event)
            elif isinstance(event, dict) and "rejected" in event:
                self._late.append(event)
            if stepped is not None:
                stepped.set()
            if not self._closing:
                event, stepped = self._next()
        if self._session is None:
            self._show("closed", self._clock.steady_ms(), False, 0)

    def _next(self):
        """The next event: what is in the queue, or `woken` when it is time."""
        self._handing = None
        while True:
            if self._late and self._session is not None:
                return self._late.pop(), None
            wait_ms = self._wake_at_ms - self._clock.steady_ms()
            try:
                # An hour at most, because no lock takes an endless time-out.
                event, task, stepped = self._events.get(timeout=min(max(wait_ms, 0), 3_600_000) / 1000)
            except queue.Empty:
                if self._clock.steady_ms() >= self._wake_at_ms:
                    return "woken", None
                continue
            if task is not None:
                if task not in self._running:
                    continue  # Of a session that is gone, or abandoned and unknown: its result says nothing to this one (6).
                self._handing = self._running.pop(task)
                self._abandoned.discard(task)
                if self._strikes_of(self._handing) >= STRIKES:
                    event = {"finished": event["finished"] | {"outcome": "lost"}}
            return event, stepped

    def _strikes_of(self, kind):
        strikes, last_ms = self._strikes.get(kind, (0, -NEVER))
        return strikes if self._clock.steady_ms() - last_ms < STRUCK_FOR_MS else 0

    def _step(self, event):
        """One step, and what follows from it, in the order of the rules."""
        self._pace()
        try:
            now, began = self._clock.steady_ms(), time.monotonic()
            output = self._session.step(self._clock.read(), event)
            took = time.monotonic() - began
            self._rest_seconds = LIMITS["rest"] * took if took * 1000 >= LIMITS["long-step-ms"] else 0
            output = checked(output, self._tasks.allows_origin)
            kinds = self._allowed(output["tasks"])
        except Stopped as stopped:
            if self._handing is not None:
                self._strikes[self._handing] = self._strikes_of(self._handing) + 1, self._clock.steady_ms()
            return self._stop(stopped)
        if now - self._stopped_at_ms > FORGIVEN_AFTER_MS:
            self._stops = 0
        wake = output.get("wake-in-ms")
        self._wake_at_ms = NEVER if wake is None else now + min(max(wake, WAKE_MS[0]), WAKE_MS[1])
        if "journal" in output:
            self._journal, self._kept = output["journal"], False
        if not self._kept and (self._keeping.take() or kinds & {"send-request", "swap-entry"}):
            self._kept = self._keep_journal()  # (5): before any task starts.
        elif not self._kept:
            self._wake_at_ms = min(self._wake_at_ms, now + LIMITS["entry-every-ms"])
        self._publish(output, now)  # (2)
        for note in output["notes"]:
            if self._noting.take():
                self._tell(note)
        # `abandon` allows to stop a task (8). Threads cannot be stopped; what comes late is still taken.
        self._abandoned |= {(self._generation, number) for number in output["abandon"]} & self._running.keys()
        for numbered in output["tasks"]:
            self._start(numbered)

    def _allowed(self, tasks):
        """The kinds of these tasks, if all of them may be started (9)."""
        if len(self._running.keys() - self._abandoned) + len(tasks) > MAX_TASKS:
            raise Stopped("too many tasks at once")
        numbers = {(self._generation, numbered["number"]) for numbered in tasks}
        if len(numbers) < len(tasks) or numbers & self._running.keys():
            raise Stopped("the number of a task is used twice")
        kinds = [next(iter(numbered["task"])) for numbered in tasks]
        if not all(self._asking[kind].take() for kind in kinds if kind in self._asking):
            raise Stopped("too many requests in a short time")
        return set(kinds)

    def _pace(self):
        time.sleep(self._rest_seconds)
        self._rest_seconds = 0
        now = time.monotonic() * 1000
        if now - self._second_ms >= 1000:
            self._second_ms, self._steps = now, 0
        elif self._steps >= MAX_STEPS:
            time.sleep((self._second_ms + 1000 - now) / 1000)
            return self._pace()
        self._steps += 1

    def _tell(self, note):
        # A log that fails is no reason to step no more.
        with contextlib.suppress(Exception):
            fields = [{name: shown(text) for name, text in field.items()} for field in note["fields"]]
            self._note(note | {"message": shown(note["message"]), "fields": fields})

    def _keep_journal(self):
        try:
            self._keep(self._journal)
            return True
        except Exception:
            return False

    def _publish(self, output, now_ms):
        is_underway = output["progress"] == "underway"
        self._show(output["access"], now_ms, is_underway, min(output["wait-at-most-ms"], MAX_HOLD_MS))

    def _show(self, access, now_ms, is_underway, wait_at_most_ms):
        snapshot = Snapshot(self._snapshot.number + 1, now_ms, access, is_underway, wait_at_most_ms)
        with self._changed:
            if snapshot.token:
                self._before = None
                if snapshot.until("unusable-in-ms") <= now_ms:
                    self._passing = snapshot
            self._snapshot = snapshot
            self._changed.notify_all()

    def _start(self, numbered):
        kind, number, kept = next(iter(numbered["task"])), (self._generation, numbered["number"]), self._kept
        self._running[number] = kind

        def run():
            if kind in ("send-request", "swap-entry") and not kept:
                outcome = {"unkept": "the journal cannot be stored"}  # (5)
            else:
                outcome = self._tasks.outcome(numbered["task"])
            self._events.put(({"finished": {"number": numbered["number"], "outcome": outcome}}, number, None))

        # In a thread of its own, so that no task holds up a step (1).
        threading.Thread(target=run, daemon=True).start()

    # ---- sessions that stop -------------------------------------------------------------------------------------------------

    def _open(self):
        start = "lost" if self._ran_before else "fresh"
        if self._journal is not None and self._stops < len(PAUSES_MS):
            start = {"resumed": self._journal}
        opening = {"configuration": self._configuration, "seed": secrets.randbits(64), "from": start}
        self._session = self._plugin.open(opening | {"can": self._tasks.capabilities()})
        self._ran_before = True

    def _stop(self, stopped):
        """The instance is dead. What it had out is dropped; the last snapshot is served on within its times."""
        self._tell({"code": "session-stopped", "level": "error", "message": str(stopped), "fields": []})
        now = self._clock.steady_ms()
        self._session, self._generation, self._stopped_at_ms = None, self._generation + 1, now
        self._running, self._abandoned = {}, set()
        if self._snapshot.serves(now):
            self._before = self._snapshot
        self._wake_at_ms = now + PAUSES_MS[min(self._stops, len(PAUSES_MS) - 1)]
        self._stops += 1

    def _reopen(self):
        """Opens another session when its pause is over, and says whether there is one."""
        if self._clock.steady_ms() < self._wake_at_ms or self._closing:
            return False
        try:
            self._open()
        except (Stopped, Refused) as stopped:
            # It took the configuration before: a component that refuses it now is not itself.
            self._stop(stopped)
        return self._session is not None


# ---- what is checked of an output -----------------------------------------------------------------------------------------------


def checked(output, allows_origin):
    """The output, if callers can live with it (9). One that breaks the contract counts as a trap. Tasks are checked when they are
    done, for a refusal is an answer to them."""
    notes = output["notes"]
    sizes = [len(json.dumps(note, ensure_ascii=False).encode()) for note in notes if len(note["fields"]) <= MAX_LIST]
    if len(notes) > MAX_LIST or len(sizes) < len(notes) or max(sizes, default=0) > LIMITS["note-bytes"]:
        raise Stopped("too much is noted")
    if len(output.get("journal", "").encode()) > LIMITS["journal-bytes"]:
        raise Stopped("the journal is too long")
    token = output["access"].get("usable") if isinstance(output["access"], dict) else None
    if token is None:
        return output
    listed = AUTHORITY["usable"]
    for kind in ("set", "merge"):
        names = [header["name"] for header in token[kind]]
        if not set(names) <= set(listed[kind]) or len(set(names)) < len(names):
            raise Stopped("a header field is no part of a credential, or is there twice")
        for header in token[kind]:
            value = header["value"]
            if not re.fullmatch(r"[!-~]([ -~\t]*[!-~])?", value) or len(value) > LIMITS["field-bytes"]:
                raise Stopped(f"the value of the header {header['name']} is none")
    if len([header for header in token["set"] if header["name"] in listed["credential"]]) != 1:
        raise Stopped("a token is one credential, and no more")
    if not re.fullmatch(r"[0-9a-f]{16}", token["id"]):
        raise Stopped("the token is none")
    try:
        # Nothing but an origin: callers compare the whole text.
        bare = token["origin"].isascii() and re.fullmatch(r"[a-zA-Z]+://[^/?#@\\\s]+/?", token["origin"])
        allowed = bare and allows_origin(token["origin"])
    except (Denied, ValueError):
        allowed = False
    if not allowed:
        message, action = f"The policy does not allow {token['origin']}.", "Allow it, or mend `base_url`."
        return output | {"access": {"failed": {"code": "denied-by-host", "message": message, "action": action}}}
    return output
