"""The driver with its world in a test's hands: it steps when it is told to, on a clock that stands still, and starts nothing."""

import queue
import re
import threading

from driver import NEVER, WAKE_MS, Driver
from tasks import Tasks, parse_origin
from vectors import Mismatch


class StandingClock:
    """Stands where it was put."""

    def __init__(self, steady_ms=0):
        self.now = {"wall-ms": 0, "steady-ms": steady_ms}

    def steady_ms(self):
        return self.now.get("steady-ms", self.now["wall-ms"])

    def read(self):
        return self.now


class Listening:
    """A plugin whose sessions are remembered, with all that they say."""

    def __init__(self, plugin, opening):
        self.plugin, self.opening, self.outputs = plugin, opening, []

    def open(self, opening):
        # The seed and the beginning are the vector's.
        self.session = self.plugin.open(opening | self.opening)
        return self

    def step(self, now, event):
        self.outputs.append(self.session.step(now, event))
        return self.outputs[-1]


class Stepped(Driver):
    """A driver that a test steps."""

    def _run(self):
        pass

    def _pace(self):
        pass

    def _start(self, numbered):
        self.started.append(numbered)


class Driven:
    """In place of the component for `vectors.py`: each session has a driver around it, which is held to what the session says."""

    def __init__(self, plugin, vector):
        self.plugin = plugin
        # Which of them may be used is a matter of policies, and vectors know none.
        self.origins = sorted(set(re.findall(r"https://[a-z0-9.-]+(?::\d+)?", str(vector))))

    def open(self, opening):
        return DrivenSession(self.plugin, opening, self.origins)


class DrivenSession:
    def __init__(self, plugin, opening, origins):
        self.listening, self.clock = Listening(plugin, opening), StandingClock()
        tasks = Tasks("{}", ["https://api.anthropic.com"])
        tasks.origins = [parse_origin(origin) for origin in origins] + tasks.origins
        self.kept = []
        self.driver = Stepped(self.listening, opening["configuration"], tasks, keep=self.kept.append, clock=self.clock)
        self.driver.started = []

    def step(self, now, event):
        self.clock.now, self.kept[:], self.driver.started[:] = now, [], []
        self.driver._step(event)
        output = self.listening.outputs[-1]
        self.hold(output, now)
        return output

    def hold(self, output, now):
        """The driver has done what the output says."""
        driver, at_ms = self.driver, self.clock.steady_ms()
        wake = output.get("wake-in-ms")
        wakes_at = NEVER if wake is None else at_ms + min(max(wake, WAKE_MS[0]), WAKE_MS[1])
        for what, done, said in (
            ("the access that callers see", driver._snapshot.access, output["access"]),
            ("whether work is under way", driver._snapshot.underway, output["progress"] == "underway"),
            ("the tasks that were started", driver.started, output["tasks"]),
            ("the journals that were kept", self.kept, [output["journal"]] if "journal" in output else []),
            ("when it wakes", driver._wake_at_ms, wakes_at),
        ):
            if done != said:
                raise Mismatch(f"the driver: {what}: {done} is not {said}")

    def status(self, now):
        return self.listening.session.status(now)

    def entry_key(self):
        return self.listening.session.entry_key()


# ---- a driver whose threads are its own, in virtual time ------------------------------------------------------------------------


class Events(queue.Queue):
    """Knows whether the thread that steps has nothing to do: it waits for what is not there yet."""

    rests = False
    taken = False

    def get(self, timeout):
        if self.taken:
            self.task_done()
        # With no time left it goes on at once.
        self.taken, self.rests = False, timeout > 0
        try:
            item = super().get(timeout=timeout)
            self.taken = True
            return item
        finally:
            self.rests = False

    def is_quiet(self):
        return self.rests and self.unfinished_tasks == 0


class Changed(threading.Condition):
    """Knows who waits and was not woken."""

    def __init__(self):
        super().__init__()
        self.parked = set()

    def wait(self, timeout=None):
        me = threading.get_ident()
        self.parked.add(me)
        try:
            return super().wait(timeout)
        finally:
            self.parked.discard(me)

    def notify_all(self):
        self.parked.clear()
        super().notify_all()


class Standing(Driver):
    """A driver whose threads run, on a clock that a test moves."""

    def __setattr__(self, name, value):
        super().__setattr__(name, {"_events": Events, "_changed": Changed}[name]() if name in ("_events", "_changed") else value)

    def look_again(self):
        """Whoever waits looks at the clock."""
        with self._changed:
            self._changed.notify_all()
        # A result of nobody's task says nothing to anybody.
        self._events.put((None, "nobody's", None))

    def is_quiet(self, callers):
        """Nothing happens any more before the clock is moved."""
        with self._changed:
            return (self._events.is_quiet() or not self._thread.is_alive()) and len(self._changed.parked) == callers
