"""Loads the released components and the core module with wasmtime for Python, reads the components that registries hold, and asks the
plugin for its first task: components.py DIR"""

import gzip
import hashlib
import json
import pathlib
import sys
import tarfile

from wasmtime import Engine, Module, Store
from wasmtime import component as components

SESSION = "wif:credential/session@"
CONFIGURATION = """{"federation": {
    "federation_rule_id": "fdrl_01example", "organization_id": "00000000-0000-4000-8000-000000000000",
    "identity_token": {"source": "file", "path": "/var/run/secrets/token"}}}"""


def load(engine, folder, name):
    component = components.Component.from_file(engine, str(folder / name))
    return component, sorted(component.type.imports(engine)), sorted(component.type.exports(engine))


def held(archive):
    """The component in an archive of an OCI layout, as whoever pulls it finds it: by digests from the index on; its file's name before,
    its description after."""
    with tarfile.open(archive) as files:

        def blob(descriptor):
            content = files.extractfile("blobs/" + descriptor["digest"].replace(":", "/")).read()
            assert "sha256:" + hashlib.sha256(content).hexdigest() == descriptor["digest"], archive
            assert len(content) == descriptor["size"], archive
            return content

        (manifest,) = json.load(files.extractfile("index.json"))["manifests"]
        manifest = json.loads(blob(manifest))
        (layer,) = manifest["layers"]
        kinds = manifest["config"]["mediaType"], layer["mediaType"]
        assert kinds == ("application/vnd.wasm.config.v0+json", "application/wasm"), kinds
        name = layer["annotations"]["org.opencontainers.image.title"]
        return name, blob(layer), json.loads(blob(manifest["config"]))["component"]


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

    for name in ("plugin", "standalone", "standalone_async", "interposer"):
        file, content, told = held(folder / f"wif-{name.replace('_', '-')}.oci.tar")
        assert file == f"wif_{name}.wasm", file
        assert content == (folder / f"wif_{name}.wasm").read_bytes(), name
        _, imports, exports = load(engine, folder, f"wif_{name}.wasm")
        assert told == {"imports": imports, "exports": exports}, told
        # Backtraces have numbers, which the file beside it names.
        names = (folder / f"wif_{name}.names").read_text()
        assert "wif_" in names and not any(line.split(" ", 1)[1].encode() in content for line in names.splitlines() if "::" in line), name
    print("4 components are in their archives")

    # For runtimes that know no components: as a component it would not load.
    flat = Module.from_file(engine, str(folder / "wif_flat.wasm"))
    assert [entry.name for entry in flat.imports] == []
    assert {"memory", "wif_open", "wif_step"} <= {entry.name for entry in flat.exports}
    assert "wif_flat::" in (folder / "wif_flat.names").read_text()

    # In KiB, and after gzip.
    for name, most, packed_most in (("plugin", 420, 160), ("flat", 420, 180)):
        content = (folder / f"wif_{name}.wasm").read_bytes()
        packed = len(gzip.compress(content, 9))
        print(f"{name} weighs {len(content)} bytes, and {packed} after gzip")
        assert len(content) <= most * 1024 and packed <= packed_most * 1024, name

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
