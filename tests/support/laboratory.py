"""A Ray cluster of machines on one machine, with tokens, and every way in which it can fail.

Nodes are started by hand, as a stranger's cluster is: `lab1` is the head, which has no cores, and
who joins them finds the token in the home folder that all share.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.folders import ROOT
from tests.support.keeper import groups_of
from tests.support.namespaces import Lan, Machine, lan

PORT = 6379
HEAD = 1
MOST = 9
"""Machines that have a name."""
HEALTH = {
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1500",
    "RAY_health_check_failure_threshold": "4",
}
"""A node that is silent for about ten seconds is dead, where Ray's own patience is a minute."""


TOKENS = {"RAY_AUTH_MODE": "token"}
"""What nodes are started with; a driver is to find out by itself."""


@dataclass
class Laboratory:
    """
    Attributes:
        environment: of every process on its machines; nodes are told to ask for tokens besides.
        machines: those that were started, by name.
    """

    lan: Lan
    environment: Mapping[str, str]
    machines: dict[str, Machine] = field(default_factory=dict)
    _started: dict[str, float] = field(default_factory=dict)
    _children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Seen by all machines."""
        return self.lan.folder

    @property
    def address(self) -> str:
        """Of the head."""
        return f"{self.lan.address(HEAD)}:{PORT}"

    def start(self, number: int, cpus: int = 1) -> Machine:
        """Start a machine with a Ray node on it, or start it anew; the node is up later."""
        name, own = f"lab{number}", self.lan.address(number)
        words = [sys.executable, "-P", "-m", "ray.scripts.scripts", "start", "--block"]
        words += [f"--node-ip-address={own}", "--object-store-memory=80000000"]
        words += ["--disable-usage-stats"]
        if number == HEAD:
            words += ["--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false"]
        else:
            words += [f"--address={self.address}", f"--num-cpus={cpus}"]
        # What ends Ray does not end the machine: who wants that pulls its plug.
        command = ["bash", "-c", '"$@"; exec sleep infinity', "bash", *words]
        self._started[name] = time.time()
        self.machines[name] = self.lan.boot(
            number, name, command, environment={**self.environment, **TOKENS},
            private=("/tmp/ray", "/dev/shm"), mounts={"/etc/hosts": str(self.folder / "hosts")},
        )  # fmt: skip
        return self.machines[name]

    def run(self, name: str, *words: str, log: Path) -> subprocess.Popen[bytes]:
        """Begin a command on a machine, in this repository; what it says goes to a file."""
        with open(log, "ab") as output:
            child = subprocess.Popen(
                self.machines[name].on("env", "-C", str(ROOT), *words),
                env={**self.environment}, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        self._children.append(child)
        return child

    def watch(self) -> None:
        """Begin to write down which nodes Ray takes for alive."""
        with open(self.folder / "watch.out", "ab") as output:
            words = [sys.executable, "-P", str(Path(__file__).with_name("node_watch.py"))]
            child = subprocess.Popen(
                [*words, self.address, str(self.folder / "alive")],
                env={**self.environment, **TOKENS}, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output,
            )  # fmt: skip
        self._children.append(child)

    def alive(self) -> dict[str, str]:
        """Ray's id of each node that it takes for alive now, by the machine's name."""
        asked = time.time()
        until(lambda: self._told()[0] > asked - 1.0, 60, f"the head answers; {self.folder}")
        return self._told()[1]

    def until_alive(self, *names: str, seconds: float = 120.0) -> float:
        """Wait until Ray has these nodes as they were last started; says how long that took."""
        since = max(self._started[name] for name in names)

        def joined() -> bool:
            when, alive = self._told()
            return when > since and set(names) <= set(alive)

        return until(joined, seconds, f"{', '.join(names)} join; {self.folder}")

    def until_dead(self, name: str, seconds: float = 60.0) -> float:
        """Wait until Ray takes a node for dead; says how long that took."""
        return until(lambda: name not in self.alive(), seconds, f"{name} is known to be dead")

    def _told(self) -> tuple[float, dict[str, str]]:
        """When Ray was last asked, and what it said."""
        try:
            told = json.loads((self.folder / "alive").read_text())
        except OSError:
            return 0.0, {}
        return told["when"], told["alive"]

    def cpu_seconds(self) -> float:
        """CPU time of all machines so far."""
        text = (groups_of(self.lan.prefix) / "cpu.stat").read_text()
        return int(text.split()[1]) / 1e6

    def close(self) -> None:
        """End the commands."""
        for child in self._children:
            with suppress(OSError):
                child.send_signal(signal.SIGKILL)
        for child in self._children:
            child.wait(20)


def until(true: Callable[[], object], seconds: float, what: str, every: float = 0.1) -> float:
    """Seconds until something holds."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(every)
    return time.monotonic() - begun


@contextmanager
def laboratory(folder: Path | None = None, **environment: str) -> Iterator[Laboratory]:
    """A network without machines yet; at the end nothing of it is left.

    Args:
        folder: that machines see, and that is removed at the end; None makes one.
        environment: further variables of all processes.
    """
    # Not below /tmp, where a session's folders have names too long for Ray's sockets.
    folder = folder or Path(tempfile.mkdtemp(prefix="trm-lab-", dir="/var/tmp"))
    folder.mkdir(exist_ok=True)
    home = folder / "home"
    (home / ".ray").mkdir(parents=True)
    token = home / ".ray" / "auth_token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    with lan(folder) as network:
        lines = [f"{network.address(number)} lab{number}" for number in range(1, MOST + 1)]
        (folder / "hosts").write_text("\n".join(["127.0.0.1 localhost", *lines]) + "\n")
        found = Laboratory(
            network,
            {
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "LANG": "C.UTF-8",
                "TRM_CACHE": str(folder / "cache"),
                "RAY_worker_niceness": "0",
                **HEALTH,
                **environment,
            },
        )
        try:
            yield found
        except BaseException:
            _keep_logs(folder)
            raise
        finally:
            found.close()


def _keep_logs(folder: Path) -> None:
    """Leave what processes said beside the folder, which is removed."""
    kept = folder.with_name(f"{folder.name}-logs")
    kept.mkdir(exist_ok=True)
    for path in (*folder.glob("*.out"), *folder.glob("*.log"), *folder.glob("told*")):
        shutil.copy(path, kept)
