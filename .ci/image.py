"""Packs what a registry holds, as an archive of an OCI layout. The same files give the same bytes.

    image.py program PROGRAM VERSION OUT
        a container image: the static program, the machine's root certificates, an empty /tmp and nothing else
    image.py component COMPONENT VERSION OUT
        a WebAssembly component in the layout of the CNCF, which `wkg` and component hosts read; SOURCE_DATE_EPOCH is when it was made
"""

import datetime
import gzip
import hashlib
import io
import json
import os
import pathlib
import sys
import tarfile

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
USER = 65532
IMAGE = "application/vnd.oci.image"


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def as_json(document):
    return json.dumps(document, sort_keys=True).encode()


def entry(archive, name, content=None, mode=0o644):
    info = tarfile.TarInfo(name)
    info.mode = mode
    if content is None:
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    else:
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))


class Layout:
    """The blobs of one artefact, and the index that names it."""

    def __init__(self):
        self.blobs = []

    def blob(self, media_type, content, **more):
        self.blobs.append(content)
        return {"mediaType": media_type, "digest": digest(content), "size": len(content), **more}

    def write(self, out, title, version, config, layers, **described):
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{IMAGE}.manifest.v1+json",
            "config": config,
            "layers": layers,
            "annotations": {
                "org.opencontainers.image.title": title,
                "org.opencontainers.image.version": version,
                "org.opencontainers.image.licenses": "Apache-2.0",
            },
        }
        named = {"org.opencontainers.image.ref.name": version}
        index = {
            "schemaVersion": 2,
            "mediaType": f"{IMAGE}.index.v1+json",
            "manifests": [self.blob(manifest["mediaType"], as_json(manifest), annotations=named, **described)],
        }
        with tarfile.open(out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            entry(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            entry(archive, "index.json", as_json(index))
            for content in self.blobs:
                entry(archive, "blobs/sha256/" + hashlib.sha256(content).hexdigest(), content)


def root_directory(program):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for folder in ("etc", "etc/ssl", "etc/ssl/certs"):
            entry(archive, folder, mode=0o755)
        entry(archive, CERTIFICATES[1:], pathlib.Path(CERTIFICATES).read_bytes())
        entry(archive, "tmp", mode=0o1777)
        entry(archive, "wif", pathlib.Path(program).read_bytes(), mode=0o755)
    return raw.getvalue()


def pack_program(program, version, out):
    raw = root_directory(program)
    platform = {"architecture": "amd64", "os": "linux"}
    config = {
        **platform,
        "config": {"Entrypoint": ["/wif"], "User": str(USER), "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [digest(raw)]},
    }
    layout = Layout()
    config = layout.blob(f"{IMAGE}.config.v1+json", as_json(config))
    layer = layout.blob(f"{IMAGE}.layer.v1.tar+gzip", gzip.compress(raw, compresslevel=9, mtime=0))
    layout.write(out, "wif", version, config, [layer], platform=platform)


def pack_component(path, version, out):
    from wasmtime import Engine
    from wasmtime.component import Component

    content = pathlib.Path(path).read_bytes()
    engine = Engine()
    kind = Component(engine, content).type
    made = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    config = {
        "created": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "architecture": "wasm",
        # The layout has this one name for all components.
        "os": "wasip2",
        "layerDigests": [digest(content)],
        "component": {"imports": sorted(kind.imports(engine)), "exports": sorted(kind.exports(engine))},
    }
    layout = Layout()
    config = layout.blob("application/vnd.wasm.config.v0+json", as_json(config))
    # Clients that write each layer into a file take its name from here, and leave out a layer that has none.
    layer = layout.blob("application/wasm", content, annotations={"org.opencontainers.image.title": pathlib.Path(path).name})
    layout.write(out, pathlib.Path(path).stem, version, config, [layer])


{"program": pack_program, "component": pack_component}[sys.argv[1]](*sys.argv[2:])
