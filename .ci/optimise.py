"""Makes released components and core modules smaller with binaryen, and puts the names of their functions into a file beside each:
optimise.py WASM_OPT FILE...

`WASM_OPT` is the script `wasm-opt` of the npm package binaryen, which Node runs. A component without imports can only say by a trap's
backtrace how it ended. There functions have numbers then: `NAME.names` beside `NAME.wasm` has a line for each, the number and the name."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile

MODULE = b"\0asm\1\0\0\0"
# Sections, by their ids: those of a component that hold others, and those of a module.
NESTED_MODULE, NESTED_COMPONENT = 1, 4
CUSTOM, FUNCTION_NAMES = 0, 1
# The modules between component and program have some hundred bytes.
AT_LEAST = 10_000
# What the compiler uses, and no more. https://doc.rust-lang.org/rustc/platform-support/wasm32-unknown-unknown.html
FEATURES = ["mutable-globals", "sign-ext", "bulk-memory", "nontrapping-float-to-int", "multivalue", "reference-types"]


def number(data, at):
    """LEB128: the number, and where the next thing begins."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def encoded(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def sections(binary):
    """The id and the content of each section."""
    at = 8
    while at < len(binary):
        kind = binary[at]
        size, at = number(binary, at + 1)
        yield kind, binary[at : at + size]
        at += size


def text(data, at):
    size, at = number(data, at)
    return data[at : at + size], at + size


def function_names(section):
    """The number and the name of each function, from the section `name`."""
    _, at = text(section, 0)
    while at < len(section):
        kind = section[at]
        size, at = number(section, at + 1)
        part, at = section[at : at + size], at + size
        if kind == FUNCTION_NAMES:
            count, position = number(part, 0)
            for _ in range(count):
                index, position = number(part, position)
                name, position = text(part, position)
                yield index, name.decode()


def optimised(wasm_opt, module):
    with tempfile.TemporaryDirectory() as folder:
        before, after = pathlib.Path(folder, "before.wasm"), pathlib.Path(folder, "after.wasm")
        before.write_bytes(module)
        options = ["-Oz", "--converge", "--debuginfo", *(f"--enable-{feature}" for feature in FEATURES)]
        subprocess.run(["node", wasm_opt, before, *options, "-o", after], check=True)
        return after.read_bytes()


def smaller(wasm_opt, binary, names):
    """The same component or module; the names of its functions go into the list."""
    out = bytearray(binary[:8])
    module = binary[:8] == MODULE
    for kind, content in sections(binary):
        if module and kind == CUSTOM and text(content, 0)[0] == b"name":
            names.extend(function_names(content))
            continue
        if not module and kind in (NESTED_MODULE, NESTED_COMPONENT):
            if kind == NESTED_MODULE and len(content) >= AT_LEAST:
                content = optimised(wasm_opt, content)
            content = smaller(wasm_opt, content, names)
        out += bytes([kind]) + encoded(len(content)) + content
    return bytes(out)


def optimise(wasm_opt, file):
    before, names = file.read_bytes(), []
    # Of a component the modules in it are optimised.
    whole = optimised(wasm_opt, before) if before[:8] == MODULE else before
    after = smaller(wasm_opt, whole, names)
    assert names, f"{file} has no names"
    file.write_bytes(after)
    file.with_suffix(".names").write_text("".join(f"{index} {name}\n" for index, name in names))
    return f"{file.name}: {len(after)} bytes, {len(before)} before"


def main(wasm_opt, *files):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as at_once:
        for said in at_once.map(lambda file: optimise(wasm_opt, pathlib.Path(file)), files):
            print(said)


main(*sys.argv[1:])
