"""Packs the static command for people who have pip or npm at hand. The same files give the same bytes.

    wrap.py wheel PROGRAM MACHINE VERSION DIR
        a wheel whose only content is the program: pip puts it among the scripts of its environment
    wrap.py npm PROGRAM MACHINE VERSION DIR
        an npm package whose `bin` is the program

MACHINE is x86_64 or aarch64. SOURCE_DATE_EPOCH is when it was made.
"""

import base64
import gzip
import hashlib
import io
import json
import os
import pathlib
import sys
import tarfile
import time
import zipfile

SUMMARY = "The command wif: an access token for the Claude API from the identity token of a workload. One static file for Linux."
PAGE = f"""# The command wif

{SUMMARY} There is no code in this package beside it.

```sh
wif demo                    # the whole life of a credential, against a local emulator, in half a minute
wif emulate -- wif token    # a token, from that emulator
wif status                  # which credential is configured here, and what would fail
```

`wif --help` lists the commands, and `wif COMMAND --help` every option.
"""
MADE = int(os.environ["SOURCE_DATE_EPOCH"])
# What Node calls them.
NPM_MACHINES = {"x86_64": "x64", "aarch64": "arm64"}


def wheel(program, machine, version, folder):
    # A static program asks nothing of a C library, of whichever age or make.
    tags = [f"py3-none-{system}_{machine}" for system in ("manylinux_2_17", "manylinux2014", "musllinux_1_1")]
    name, info = f"wif_cli-{version}", f"wif_cli-{version}.dist-info"
    platforms = ".".join(tag.rpartition("-")[2] for tag in tags)
    metadata = [
        "Metadata-Version: 2.4",
        "Name: wif-cli",
        f"Version: {version}",
        f"Summary: {SUMMARY}",
        "License-Expression: Apache-2.0",
        "License-File: LICENSE",
        "Description-Content-Type: text/markdown",
        "",
        PAGE,
    ]
    described = ["Wheel-Version: 1.0", "Generator: wif", "Root-Is-Purelib: false", *(f"Tag: {tag}" for tag in tags), ""]
    files = [
        (f"{name}.data/scripts/wif", 0o755, pathlib.Path(program).read_bytes()),
        (f"{info}/METADATA", 0o644, "\n".join(metadata).encode()),
        (f"{info}/WHEEL", 0o644, "\n".join(described).encode()),
        (f"{info}/licenses/LICENSE", 0o644, pathlib.Path("LICENSE").read_bytes()),
    ]
    record = "".join(f"{path},sha256={sha256(content)},{len(content)}\n" for path, _, content in files)
    files.append((f"{info}/RECORD", 0o644, f"{record}{info}/RECORD,,\n".encode()))
    out = pathlib.Path(folder) / f"{name}-py3-none-{platforms}.whl"
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path, mode, content in files:
            entry = zipfile.ZipInfo(path, time.gmtime(MADE)[:6])
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def sha256(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def npm(program, machine, version, folder):
    name = f"wif-cli-linux-{NPM_MACHINES[machine]}"
    manifest = {
        "name": name,
        "version": version,
        "description": SUMMARY,
        "license": "Apache-2.0",
        "os": ["linux"],
        "cpu": [NPM_MACHINES[machine]],
        "bin": {"wif": "bin/wif"},
    }
    files = [
        ("package.json", 0o644, json.dumps(manifest, indent=2).encode()),
        ("bin/wif", 0o755, pathlib.Path(program).read_bytes()),
        ("LICENSE", 0o644, pathlib.Path("LICENSE").read_bytes()),
        ("README.md", 0o644, PAGE.encode()),
    ]
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, mode, content in files:
            entry = tarfile.TarInfo(f"package/{path}")
            entry.mode, entry.mtime, entry.size = mode, MADE, len(content)
            archive.addfile(entry, io.BytesIO(content))
    out = pathlib.Path(folder) / f"{name}-{version}.tgz"
    out.write_bytes(gzip.compress(raw.getvalue(), compresslevel=9, mtime=0))


{"wheel": wheel, "npm": npm}[sys.argv[1]](*sys.argv[2:])
