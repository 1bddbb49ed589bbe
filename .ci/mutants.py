"""Builds a crate once with every change of cargo-mutants in it, switched on one at a time, and says which no test notices.

cargo-mutants chooses the changes; building the crate anew for each would take days. Called by `.ci/mutants`:
    mutants.py TOOL FOLDER CRATE [FILE...]
`CRATE` is the engine or the Rust host, by its folder. `FOLDER` gets the changed copy of the tree, and `verdicts.json`. `.ci/mutants.txt`
explains the changes that may go unnoticed.
"""

import collections
import dataclasses
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import time

import tree_sitter
import tree_sitter_rust

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXPLAINED = ROOT / ".ci" / "mutants.txt"
RUST = tree_sitter.Parser(tree_sitter.Language(tree_sitter_rust.language()))
# The engine's tests, all that there are. What tells most comes first, as the first that fails ends the look at a change. MUTANTS_TESTS
# has fewer of them, for a first look: what they do not notice, the others may.
ENGINE_TESTS = ["lib", "vectors", "particulars", "stores", "by_profile", "clocks", "answers", "sharing", "two_sessions", "orders"]
ENGINE_TESTS += sorted({test.stem for test in (ROOT / "tests/world/tests").glob("*.rs")} - {*ENGINE_TESTS})
ENGINE_TESTS = os.environ.get("MUTANTS_TESTS", " ".join(ENGINE_TESTS)).split()


@dataclasses.dataclass
class Crate:
    """A crate that is changed, and how its tests are built."""

    folder: str
    package: str
    command: list
    # Each test target, and the package that it belongs to.
    targets: dict
    # Whether each test runs by itself: many that take long, of which few reach a change.
    apart: bool


def engine():
    command = ["cargo", "test", "--release", "--locked", "--no-default-features", "-p", "wif-engine", "-p", "wif-world", "--no-run"]
    for package in ["wif-engine", "wif-world"]:
        for setting in ["debug-assertions=true", "overflow-checks=true", "opt-level=1"]:
            command += ["--config", f"profile.release.package.{package}.{setting}"]
    command += ["--lib" if test == "lib" else f"--test={test}" for test in ENGINE_TESTS]
    targets = {test: "guest/engine" if test == "lib" else "tests/world" for test in ENGINE_TESTS}
    return Crate("guest/engine", "wif-engine", command, targets, False)


def host():
    # With the features that the whole workspace asks for, so that a build of it is of use here.
    command = ["cargo", "test", "--locked", "--workspace", "--no-run", "--lib", "--test=behaviours"]
    return Crate("host/rust", "wif", command, {"lib": "host/rust", "behaviours": "host/rust"}, True)


CRATES = {crate.folder: crate for crate in [engine(), host()]}
SWITCH = """
#[doc(hidden)]
pub fn changed_here(number: u32) -> bool {
    use std::io::Write as _;
    use std::sync::{Mutex, OnceLock};
    static CHOSEN: OnceLock<u32> = OnceLock::new();
    static REACHED: OnceLock<Option<Mutex<(std::collections::HashSet<u32>, std::fs::File)>>> = OnceLock::new();
    let reached = REACHED.get_or_init(|| {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(std::env::var_os("WIF_REACHED")?);
        Some(Mutex::new((Default::default(), file.ok()?)))
    });
    if let Some(reached) = reached {
        let (known, file) = &mut *reached.lock().unwrap();
        if known.insert(number) {
            writeln!(file, "{number}").unwrap();
        }
    }
    *CHOSEN.get_or_init(|| std::env::var("WIF_MUTANT").ok().and_then(|number| number.parse().ok()).unwrap_or(0)) == number
}
"""


def on(number):
    return f"crate::changed_here({number})"


