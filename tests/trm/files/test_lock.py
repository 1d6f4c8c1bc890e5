"""A run's lock: exclusive, named, and free as soon as its holder is dead."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import trm.files.heartbeat
from trm.errors import LockWarning, UserError
from trm.files.heartbeat import newest_holding
from trm.files.lock import FileLock, lock_holder

HOLD = """
import os, subprocess, sys, time
from pathlib import Path
from trm.files.lock import FileLock
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


def test_who_only_looks_keeps_nobody_from_taking_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert lock_holder(path) == ""
    lock = FileLock(path)
    assert lock_holder(path) == f"process {os.getpid()}"
    assert not lock.lost
    lock.release()
    assert lock_holder(path) == ""
    looking = subprocess.Popen(
        [sys.executable, "-c", LOOK, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert looking.stdout is not None
    looking.stdout.readline()
    try:
        for _ in range(50):
            FileLock(path).release()
    finally:
        looking.kill()
        looking.wait()
        looking.stdout.close()


LOOK = """
import sys
from pathlib import Path
from trm.files.lock import lock_holder
print(flush=True)
while True:
    lock_holder(Path(sys.argv[1]))
"""

WITHOUT_FLOCK = """
import ctypes, errno, struct, sys, time, warnings
from pathlib import Path
# A seccomp filter: of this process and its children, flock says {code}.
answer, allow = 0x50000 | errno.{code}, 0x7FFF0000
lines = [(0x20, 0, 0, 0), (0x15, 0, 1, 73), (0x06, 0, 0, answer), (0x06, 0, 0, allow)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(lines), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
import fcntl
try:
    fcntl.flock(0, fcntl.LOCK_SH)
except OSError as error:
    assert error.errno == errno.{code}
else:
    raise SystemExit("flock works")
from trm.files.lock import FileLock
from trm.errors import UserError
try:
    lock = FileLock(Path(sys.argv[1]))
except UserError as error:
    print(error, flush=True)
    sys.exit(2)
print("held", flush=True)
sys.stdin.readline()
lock.release()
"""
on_linux = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="the filter that takes flock away is written for Linux on x86-64",
)


def without_flock(path: Path, code: str = "ENOLCK") -> subprocess.Popen[str]:
    """A process on a kernel that has no `flock`, which holds the lock if it can."""
    return subprocess.Popen(
        [sys.executable, "-c", WITHOUT_FLOCK.replace("{code}", code), str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@on_linux
@pytest.mark.parametrize("code", ["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def test_without_flock_there_is_a_file_that_is_renewed(code: str, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = without_flock(path, code)
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    assert lock_holder(path) == f"process {first.pid}"
    second = without_flock(path, code)
    out, err = second.communicate(timeout=60)
    assert second.returncode == 2
    assert f"{tmp_path}: is in use by process {first.pid};" in out
    assert "has no locks" not in err
    _, err = first.communicate("\n", timeout=60)
    assert (first.returncode, err.count("its file system has no locks")) == (0, 1)
    assert lock_holder(path) == ""
    third = without_flock(path, code)
    out, _ = third.communicate("\n", timeout=60)
    assert (third.returncode, out) == (0, "held\n")
    assert [file.name for file in tmp_path.glob("lock.*")] == ["lock.2"]


@on_linux
def test_without_flock_a_killed_holder_frees_it(tmp_path: Path) -> None:
    first = without_flock(tmp_path / "lock")
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    first.kill()
    first.communicate()
    second = without_flock(tmp_path / "lock")
    assert second.communicate("\n", timeout=60)[0] == "held\n"


@on_linux
def test_without_flock_one_of_many_that_start_together_has_it(tmp_path: Path) -> None:
    many = [without_flock(tmp_path / "lock") for _ in range(6)]
    lines = [process.stdout.readline() for process in many if process.stdout is not None]
    assert lines.count("held\n") == 1, lines
    assert sum("is in use by" in line for line in lines) == 5
    for process in many:
        process.communicate("\n", timeout=60)


def test_a_holder_that_hung_is_outlasted_and_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("trm.files.lock._lock", no_locks)
    path = tmp_path / "lock"
    with monkeypatch.context() as hung:
        hung.setattr(trm.files.heartbeat, "DURATION", -1.0)  # its time is over before it renews
        with pytest.warns(LockWarning, match="has no locks"):
            first = FileLock(path)
    file = newest_holding(path)
    assert file is not None
    file.write_text(file.read_text().replace(f"{os.getpid()} ", "1 "))  # as of another machine
    with pytest.warns(LockWarning):
        second = FileLock(path)
    assert first.lost
    assert not second.lost
    first.release()
    assert lock_holder(path) == f"process {os.getpid()}"
    second.release()
    assert lock_holder(path) == ""
