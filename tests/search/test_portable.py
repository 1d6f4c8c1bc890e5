"""Without what POSIX alone has, a config is read, trained, evaluated, and a run is looked at.

This is Linux that calls itself Windows to our code, which finds none of those modules and
functions: it says that we need none of them. It does not say that Windows has been tried.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import Tiny
from tests.support.reported import made

FINISHED = Path(__file__).parents[1] / "data" / "run_v1" / "finished"

WITHOUT = """
import builtins, fcntl, json, os, signal, sys, types

OURS = ("trm", "search", "curricula", "cluster")
MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "readline"}
LACKS = {
    os: {"fork", "forkpty", "register_at_fork", "pwrite", "pread", "getuid", "geteuid", "getgid",
         "killpg", "setsid", "nice", "getpriority", "statvfs", "uname", "sysconf", "getppid",
         "sched_getaffinity", "mkfifo", "chown", "fchown", "fchmod", "getloadavg", "O_CLOEXEC",
         "O_DIRECTORY", "O_NONBLOCK", "O_NOFOLLOW"},
    signal: {"SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "alarm"},
    sys: set(),
}
SAYS = {(os, "name"): "nt", (sys, "platform"): "win32"}

def of_ours(frame):
    return frame.f_globals.get("__name__", "").split(".")[0] in OURS

class Lacking(types.ModuleType):
    def __getattribute__(self, name):
        if name != "__dict__" and of_ours(sys_getframe(1)):
            if (self, name) in SAYS:
                return SAYS[self, name]
            if name in LACKS.get(self, ()):
                raise AttributeError(f"{name}: only POSIX has it")
        return super().__getattribute__(name)

def imported(name, *rest, **more):
    if name == "msvcrt" and of_ours(sys_getframe(1)):
        return msvcrt
    if name in MODULES and of_ours(sys_getframe(1)):
        raise ModuleNotFoundError(f"{name}: only POSIX has it")
    return real_import(name, *rest, **more)

sys_getframe, real_import = sys._getframe, builtins.__import__
builtins.__import__ = imported
for module in LACKS:
    module.__class__ = Lacking
msvcrt = types.ModuleType("msvcrt")
msvcrt.LK_NBLCK = 2
msvcrt.locking = lambda file, mode, size: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
"""
PROGRAM = """
from search.cli import main
import trm.files.lock
for name in ("fcntl", "resource"):
    try:
        exec(f"import {name}", {"__name__": "trm.anything"})
    except ModuleNotFoundError:
        continue
    raise AssertionError(f"{name} was there")
for words in json.loads(sys.argv[1]):
    code = main(words)
    assert code == 0, (code, words)
print("done")
"""


RUN = str(FINISHED)
LINES = [
    ["train", "c.yaml", "--out", "t"],
    ["eval", "t"],
    ["solve", "t", "valid:0"],
    ["tasks", "c.yaml"],
    ["status", RUN],
    ["export", RUN, "--out", "best.yaml"],
]
MORE_LINES = [
    ["curriculum", "c.yaml"],
    ["keys", "train"],
    ["guide"],
    ["report", RUN, "--out", "page.html"],
    ["diagnose", RUN],
    ["importance", "wide"],
    ["fidelity", "wide"],
    ["sweep", "c.yaml", "--set", "optimizer.lr={loguniform: [1e-3, 1e-2]}", "--dry-run"],
]


@pytest.mark.parametrize("lines", [LINES, pytest.param(MORE_LINES, marks=pytest.mark.slow)])
def test_reading_and_training_need_nothing_of_posix(
    tmp_path: Path, tiny: Tiny, lines: Sequence[Sequence[str]]
) -> None:
    (tmp_path / "c.yaml").write_text(json.dumps(tiny()))
    made(tmp_path / "wide", 40)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT + PROGRAM, json.dumps(lines)],
        capture_output=True, text=True, timeout=300, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("done\n")
