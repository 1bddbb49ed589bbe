"""The credential component in wasmtime, spoken to in the contract's JSON form.

    plugin = Plugin(open("wif_plugin.wasm", "rb").read())
    session = plugin.open({"configuration": "{}", "seed": 1, "can": ["read-variable"], "from": "fresh"})
    output = session.step({"wall-ms": 1790000000000, "steady-ms": 5000}, "woken")

Nothing here knows a field or a case of the contract: the component itself says what its types are, and the rules of
`wit/README.md`, "The JSON form", do the rest. A new field needs no change here.
"""

import re
import threading

from wasmtime import Config, Engine, Store, WasmtimeError
from wasmtime import component as wasm

# A session's limits. Fuel counts instructions, so a loop ends after the same work on every machine. An identity token of 16 KiB, the
# longest that a session takes, costs 2.3 million; no step of the tests costs an eighth of the limit.
MEMORY_BYTES = 8 << 20
FUEL_PER_CALL = 200_000_000


class Stopped(Exception):
    """The component trapped, or reached a limit. Its instance is dead: open another from the newest journal."""


class Refused(Exception):
    """`open` refused the configuration; `error` is the contract's `configuration-error`."""

    def __init__(self, error):
        super().__init__(shown(f"{error['field'] or 'configuration'}: {error['message']}"))
        self.error = error


def shown(text):
    """For people: cut, and without what would write lines of a log, move a terminal's cursor, or turn the direction of a line (9)."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]", " ", text[:2000])


class Plugin:
    """A component of the world `plugin`, compiled once. Every session gets an instance of its own."""

    def __init__(self, binary):
        config = Config()
        config.consume_fuel = True
        self.engine = Engine(config)
        self.component = wasm.Component(self.engine, binary)
        exports = self.component.type.exports(self.engine)
        # The contract's version is part of the name. Any is taken, for this driver reads the types.
        self.interface = next(name for name in exports if name.startswith("wif:credential/session@"))
        self._shapes = {}

    def open(self, opening):
        """A session, opened with the parameters of `open` by their names."""
        return Session(self, opening)

    def shape(self, name, kind):
        """The parameters' names, what writes them, and what reads the result. A result's `err` is read, for its `ok` is a session."""
        if name not in self._shapes:
            result = kind.result.err if isinstance(kind.result, wasm.ResultType) else kind.result
            names = [parameter for parameter, _ in kind.params if parameter != "self"]
            writers = [writer(of) for parameter, of in kind.params if parameter != "self"]
            self._shapes[name] = names, writers, reader(result)
        return self._shapes[name]


class Session:
    """One session in an instance of its own. A trap ends both."""

    def __init__(self, plugin, opening):
        self._stepping = threading.Lock()
        self._store = Store(plugin.engine)
        self._store.set_limits(memory_size=MEMORY_BYTES, memories=4, tables=4, instances=16)
        self._store.set_fuel(FUEL_PER_CALL)
        # Nothing is linked: a component that imports anything does not pass here.
        self._instance = wasm.Linker(plugin.engine).instantiate(self._store, plugin.component)
        at = self._instance.get_export_index(self._store, plugin.interface)
        self._functions = {}
        for name in ("[static]session.open", "[method]session.step", "[method]session.status", "[method]session.entry-key"):
            function = self._instance.get_func(self._store, self._instance.get_export_index(self._store, name, at))
            short = name.split(".")[1]
            self._functions[short] = (function, *plugin.shape(short, function.type(self._store)))
        function, names, writers, read_error = self._functions["open"]
        opened = self._call(function, [write(opening[name]) for name, write in zip(names, writers)])
        if not isinstance(opened, wasm.ResourceAny):
            raise Refused(read_error(opened))
        self._session = opened

    def step(self, now, event):
        """Takes an event and answers with an `output`."""
        return self._method("step", now, event)

    def status(self, now):
        """A glance that changes nothing."""
        return self._method("status", now)

    def entry_key(self):
        """The key of this identity's entry in a store, or None."""
        return self._method("entry-key")

    def _method(self, name, *arguments):
        function, _, writers, read = self._functions[name]
        return read(self._call(function, [self._session, *(write(value) for write, value in zip(writers, arguments))]))

    def _call(self, function, values):
        # Steps of one session are serial. Whoever breaks that is told here: a store is not made for two threads.
        if not self._stepping.acquire(blocking=False):
            raise RuntimeError("steps of one session are serial, and another one is running")
        try:
            self._store.set_fuel(FUEL_PER_CALL)
            return function(self._store, *values)
        except WasmtimeError as error:
            # The last line says what happened; the rest is a backtrace.
            raise Stopped(str(error).strip().splitlines()[-1]) from None
        finally:
            self._stepping.release()


# ---- the JSON form --------------------------------------------------------------------------------------------------------------
#
# Asking wasmtime for a type costs more than the step itself, so a type becomes a function once.


def writer(kind):
    """What makes a value of this type from the JSON form. Unknown keys are errors."""
    if isinstance(kind, wasm.RecordType):
        fields = {name: (writer(of), isinstance(of, wasm.OptionType)) for name, of in kind.fields}
        return lambda json: write_record(json, fields)
    if isinstance(kind, wasm.VariantType):
        cases = {tag: of and writer(of) for tag, of in kind.cases}
        return lambda json: write_variant(json, cases)
    if isinstance(kind, wasm.OptionType):
        write = writer(kind.payload)
        return lambda json: None if json is None else write(json)
    if isinstance(kind, wasm.ListType):
        write_item = writer(kind.element)
        return lambda json: [write_item(item) for item in json]
    # A string of the contract holds no lone surrogate, and one of Python may.
    return lambda json: json.encode(errors="replace").decode() if isinstance(json, str) else json


def write_record(json, fields):
    if not isinstance(json, dict) or json.keys() - fields.keys():
        raise ValueError(f"{sorted(fields)} are the fields, not {sorted(json) if isinstance(json, dict) else json}")
    record = wasm.Record()
    for name, (write, optional) in fields.items():
        if name not in json and not optional:
            raise ValueError(f"the field {name} is missing")
        setattr(record, name, write(json.get(name)))
    return record


def write_variant(json, cases):
    # Every variant of the contract has a shape whose tag wasmtime keeps.
    tag, payload = (json, None) if isinstance(json, str) else next(iter(json.items()))
    if tag not in cases or (cases[tag] is None) != isinstance(json, str):
        raise ValueError(f"{json} is none of {sorted(cases)}")
    return wasm.Variant(tag, cases[tag] and cases[tag](payload))


def reader(kind):
    """What makes the JSON form from a value of this type."""
    if isinstance(kind, wasm.RecordType):
        fields = [(name, reader(of), isinstance(of, wasm.OptionType)) for name, of in kind.fields]
        return lambda value: {
            name: read(getattr(value, name)) for name, read, optional in fields if not optional or getattr(value, name) is not None
        }
    if isinstance(kind, wasm.VariantType):
        cases = {tag: of and reader(of) for tag, of in kind.cases}
        return lambda value: {value.tag: cases[value.tag](value.payload)} if cases[value.tag] else value.tag
    if isinstance(kind, wasm.OptionType):
        read = reader(kind.payload)
        return lambda value: None if value is None else read(value)
    if isinstance(kind, wasm.ListType):
        read_item = reader(kind.element)
        return lambda value: [read_item(item) for item in value]
    return lambda value: value
