"""Loads the released components with wasmtime for Python, and asks the plugin for its first task: components.py DIR"""

import pathlib
import sys

from wasmtime import Engine, Store
from wasmtime import component as components

SESSION = "wif:credential/session@"
CONFIGURATION = """{"federation": {
    "federation_rule_id": "fdrl_01example", "organization_id": "00000000-0000-4000-8000-000000000000",
    "identity_token": {"source": "file", "path": "/var/run/secrets/token"}}}"""


def load(engine, folder, name):
    component = components.Component.from_file(engine, str(folder / name))
    return component, sorted(component.type.imports(engine)), sorted(component.type.exports(engine))


def main(folder):
    folder = pathlib.Path(folder)
    engine = Engine()
    plugin, imports, exports = load(engine, folder, "wif_plugin.wasm")
    assert imports == [], imports
    (session,) = [name for name in exports if name.startswith(SESSION)]
    # What the interposer imports of this project, the other component exports: `wac plug` composes them.
    _, wanted, _ = load(engine, folder, "wif_interposer.wasm")
    _, _, offered = load(engine, folder, "wif_standalone_async.wasm")
    assert {name for name in wanted if name.startswith("wif:")} <= set(offered), (wanted, offered)
    _, _, offered = load(engine, folder, "wif_standalone.wasm")
    assert any(name.startswith("wif:credential/token@") for name in offered), offered

    store = Store(engine)
    instance = components.Linker(engine).instantiate(store, plugin)
    interface = instance.get_export_index(store, session)

    def call(name, *arguments):
        function = instance.get_func(store, instance.get_export_index(store, name, interface))
        return function(store, *arguments)

    opened = call("[static]session.open", CONFIGURATION, 1, ["read-file"], components.Variant("fresh"))
    assert not isinstance(opened, components.Record), f"the configuration is refused: {vars(opened)}"
    clock = components.Record()
    setattr(clock, "wall-ms", 1_774_000_000_000)
    setattr(clock, "steady-ms", 0)
    output = call("[method]session.step", opened, clock, components.Variant("woken"))
    tasks = getattr(output, "tasks")
    assert tasks, output
    print(session, "asks first to", getattr(tasks[0], "task").tag)


main(sys.argv[1])
