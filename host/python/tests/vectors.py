"""Runs the conformance vectors on `wif.Session`: `python vectors.py FOLDER`. The runner is the one of the driver in Python, which brings
a component of its own; the session here is the library's."""

import importlib.util
import json
import sys
import types
from pathlib import Path

import wif


class Refused(Exception):
    """The session refuses the configuration."""

    def __init__(self, error):
        super().__init__(error)
        self.error = error


class Plugin:
    """Opens sessions."""

    def open(self, opening):
        try:
            return wif.Session(opening["configuration"], seed=opening["seed"], can=opening["can"], start=opening["from"])
        except wif.ConfigurationError as error:
            message = str(error).removeprefix(f"{error.field}: ")
            raise Refused({"field": error.field, "message": message}) from None


component = types.ModuleType("component")
component.Plugin, component.Refused = Plugin, Refused
sys.modules["component"] = component

# By its path, for it has the name of this file.
source = Path(__file__).parents[3] / "tests/python/vectors.py"
specification = importlib.util.spec_from_file_location("runner", source)
runner = importlib.util.module_from_spec(specification)
specification.loader.exec_module(runner)


def reason(vector):
    """Why it does not hold. A step that takes longer than a tenth of a second is stopped, which happens on a busy machine."""
    for _ in range(20):
        try:
            return runner.failure(Plugin(), vector)
        except wif.NoTokenError as error:
            if error.code != "component-stopped":
                raise
    return "the component is stopped each time"


for name, vector in runner.vectors(sys.argv[1]):
    print(json.dumps({"name": name, "reason": reason(vector)}))
