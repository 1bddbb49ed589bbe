"""Runs a command, and fails where it leaves something behind: leaves-nothing.py COMMAND [ARGUMENT...]

The command gets a temporary directory of its own, in TMPDIR. Behind it may be left neither a file in there nor a process: whatever
the command started, and its children, has to have ended some seconds after it. What is left is listed, and then removed or ended.
Linux only.
"""

import ctypes
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

PR_SET_CHILD_SUBREAPER = 36
# What was told to end may take its time on a busy machine.
PATIENCE_SECONDS = float(os.environ.get("WIF_PATIENCE_SECONDS", "10"))


def children():
    """What is below this process, as (process id, command line). Orphans are, too: this process adopts them."""
    parents = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            # The name, in parentheses, may hold anything.
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # it has ended meanwhile
        if state != "Z":
            parents[int(folder.name)] = int(parent)
    found, below = [], [os.getpid()]
    while below:
        parent = below.pop()
        for process in [process for process, its in parents.items() if its == parent]:
            below.append(process)
            try:
                line = pathlib.Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            found.append((process, line.strip()[:200]))
    return found


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        pass


def processes_left():
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        reap()
        left = children()
        if not left or time.monotonic() >= end:
            return left
        time.sleep(0.1)


def main(command):
    # Whoever loses its parent becomes a child of this process, even from a session or a process group of its own.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot adopt orphans")
    # A short name: paths of sockets have an end.
    temporary = pathlib.Path(tempfile.mkdtemp(prefix="wif-"))
    # As the system's: tests run programs as another user.
    temporary.chmod(0o1777)
    try:
        code = subprocess.run(command, env={**os.environ, "TMPDIR": str(temporary)}).returncode
        processes = processes_left()
        for process, line in processes:
            print(f"a process was left behind: {process} {line}", file=sys.stderr)
            os.kill(process, 9)
        files = sorted(temporary.iterdir())
        for path in files:
            print(f"a file was left behind in the temporary directory: {path.name}", file=sys.stderr)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if code != 0:
        # As a shell says it of a signal.
        return code if code > 0 else 128 - code
    return 1 if processes or files else 0


if len(sys.argv) < 2:
    sys.exit("usage: leaves-nothing.py COMMAND [ARGUMENT...]")
sys.exit(main(sys.argv[1:]))
