"""The laboratory's machines are apart from each other, fail as told, and never outlive a test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.folders import ROOT
from tests.support.keeper import groups_of
from tests.support.laboratory import until
from tests.support.namespaces import Lan, Machine, lan, missing
from tests.support.small_disk import THROTTLE, block_disk, slowed

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "machines can be made")
COUNT = """
import os, pathlib, socket, sys, time
listener = socket.create_server(("", 7000))
for count in range(10**6):
    pathlib.Path(sys.argv[1] + ".new").write_text(str(count))
    os.replace(sys.argv[1] + ".new", sys.argv[1])
    time.sleep(0.02)
"""


@pytest.fixture
def network() -> Iterator[Lan]:
    folder = Path(tempfile.mkdtemp(prefix="trm-lab-", dir="/var/tmp"))
    with lan(folder, "10.214.78") as found:
        yield found


def boot(network: Lan, number: int) -> Machine:
    words = [sys.executable, "-c", COUNT, str(network.folder / f"count{number}")]
    return network.boot(
        number, f"host{number}", words, environment={"PATH": os.environ["PATH"]},
        private=("/dev/shm",),
    )  # fmt: skip


def count(network: Lan, number: int) -> int:
    try:
        return int((network.folder / f"count{number}").read_text())
    except (OSError, ValueError):
        return -1


def answers(machine: Machine) -> bool:
    try:
        socket.create_connection((machine.address, 7000), 1.0).close()
    except OSError:
        return False
    return True


def said(machine: Machine, *words: str) -> str:
    return subprocess.run(machine.on(*words), capture_output=True, text=True, check=True).stdout


def test_machines_are_apart(network: Lan) -> None:
    one, other = boot(network, 1), boot(network, 2)
    # What a machine runs begins once its name and its folders are its own.
    until(lambda: answers(one) and answers(other), 30, "both listen")
    assert said(one, "hostname") == "host1\n"
    assert said(other, "hostname") == "host2\n"
    said(one, "touch", "/dev/shm/mine")
    assert said(other, "ls", "/dev/shm") == ""
    assert one.numbered(1) == one.inside
    assert other.called("hostname") == []


def test_machines_fail_as_told(network: Lan) -> None:
    one, other = boot(network, 1), boot(network, 2)
    until(lambda: answers(one) and answers(other), 30, "both listen")
    one.cut()
    before = count(network, 1)
    assert not answers(one)
    assert answers(other)
    assert count(network, 1) > before, "without a network it still runs"
    one.heal()
    until(lambda: answers(one), 30, "it is healed")
    other.freeze()
    before = count(network, 2)
    time.sleep(0.2)
    assert count(network, 2) == before
    other.thaw()
    until(lambda: count(network, 2) > before, 30, "it is thawed")
    one.kill()
    assert not one.up
    assert other.up
    until(lambda: not answers(one), 5, "it is dead")
    (network.folder / "count1").unlink()
    boot(network, 1)
    until(lambda: count(network, 1) >= 0, 30, "another one is in its place")


KILLED = """
import os, pathlib, signal, sys
from tests.support.namespaces import lan
with lan(pathlib.Path(sys.argv[1]), "10.214.79") as network:
    network.boot(1, "host1", ["sleep", "1000"], environment=dict(os.environ))
    print(network.prefix, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_test_that_is_killed_leaves_no_machine() -> None:
    folder = Path(tempfile.mkdtemp(prefix="trm-lab-", dir="/var/tmp"))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder)], capture_output=True, text=True, cwd=ROOT
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    prefix = killed.stdout.strip()
    until(lambda: not folder.exists(), 30, "the keeper clears")
    assert not groups_of(prefix).exists(), "a group that has processes cannot be removed"
    spaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    links = subprocess.run(["ip", "link"], capture_output=True, text=True).stdout
    assert prefix not in spaces + links


@pytest.mark.skipif(not THROTTLE.exists(), reason="needs the blkio cgroup, to slow a disk")
def test_a_disk_is_slow_for_a_while(tmp_path: Path) -> None:
    def seconds() -> float:
        begun = time.monotonic()
        with open(disk / "file", "ab", buffering=0) as file:
            file.write(bytes(1500))
            os.fsync(file.fileno())
        return time.monotonic() - begun

    with block_disk(tmp_path, "16M") as disk:
        seconds()
        with slowed(disk, 10_000):
            slow = seconds() + seconds()
        assert slow > 0.5
        assert seconds() < slow