class File:
    """One source file, and the changes in it that can be switched on while it runs."""

    def __init__(self, path, mutants):
        self.source = path.read_bytes()
        self.lines = self.source.split(b"\n")
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)
        self.tree = RUST.parse(self.source)
        # By the place of the node that is written anew.
        self.at = collections.defaultdict(list)
        self.unplaced = []
        for mutant in mutants:
            node = self.node(mutant)
            if node is None:
                self.unplaced.append(mutant)
            else:
                self.at[(node.start_byte, node.end_byte, node.type)].append(mutant)

    def offset(self, place):
        line = self.lines[place["line"] - 1].decode()
        return self.starts[place["line"] - 1] + len(line[: place["column"] - 1].encode())

    def node(self, mutant):
        start, end = self.offset(mutant["span"]["start"]), self.offset(mutant["span"]["end"])
        mutant["start"], mutant["end"] = start, end
        node = self.tree.root_node.descendant_for_byte_range(start, end)
        wanted = {
            "FnValue": "function_item",
            "BinaryOperator": ("binary_expression", "compound_assignment_expr"),
            "UnaryOperator": "unary_expression",
            "MatchArm": "match_arm",
            "MatchArmGuard": "match_arm",
            "StructField": "struct_expression",
        }[mutant["genre"]]
        while node is not None:
            if node.type in wanted if isinstance(wanted, tuple) else node.type == wanted:
                break
            node = node.parent
        return None if node is None or self.is_constant(node) else node

    def is_constant(self, node):
        """Whether it is computed by the compiler, which cannot switch anything on."""
        while node is not None:
            modifiers = [child for child in node.children if child.type == "function_modifiers"]
            if node.type in ("const_item", "static_item", "array_type") or any("const" in self.text(each).split() for each in modifiers):
                return True
            node = node.parent
        return False

    def text(self, node):
        return self.source[node.start_byte : node.end_byte].decode()

    def write(self, node):
        """The node with its changes in it, as text."""
        mutants = self.at.get((node.start_byte, node.end_byte, node.type), [])
        if node.type == "function_item" and mutants:
            body = node.child_by_field_name("body")
            first = "".join(f"/*<{m['id']}*/if {on(m['id'])} {{ return {m['replacement']}; }}/*{m['id']}>*/" for m in mutants)
            inner = self.parts(body, body.start_byte + 1)
            before = "".join(self.span(node, body))
            return f"{before}{{{first}{inner}"
        if node.type in ("binary_expression", "compound_assignment_expr") and mutants:
            whole, text = self.parts(node), self.text(node)
            for m in mutants:
                at, until = m["start"] - node.start_byte, m["end"] - node.start_byte
                raw = text.encode()
                changed = (raw[:at] + m["replacement"].encode() + raw[until:]).decode()
                whole = f"if {on(m['id'])} {{ /*<{m['id']}*/{changed}/*{m['id']}>*/ }} else {{ {whole} }}"
            return f"({whole})" if node.type == "binary_expression" else f"{{ {whole} }}"
        if node.type == "unary_expression" and mutants:
            whole = self.parts(node)
            for m in mutants:
                raw = self.text(node).encode()
                at, until = m["start"] - node.start_byte, m["end"] - node.start_byte
                # Of the operator, or of the whole expression.
                changed = (raw[:at] + raw[until:] if until < len(raw) else raw[1:]).decode()
                whole = f"if {on(m['id'])} {{ /*<{m['id']}*/{changed}/*{m['id']}>*/ }} else {{ {whole} }}"
            return f"({whole})"
        if node.type == "match_arm" and mutants:
            return self.arm(node, mutants)
        if node.type == "struct_expression" and mutants:
            whole = self.parts(node)
            for m in mutants:
                raw = self.text(node).encode()
                at, until = m["start"] - node.start_byte, m["end"] - node.start_byte
                rest = raw[until:].lstrip()
                changed = (raw[:at] + rest.removeprefix(b",")).decode()
                whole = f"if {on(m['id'])} {{ /*<{m['id']}*/{changed}/*{m['id']}>*/ }} else {{ {whole} }}"
            return f"({whole})"
        return self.parts(node)

    def arm(self, node, mutants):
        pattern = node.child_by_field_name("pattern")
        guard = pattern.child_by_field_name("condition")
        matched = self.source[pattern.start_byte : guard.start_byte if guard else pattern.end_byte].decode()
        if guard:
            matched = re.sub(r"\bif\s*$", "", matched)
        condition = self.write(guard) if guard else "true"
        for m in mutants:
            if m["genre"] == "MatchArm":
                condition = f"/*<{m['id']}*/!{on(m['id'])}/*{m['id']}>*/ && ({condition})"
            elif m["replacement"] == "true":
                condition = f"/*<{m['id']}*/{on(m['id'])}/*{m['id']}>*/ || ({condition})"
            else:
                condition = f"/*<{m['id']}*/!{on(m['id'])}/*{m['id']}>*/ && ({condition})"
        rest = self.parts(node, pattern.end_byte)
        before = self.source[node.start_byte : pattern.start_byte].decode()
        return f"{before}{matched} if {condition} {rest}"

    def span(self, node, until):
        """What stands before a child, with the changes in it."""
        at = node.start_byte
        for child in node.children:
            if child.start_byte >= until.start_byte:
                break
            yield self.source[at : child.start_byte].decode()
            yield self.write(child)
            at = child.end_byte
        yield self.source[at : until.start_byte].decode()

    def parts(self, node, start=None):
        at = node.start_byte if start is None else start
        written = []
        for child in node.children:
            if child.start_byte < at:
                continue
            written += [self.source[at : child.start_byte].decode(), self.write(child)]
            at = child.end_byte
        return "".join(written) + self.source[at : node.end_byte].decode()


