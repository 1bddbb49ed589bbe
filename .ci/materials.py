"""Writes what a program or component is made of, as CycloneDX: materials.py PACKAGE TARGET OUT [FEATURES]

The crates that are linked, by cargo's own resolution, with the checksums of Cargo.lock. What runs only while building is left out.
"""

import json
import subprocess
import sys
import tomllib

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], check=True, capture_output=True, text=True).stdout


def linked_crates(name, target, features):
    """Names and versions. `cargo tree` tells apart what features a crate has in a program and in a build script; the metadata does not."""
    which = ["--package", name, "--target", target, "--features", features]
    tree = cargo("tree", "--locked", *which, "--edges", "normal", "--prefix", "none", "--format", "{p}")
    lines = {line.split(" (")[0] for line in tree.splitlines() if line and "(proc-macro)" not in line}
    return {tuple(line.split(" v")) for line in lines}


def checksums():
    with open("Cargo.lock", "rb") as file:
        packages = tomllib.load(file)["package"]
    return {(package["name"], package["version"]): package["checksum"] for package in packages if "checksum" in package}


def component(package, checksum, kind=ComponentType.LIBRARY):
    url = PackageURL("cargo", name=package["name"], version=package["version"])
    # Some old crates write "/" where SPDX writes "OR".
    license = (package["license"] or "").replace("/", " OR ")
    return Component(
        type=kind,
        name=package["name"],
        version=package["version"],
        bom_ref=str(url),
        purl=url,
        licenses=[LicenseFactory().make_from_string(license)] if license else [],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=checksum)] if checksum else [],
    )


def main(name, target, out, features=""):
    known = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", target))
    crates = linked_crates(name, target, features)
    packages = {package["id"]: package for package in known["packages"]}
    nodes = {node["id"]: node for node in known["resolve"]["nodes"]}
    (root,) = [id for id in known["workspace_members"] if packages[id]["name"] == name]

    def linked(id):
        for dependency in nodes[id]["deps"]:
            package = packages[dependency["pkg"]]
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if normal and (package["name"], package["version"]) in crates:
                yield package["id"]

    digests = checksums()
    components, open_ids = {}, [root]
    while open_ids:
        id = open_ids.pop()
        if id not in components:
            package = packages[id]
            kind = ComponentType.APPLICATION if id == root else ComponentType.LIBRARY
            components[id] = component(package, digests.get((package["name"], package["version"])), kind)
            open_ids.extend(linked(id))

    bom = Bom()
    bom.metadata.component = components[root]
    bom.components.update(part for id, part in components.items() if id != root)
    for id, part in components.items():
        bom.register_dependency(part, [components[dependency] for dependency in linked(id)])
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    # The same sources give the same list.
    document.pop("serialNumber")
    document["metadata"].pop("timestamp")
    with open(out, "w") as file:
        json.dump(document, file, indent=2)
    print(f"{out}: {len(components)} crates")


main(*sys.argv[1:])
