"""Packs a static program into a container image, as an archive of an OCI layout: image.py PROGRAM VERSION OUT

The image has the program, the machine's root certificates, an empty /tmp and nothing else: no shell, no libraries. The same files
give the same bytes.
"""

import gzip
import hashlib
import io
import json
import sys
import tarfile

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
USER = 65532


def entry(archive, name, content=None, mode=0o644):
    info = tarfile.TarInfo(name)
    info.mode = mode
    if content is None:
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    else:
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))


def layer(program):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for folder in ("etc", "etc/ssl", "etc/ssl/certs"):
            entry(archive, folder, mode=0o755)
        entry(archive, CERTIFICATES[1:], read(CERTIFICATES))
        entry(archive, "tmp", mode=0o1777)
        entry(archive, "wif", read(program), mode=0o755)
    return raw.getvalue()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def main(program, version, out):
    raw = layer(program)
    packed = gzip.compress(raw, compresslevel=9, mtime=0)
    blobs = []

    def blob(media_type, content, **more):
        blobs.append(content)
        return {"mediaType": media_type, "digest": digest(content), "size": len(content), **more}

    def document(media_type, content, **more):
        return blob(media_type, json.dumps(content, sort_keys=True).encode(), **more)

    image = "application/vnd.oci.image"
    annotations = {
        "org.opencontainers.image.title": "wif",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.licenses": "Apache-2.0",
    }
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/wif"], "User": str(USER), "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [digest(raw)]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{image}.manifest.v1+json",
        "config": document(f"{image}.config.v1+json", config),
        "layers": [blob(f"{image}.layer.v1.tar+gzip", packed)],
        "annotations": annotations,
    }
    index = {
        "schemaVersion": 2,
        "mediaType": f"{image}.index.v1+json",
        "manifests": [
            document(
                manifest["mediaType"],
                manifest,
                platform={"architecture": "amd64", "os": "linux"},
                annotations={"org.opencontainers.image.ref.name": version},
            )
        ],
    }
    with tarfile.open(out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        entry(archive, "index.json", json.dumps(index, sort_keys=True).encode())
        for content in blobs:
            entry(archive, "blobs/sha256/" + hashlib.sha256(content).hexdigest(), content)


main(*sys.argv[1:])