def write(tree, crate, mutants):
    by_file = collections.defaultdict(list)
    for mutant in mutants:
        by_file[mutant["file"]].append(mutant)
    for name in {*by_file, f"{crate.folder}/src/lib.rs"}:
        file = File(ROOT / name, by_file[name])
        for mutant in file.unplaced:
            mutant["left"] = "no place for it"
        text = file.parts(file.tree.root_node, 0)
        if name == f"{crate.folder}/src/lib.rs":
            text += SWITCH
        (tree / name).write_text(text)


def marked(text, at):
    """The innermost change around a place in what was written."""
    opened = []
    for mark in re.finditer(rb"/\*<(\d+)\*/|/\*(\d+)>\*/|crate::changed_here\((\d+)\)", text):
        if mark.start() > at:
            break
        if mark[1]:
            opened.append(int(mark[1]))
        elif mark[2] and opened:
            opened.pop()
    if opened:
        return {opened[-1]}
    return set()


def near(text, first, last):
    return {int(number) for number in re.findall(rb"changed_here\((\d+)\)", text[first:last])}


def build(tree, crate, target, mutants):
    """The tests of the changed tree, as files. What does not compile is left out."""
    environment = dict(os.environ, CARGO_TARGET_DIR=str(target), CARGO_INCREMENTAL="0")
    command = [*crate.command, "--message-format=json"]
    while True:
        write(tree, crate, [mutant for mutant in mutants if "left" not in mutant])
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
        found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode == 0:
            files = {}
            for message in found:
                if message.get("executable") and message["profile"]["test"]:
                    folder = str(pathlib.Path(message["manifest_path"]).parent.relative_to(tree))
                    target_name = "lib" if "lib" in message["target"]["kind"] else message["target"]["name"]
                    if crate.targets.get(target_name) == folder:
                        files[target_name] = message["executable"]
            return {name: files[name] for name in crate.targets}
        left, unplaced = set(), []
        errors = [message["message"] for message in found if message.get("reason") == "compiler-message"]
        for error in errors:
            if error["level"] != "error":
                continue
            for span in sorted(error["spans"], key=lambda span: not span["is_primary"]):
                # A macro of the standard library is at fault where it is called.
                while span["expansion"] and not (tree / span["file_name"]).is_file():
                    span = span["expansion"]["span"]
                if not (tree / span["file_name"]).is_file():
                    continue
                text = (tree / span["file_name"]).read_bytes()
                here = marked(text, span["byte_start"]) or near(text, span["byte_start"], span["byte_end"])
                if here:
                    left |= here
                    break
            else:
                if error["spans"]:
                    unplaced.append(error["rendered"])
        if not left:
            print("\n".join(unplaced), file=sys.stderr)
            print(done.stderr[-4000:], file=sys.stderr)
            sys.exit("the changed tree does not compile, and no change is to blame")
        print(f"{len(left)} changes do not compile", flush=True)
        for mutant in mutants:
            if mutant["id"] in left:
                mutant["left"] = "does not compile"


@dataclasses.dataclass
class Test:
    """What is run for a change: all tests of a target, or one of them."""

    name: str
    executable: str
    package: pathlib.Path
    only: str | None = None
    # Without a change: seconds of the processor and of the clock, and which changes it comes by.
    cost: float = 0
    lasts: float = 0
    reach: set = dataclasses.field(default_factory=set)

    def run(self, number, cpu_seconds, seconds, reached=None):
        """Whether it passes, and the processor time that it took. The changes that it reaches are written to `reached`."""

        def bounded():
            resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
            # WebAssembly reserves addresses that it never uses.
            if self.only is None:
                resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os.nice(5)

        environment = dict(os.environ, WIF_MUTANT=str(number), PROPTEST_RNG_SEED="7", RUST_MIN_STACK=str(8 << 20))
        environment.setdefault("PROPTEST_CASES", "32")
        environment.setdefault("WIF_ORDERS", "20")
        environment["PROPTEST_FAILURE_PERSISTENCE"] = "off"
        environment["CARGO_MANIFEST_DIR"] = str(self.package)
        if reached:
            environment["WIF_REACHED"] = str(reached)
        started = resource.getrusage(resource.RUSAGE_CHILDREN)
        try:
            done = subprocess.run(
                [self.executable, "--quiet", *(["--test-threads=2"] if self.only is None else ["--exact", self.only])],
                cwd=self.package,
                env=environment,
                preexec_fn=bounded,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=seconds,
            )
            passed = done.returncode == 0
        except subprocess.TimeoutExpired:
            passed = False
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return passed, ended.ru_utime + ended.ru_stime - started.ru_utime - started.ru_stime

    def notices(self, number):
        cpu_seconds = int(self.cost * 8) + 5
        return not self.run(number, cpu_seconds, 20 * cpu_seconds if self.only is None else 4 * self.lasts + 10)[0]


