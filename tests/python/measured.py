"""What the component costs from Python: `python measured.py PLUGIN`. Processor time, so that a busy machine matters less; and the
instructions that a step executes, which are the same on every machine."""

import resource
import statistics
import sys
import time
from pathlib import Path

from component import FUEL_PER_CALL, Plugin
from world import Play, granted, identity_token


def timed(run, rounds):
    times = []
    for _ in range(rounds):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return statistics.median(times)


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if sys.platform == "linux" else 0
    return pages * resource.getpagesize()


def tell(what, seconds, play=None):
    fuel = "" if play is None else f"{FUEL_PER_CALL - play.session._store.get_fuel():>9} instructions"
    print(f"{what:<46} {seconds * 1e6:>9.0f} µs {fuel}")


def main(component):
    binary = Path(component).read_bytes()
    tell("the component compiled, once in a process", timed(lambda: Plugin(binary), 3))
    tell("a session opened in an instance of its own", timed(Play, 100))
    play = Play()
    play.serving()
    tell("a step that changes nothing", timed(lambda: play.step("woken"), 500), play)
    for size in (1024, 16 * 1024):
        token, plays = identity_token("x" * (size * 3 // 4 - 280)), [Play() for _ in range(50)]
        for one in plays:
            one.reading()
        left = iter(plays)
        seconds = timed(lambda: next(left).answer("read-file", {"content": token}), 50)
        tell(f"an identity token of {len(token)} bytes", seconds, plays[-1])
    left = iter(plays)
    tell("the token endpoint's answer", timed(lambda: next(left).answer("send-request", granted()), 50), plays[-1])
    tell("a status", timed(lambda: play.session.status(play.clock()), 200), play)
    before, kept = resident_bytes(), []
    for _ in range(200):
        kept.append(Play())
        kept[-1].serving()
        kept[-1].outputs.clear()
    if before:
        print(f"{'memory of the process for one more session':<46} {(resident_bytes() - before) / len(kept) / 1024:>9.0f} KiB")


if __name__ == "__main__":
    main(sys.argv[1])
