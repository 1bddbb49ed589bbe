"""Runs the conformance vectors on the component with the driver around it: `python vectors.py PLUGIN FOLDER`.

`tests/vectors/README.md` describes the format. Prints a line of JSON for each file: its name, and why it failed or null.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path

from component import Plugin, Refused


class Mismatch(Exception):
    """What was not as expected."""


# ---- values that stand for others -----------------------------------------------------------------------------------------------


def canonical(value):
    """JSON without spaces, keys sorted."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def jwt(claims):
    """An unsigned JWT with these claims."""
    segments = ['{"alg":"ES256","kid":"k"}', canonical(claims), "signature"]
    return ".".join(base64.urlsafe_b64encode(segment.encode()).rstrip(b"=").decode() for segment in segments)


def id_of(token):
    """A token's id."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


class Names:
    """The values that a vector has given names to."""

    def __init__(self, raw):
        self.known = {}
        waiting = dict(raw)
        while waiting:
            # Names may refer to each other; a file has few of them.
            done = []
            for name, value in waiting.items():
                try:
                    self.known[name] = self.expand(value)
                    done.append(name)
                except Mismatch as error:
                    why = error
            if not done:
                raise why
            for name in done:
                del waiting[name]

    def expand(self, value, tasks=()):
        """The value with everything replaced that stands for something else. `tasks` are the unanswered ones."""
        if isinstance(value, list):
            return [self.expand(item, tasks) for item in value]
        if not isinstance(value, dict):
            return value
        if self.stands_for_another(value):
            return self.stand_in(value, tasks)
        return {name: self.expand(member, tasks) for name, member in value.items()}

    @staticmethod
    def stands_for_another(value):
        stand_ins = {"$named", "$jwt", "$id-of", "$text", "$concat", "$repeat", "$task"}
        return isinstance(value, dict) and bool(stand_ins & value.keys())

    def stand_in(self, value, tasks=()):
        name = next(name for name in value if name != "$where")
        argument = value[name]
        if name == "$named":
            if argument not in self.known:
                raise Mismatch(f"nothing is named {argument}")
            return self.known[argument]
        if name == "$task":
            return self.task(argument, value.get("$where"), tasks)
        if name == "$repeat":
            return self.expand(argument["text"], tasks) * argument["times"]
        expanded = self.expand(argument, tasks)
        stands_for = {"$jwt": jwt, "$id-of": id_of, "$text": canonical, "$concat": "".join}
        return stands_for[name](expanded)

    def task(self, kind, where, tasks):
        """The number of the newest unanswered task of a kind."""
        for number, task in reversed(tasks):
            if isinstance(task, dict) and kind in task and (where is None or holds(task[kind], where, self)):
                return number
        raise Mismatch(f"there is no open task {kind} {where}, but {tasks}")


# ---- expectations ---------------------------------------------------------------------------------------------------------------


def holds(actual, expected, names):
    try:
        match(actual, expected, names)
        return True
    except Mismatch:
        return False


def match(actual, expected, names, path=""):
    """Compares what an expectation names, and raises `Mismatch` with the place that differs."""
    if names.stands_for_another(expected):
        expected = names.stand_in(expected)
    elif isinstance(expected, dict) and any(name.startswith("$") for name in expected):
        for matcher, argument in expected.items():
            if not apply(matcher, argument, actual, names, path):
                raise Mismatch(f"{path}: {canonical(actual)} does not fit {matcher} {canonical(argument)}")
        return
    elif isinstance(expected, dict) and isinstance(actual, dict):
        for name, member in expected.items():
            if name in actual:
                match(actual[name], member, names, f"{path}.{name}")
            elif not (isinstance(member, dict) and "$absent" in member):
                raise Mismatch(f"{path}.{name}: missing, where {canonical(member)} is expected")
        return
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(actual) != len(expected):
            raise Mismatch(f"{path}: {len(actual)} items, where {len(expected)} are expected: {canonical(actual)}")
        for index, (one, other) in enumerate(zip(actual, expected)):
            match(one, other, names, f"{path}[{index}]")
        return
    if canonical(actual) != canonical(expected):
        raise Mismatch(f"{path}: {canonical(actual)} is not {canonical(expected)}")


def apply(matcher, argument, actual, names, path):
    if matcher == "$any":
        return True
    if matcher == "$absent":
        return False
    if matcher == "$between":
        return isinstance(actual, (int, float)) and argument[0] <= actual <= argument[1]
    if matcher == "$contains":
        if isinstance(actual, str):
            return all(names.expand(part) in actual for part in argument)
        return isinstance(actual, list) and all(any(holds(item, part, names) for item in actual) for part in argument)
    if matcher == "$lacks":
        return not any(
            any(holds(item, part, names) for item in actual)
            if isinstance(actual, list) and isinstance(part, dict)
            else names.expand(part) in canonical(actual)
            for part in argument
        )
    if matcher == "$json":
        match(json.loads(actual), argument, names, path)
        return True
    if matcher == "$save":
        names.known[argument] = actual
        return True
    raise Mismatch(f"no matcher is called {matcher}")


# ---- a run ----------------------------------------------------------------------------------------------------------------------


class Run:
    """A vector around a session."""

    def __init__(self, plugin, vector):
        self.plugin, self.vector = plugin, vector
        self.names = Names(vector.get("names", {}))
        self.opening = {
            "configuration": self.configuration(vector["configuration"]),
            "seed": vector["seed"],
            "can": vector["can"],
            "from": self.names.expand(vector.get("start", "fresh")),
        }
        self.tasks, self.secrets, self.journal, self.output = [], [], None, {}
        self.session = plugin.open(self.opening)

    def configuration(self, configuration):
        expanded = self.names.expand(configuration)
        return expanded if isinstance(expanded, str) else canonical(expanded)

    def run(self):
        jumped = 0
        for index, step in enumerate(self.vector.get("steps", [])):
            jumped += step.get("wall-jump-ms", 0)
            clock = {"wall-ms": max(0, self.vector["wall-ms"] + step["at-ms"] + jumped)}
            if "steady-ms" in self.vector:
                clock["steady-ms"] = self.vector["steady-ms"] + step["at-ms"]
            try:
                self.take(step, clock)
            except Mismatch as error:
                raise Mismatch(f"step {index} (at {step['at-ms']} ms): {error}") from None

    def take(self, step, clock):
        if len(step.keys() & {"event", "variables", "reopen"}) != 1:
            raise Mismatch("a step has exactly one of event, variables and reopen")
        if "event" in step:
            self.step(clock, self.names.expand(step["event"], self.tasks))
        elif "variables" in step:
            self.answer_variables(clock, step["variables"])
        else:
            self.reopen(step["reopen"])
        status = self.session.status(clock)
        for key, what, actual in (
            ("expect", "output: ", self.output),
            ("status", "status: ", status),
            ("entry-key", "entry key", self.session.entry_key()),
        ):
            if key in step:
                try:
                    match(actual, step[key], self.names)
                except Mismatch as error:
                    raise Mismatch(f"{what}{error}\n{canonical(actual)}") from None
        access = self.output.get("access")
        failed = access.get("failed") if isinstance(access, dict) else None
        shown = canonical([self.output.get("notes"), failed, status])
        for secret in self.secrets:
            if secret in shown:
                raise Mismatch(f"the secret {secret} shows in {shown}")

    def step(self, clock, event):
        if isinstance(event, dict) and "finished" in event:
            number = event["finished"]["number"]
            self.tasks = [task for task in self.tasks if task[0] != number]
            self.secrets += secrets_in(event["finished"]["outcome"])
        self.output = self.session.step(clock, event)
        self.tasks += [(task["number"], task["task"]) for task in self.output["tasks"]]
        self.journal = self.output.get("journal", self.journal)

    def answer_variables(self, clock, variables):
        unasked = set(variables)
        while True:
            asked = [(number, task["read-variable"]) for number, task in self.tasks if "read-variable" in task]
            if not asked:
                break
            number, name = asked[0]
            unasked.discard(name)
            outcome = {"content": self.names.expand(variables[name])} if name in variables else "absent"
            self.step(clock, {"finished": {"number": number, "outcome": outcome}})
        if unasked:
            raise Mismatch(f"the variables {sorted(unasked)} were not asked for")

    def reopen(self, reopen):
        start = "fresh" if self.journal is None else {"resumed": self.journal}
        self.opening |= {"seed": reopen["seed"], "from": self.names.expand(reopen.get("start", start))}
        if "configuration" in reopen:
            self.opening["configuration"] = self.configuration(reopen["configuration"])
        self.tasks, self.output = [], {}
        self.session = self.plugin.open(self.opening)


def secrets_in(outcome):
    """What nobody may see: JWTs, access tokens, and whatever a vector marks as a canary."""
    text = "".join(c if c.isascii() and c.isalnum() or c in "-_." else " " for c in json.dumps(outcome, ensure_ascii=False))
    return [piece for piece in text.split() if piece.startswith(("eyJ", "sk-ant-", "canary")) and len(piece) > 11]


def failure(plugin, vector):
    """Why the vector does not hold, or None."""
    try:
        if "refused" not in vector:
            return Run(plugin, vector).run()
        try:
            Run(plugin, vector)
        except Refused as refused:
            return match(refused.error, vector["refused"], Names(vector.get("names", {})), "refusal")
        return "the configuration was accepted"
    except Mismatch as error:
        return str(error)


def with_preset(vector, presets):
    """What a vector, or a preset, says together with the preset that it begins with."""
    if "preset" not in vector:
        return vector
    whole = dict(with_preset(presets[vector["preset"]], presets))
    names, steps = whole.get("names", {}) | vector.get("names", {}), whole.get("steps", []) + vector.get("steps", [])
    return whole | vector | {"names": names, "steps": steps}


def vectors(folder):
    """Each vector by its name."""
    presets = json.loads((Path(folder) / "presets.json").read_text("utf-8"))
    for path in sorted(Path(folder).rglob("*.json")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name != "presets":
            yield name, with_preset(json.loads(path.read_text("utf-8")), presets)


def main(component, folder):
    from driven import Driven

    plugin = Plugin(Path(component).read_bytes())
    for name, vector in vectors(folder):
        print(json.dumps({"name": name, "reason": failure(Driven(plugin, vector), vector)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