def tests_of(crate, tree, folder, executables):
    """The tests, measured without a change. One that fails then cannot tell anything."""
    tests = []
    for name, executable in executables.items():
        package = tree / crate.targets[name]
        if crate.apart:
            listed = subprocess.run([executable, "--list"], cwd=package, check=True, capture_output=True, text=True).stdout
            each = [line.removesuffix(": test") for line in listed.splitlines() if line.endswith(": test")]
            tests += [Test(f"{name} {only}", executable, package, only) for only in each]
        else:
            tests.append(Test(name, executable, package))
    reached = folder / "reached.txt"
    for test in list(tests):
        reached.write_text("")
        started = time.monotonic()
        passed, test.cost = test.run(0, 600, 600, reached)
        test.lasts = time.monotonic() - started
        test.reach = {int(number) for number in reached.read_text().split()}
        if not passed:
            if not crate.apart:
                sys.exit(f"{test.name} fails without a change")
            print(f"{test.name} fails by itself, without a change: it is left out", flush=True)
            tests.remove(test)
    if crate.apart:
        # Who comes by few changes most likely looks for this one.
        tests.sort(key=lambda test: (len(test.reach), test.lasts))
    return tests


def explained():
    """By the change: why it may go unnoticed."""
    lines = EXPLAINED.read_text().splitlines() if EXPLAINED.exists() else []
    rows = [line.split(" | ") for line in lines if line and not line.startswith("#")]
    return {tuple(part.strip() for part in row[:3]): row[3] for row in rows}


def key(mutant):
    """What names a change whatever the lines above it are."""
    says = re.sub(r"^\S+:\d+:\d+: ", "", mutant["name"])
    line = (ROOT / mutant["file"]).read_text().splitlines()[mutant["span"]["start"]["line"] - 1].strip()
    says, line = says.replace(" | ", " ∣ "), line.replace(" | ", " ∣ ")
    return mutant["file"].removeprefix("guest/engine/src/"), says, line


def main():
    tool, folder, crate, files = sys.argv[1], pathlib.Path(sys.argv[2]), CRATES[sys.argv[3]], sys.argv[4:]
    listed = [tool, "mutants", "--package", crate.package, "--list", "--json"]
    listed = json.loads(subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    for number, mutant in enumerate(listed, 1):
        mutant["id"] = number
        if mutant["genre"] == "FnValue" and "impl " in (mutant["function"]["return_type"] or ""):
            # Of two types, which one function cannot give.
            mutant["left"] = "no place for it"
    listed = [mutant for name in files or [""] for mutant in listed if mutant["file"].endswith(name)]
    tree = folder / "tree"
    known = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, known.stdout.split("\0")):
        there = ROOT / name
        if there.is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(there, tree / name)
    # What was changed is no code to be proud of.
    manifest = tree / crate.folder / "Cargo.toml"
    manifest.write_text(manifest.read_text().replace("[lints]\nworkspace = true\n", ""))
    # A test that fails need not look for the smallest case.
    for name in ["properties", "two_sessions"]:
        test = tree / f"tests/world/tests/{name}.rs"
        test.write_text(re.sub(r"max_shrink_iters: [\d_]+", "max_shrink_iters: 0", test.read_text()))
    print(f"{len(listed)} changes, built at once", flush=True)
    target = pathlib.Path(os.environ.get("MUTANTS_TARGET", folder / "build"))
    tests = tests_of(crate, tree, folder, build(tree, crate, target, listed))
    print(f"{len(tests)} tests, {sum(test.cost for test in tests):.0f} processor seconds without a change", flush=True)
    known = explained()
    verdicts, counts = {}, collections.defaultdict(collections.Counter)
    for mutant in listed:
        verdict = mutant.get("left")
        if verdict is None:
            verdict = "missed"
            for test in tests:
                if mutant["id"] in test.reach and test.notices(mutant["id"]):
                    verdict = test.name
                    if crate.apart:
                        # It may well notice the next change, too, which stands beside this one.
                        tests.remove(test)
                        tests.insert(0, test)
                    break
        if verdict == "missed" and key(mutant) in known:
            verdict = "explained"
        verdicts[mutant["name"]] = verdict
        counts[mutant["file"]][verdict if verdict in ("missed", "explained", "does not compile", "no place for it") else "noticed"] += 1
        if verdict == "missed":
            print(f"MISSED {mutant['name']}\n       {' | '.join(key(mutant))}", flush=True)
        (folder / "verdicts.json").write_text(json.dumps(verdicts, indent=1))
    for file, count in counts.items():
        print(f"{file}: " + ", ".join(f"{number} {verdict}" for verdict, number in sorted(count.items())))
    if any(count["missed"] for count in counts.values()):
        sys.exit(1)


main()
