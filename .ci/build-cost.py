"""Measures the processor time of builds from nothing: build-cost.py [--write] [RELEASE]

It measures the README's first command, as in a clean clone; it takes as long as that takes, with half a minute for the demo. With the
folder RELEASE that `bash .ci/release RELEASE` made, it measures a program of a few lines that depends on the library in there instead.
Sources are downloaded before. `--write` puts the number into `tests/benches/numbers.json` and the tables made of it.

Processor time is what all processes of a build took together, in user and system mode: other work on the machine changes it little.
"""

import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
NUMBERS = ROOT / "tests/benches/numbers.json"
# Minutes of one processor.
AIM = 8
MANIFEST = """[package]
name = "first"
edition = "2024"

[dependencies]
wif = "*"
tokio = { version = "1", features = ["macros", "rt-multi-thread"] }

[patch.crates-io]
"""
PROGRAM = """#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{}", wif::Credential::discover()?.token().await?.origin());
    Ok(())
}
"""


def processor_seconds(command, folder, target):
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target), "CARGO_TERM_COLOR": "never"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=sys.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_command(work):
    first = next(line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("cargo "))
    subprocess.run(["cargo", "fetch", "--locked"], cwd=ROOT, check=True)
    return processor_seconds(["bash", "-c", first], ROOT, work / "first-command")


def dependent(work, release):
    project = work / "dependent"
    (project / "src").mkdir(parents=True)
    patches = ""
    for crate in sorted(release.glob("*.crate")):
        name = crate.stem.rpartition("-")[0]
        # As of now: cargo takes files with the old times of an archive for built before.
        subprocess.run(["tar", "-xzmf", str(crate), "-C", str(project)], check=True)
        patches += f'{name} = {{ path = "{crate.stem}" }}\n'
    (project / "Cargo.toml").write_text(f"{MANIFEST}{patches}\n[workspace]\n")
    (project / "src/main.rs").write_text(PROGRAM)
    # The versions that the release was tested with; what the program does not need is dropped from the list.
    shutil.copy(ROOT / "Cargo.lock", project)
    shutil.copy(ROOT / "rust-toolchain.toml", project)
    subprocess.run(["cargo", "fetch"], cwd=project, check=True)
    return processor_seconds(["cargo", "build", "--release", "--offline"], project, work / "dependent-target")


def number(name, what, seconds):
    return {
        "id": f"build.{name}",
        "what": what,
        "unit": "nanoseconds",
        "measured": round(seconds * 1e9, 0),
        "quartiles": None,
        "baseline": None,
        "ratio": None,
        "target": f"≤ {AIM} min",
        "met": seconds <= AIM * 60,
        "remark": None if seconds <= AIM * 60 else "Why is in the documentation of wif-benches.",
    }


def write(measured):
    document = json.loads(NUMBERS.read_text())
    kept = [known for known in document["numbers"] if known["id"] != measured["id"]]
    NUMBERS.write_text(json.dumps({**document, "numbers": [*kept, measured]}, indent=2, ensure_ascii=False) + "\n")
    subprocess.run(["cargo", "run", "--quiet", "--package", "wif-benches", "--", "render"], cwd=ROOT, check=True)


def main(arguments):
    options = [argument for argument in arguments if argument.startswith("-")]
    releases = [pathlib.Path(argument).resolve() for argument in arguments if not argument.startswith("-")]
    if set(options) - {"--write"} or len(releases) > 1:
        sys.exit("usage: build-cost.py [--write] [RELEASE]")
    with tempfile.TemporaryDirectory(prefix="wif-build-cost-") as work:
        work = pathlib.Path(work)
        if releases:
            measured = number("dependent", "A clean build of a program that depends on the library, processor time", dependent(work, releases[0]))
        else:
            measured = number("command", "A clean build of the command, processor time", first_command(work))
    print(f"{measured['measured'] / 60e9:.1f} min  {measured['what']}")
    if options:
        write(measured)


main(sys.argv[1:])
