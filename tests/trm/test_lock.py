"""A run's lock: exclusive, named, and free as soon as its holder is dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trm.errors import UserError
from trm.lock import FileLock

HOLD = """
import os, subprocess, sys, time
from pathlib import Path
from trm.lock import FileLock
lock = FileLock(Path(sys.argv[1]))
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)
other = subprocess.Popen(["sleep", "60"], close_fds=False)
print(child, other.pid, flush=True)
time.sleep(60)
"""


def test_a_second_holder_is_told_who_has_it(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    with pytest.raises(UserError, match=f"is in use by process {os.getpid()};"):
        FileLock(tmp_path / "lock")
    lock.release()
    lock.release()
    FileLock(tmp_path / "lock").release()


def test_a_killed_holder_frees_it_though_its_children_live(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    children = [int(pid) for pid in holder.stdout.readline().split()]
    try:
        with pytest.raises(UserError, match=f"process {holder.pid}"):
            FileLock(path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        for child in children:
            os.kill(child, 0)
        FileLock(path).release()
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        holder.stdout.close()
