"""Removes the machines of a laboratory once its standard input ends, as it does if a test dies.

    python keeper.py PREFIX FOLDER

It imports nothing but the standard library.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path


def ip(*words: str) -> None:
    """Run `ip` of iproute2."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


def mounts() -> list[tuple[str, str]]:
    """Where something is mounted, and the kind of its file system, in the order of mounting."""
    with open("/proc/self/mounts", encoding="utf-8") as file:
        fields = [line.split() for line in file]
    return [(words[1].encode().decode("unicode_escape"), words[2]) for words in fields]


def root_of_groups() -> Path | None:
    """The top of the cgroup2 file system; None where there is none."""
    return next((Path(where) for where, kind in mounts() if kind == "cgroup2"), None)


def groups_of(prefix: str) -> Path:
    """The cgroup that holds those of all machines with a prefix."""
    root = root_of_groups()
    assert root is not None
    return root / prefix


def clear(prefix: str, folder: Path) -> None:
    """Remove all machines with a prefix, and a folder with what is mounted in it."""
    group = groups_of(prefix)
    deadline = time.monotonic() + 30
    for one in (*group.glob("*/"), group):
        with suppress(OSError):
            (one / "cgroup.freeze").write_text("0")
            (one / "cgroup.kill").write_text("1")
    while time.monotonic() < deadline and group.exists():
        for one in (*group.glob("*/"), group):
            with suppress(OSError):
                one.rmdir()
        time.sleep(0.02)
    for space in os.listdir("/run/netns") if os.path.isdir("/run/netns") else []:
        if space.startswith(f"{prefix}-"):
            subprocess.run(["ip", "netns", "delete", space], capture_output=True)
    subprocess.run(["ip", "link", "delete", f"{prefix}br"], capture_output=True)
    for where, _ in reversed(mounts()):
        if where.startswith(f"{folder}/"):
            subprocess.run(["umount", "-l", where], capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


def main(prefix: str, folder: str) -> None:
    """Wait for the end of standard input, and clear."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    clear(prefix, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
