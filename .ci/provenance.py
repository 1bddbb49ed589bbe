"""Prints where the files of a release come from, as an in-toto statement with SLSA provenance: provenance.py DIR COMMIT

The statement is not signed: whoever publishes the files signs it with a key that they vouch for.
"""

import hashlib
import json
import pathlib
import subprocess
import sys


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def said(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main(folder, commit):
    files = sorted(path for path in pathlib.Path(folder).iterdir() if path.is_file())
    compiler = dict(line.split(": ", 1) for line in said("rustc", "-vV").splitlines() if ": " in line)
    lock_files = ["Cargo.lock", "host/js/package-lock.json"]
    dependencies = [
        {"name": "sources", "digest": {"gitCommit": commit}},
        {"name": f"rustc {compiler['release']} {compiler['host']}", "digest": {"gitCommit": compiler["commit-hash"]}},
    ]
    dependencies += [{"name": name, "digest": {"sha256": sha256(pathlib.Path(name))}} for name in lock_files]
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": path.name, "digest": {"sha256": sha256(path)}} for path in files],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:wif:release:1",
                "externalParameters": {"command": "bash .ci/release DIR", "commit": commit},
                "internalParameters": {"node": said("node", "--version")},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {"builder": {"id": "urn:wif:release:local"}},
        },
    }
    print(json.dumps(statement, indent=2))


main(*sys.argv[1:])
