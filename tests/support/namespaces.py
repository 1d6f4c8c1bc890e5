"""Machines on one machine: each has a network, a name, processes and mounts of its own.

Needs root, iproute2, util-linux and a cgroup2 file system. What is made here bears a prefix, by
which a process of its own finds and removes it, even if the test is killed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.keeper import groups_of, ip, root_of_groups

PROGRAMS = ("ip", "mount", "nsenter", "unshare")


def missing(*more: str) -> str:
    """What keeps machines from being made here; empty if nothing does.

    Args:
        more: programs that are needed too.
    """
    if os.name != "posix" or os.geteuid() != 0:
        return "needs root, for namespaces"
    absent = [name for name in (*PROGRAMS, *more) if shutil.which(name) is None]
    if absent:
        return f"needs {', '.join(absent)}"
    root = root_of_groups()
    if root is None or not os.access(root, os.W_OK):
        return "needs a cgroup2 file system that can be written"
    made = subprocess.run(["unshare", "--net", "--pid", "--fork", "true"], capture_output=True)
    return "needs namespaces" if made.returncode else ""


@dataclass(frozen=True)
class Machine:
    """
    Attributes:
        name: as its own processes see it.
        address: of it, on the bridge.
        inside: process 1 of it, as this machine numbers it.
        link: the end of its cable that is on the bridge.
        group: the cgroup of all of its processes.
    """

    name: str
    address: str
    inside: int
    link: str
    group: Path

    def on(self, *words: str) -> list[str]:
        """The words of a command that runs there."""
        enter = shlex.join(["nsenter", "--target", str(self.inside), "--all"])
        script = f'echo $$ > {shlex.quote(str(self.group / "cgroup.procs"))}; exec {enter} -- "$@"'
        return ["sh", "-c", script, "sh", *words]

    @property
    def up(self) -> bool:
        """Whether it runs."""
        return bool(self.processes())

    def processes(self) -> list[int]:
        """All of its processes, as this machine numbers them."""
        try:
            return [int(line) for line in (self.group / "cgroup.procs").read_text().split()]
        except OSError:
            return []

    def called(self, program: str) -> list[int]:
        """Its processes of a program, as this machine numbers them."""
        return [pid for pid in self.processes() if _line(pid, "comm").strip() == program]

    def numbered(self, pid: int) -> int | None:
        """The process that it numbers so, as this machine numbers it."""
        for own in self.processes():
            for line in _line(own, "status").splitlines():
                if line.startswith("NSpid:") and line.split()[-1] == str(pid):
                    return own
        return None

    def freeze(self) -> None:
        """Stop all of its processes where they stand."""
        (self.group / "cgroup.freeze").write_text("1")
        deadline = time.monotonic() + 10
        while "frozen 1" not in (self.group / "cgroup.events").read_text():
            assert time.monotonic() < deadline, f"{self.name} does not freeze"
            time.sleep(0.01)

    def thaw(self) -> None:
        """Let them go on."""
        (self.group / "cgroup.freeze").write_text("0")

    def cut(self) -> None:
        """Pull its network cable."""
        ip("link", "set", self.link, "down")

    def heal(self) -> None:
        """Plug it in again."""
        ip("link", "set", self.link, "up")

    def kill(self) -> None:
        """Pull its plug: nobody hears of it, as the network is gone first."""
        self.cut()
        (self.group / "cgroup.kill").write_text("1")
        deadline = time.monotonic() + 20
        while self.group.exists():
            assert time.monotonic() < deadline, f"{self.name} does not die"
            with suppress(OSError):  # busy, as long as one of its processes dies
                self.group.rmdir()
            time.sleep(0.02)


def _line(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


@dataclass(frozen=True)
class Lan:
    """A network of machines; this machine is its `.1`.

    Attributes:
        prefix: of the names of all that belongs to it.
        net: the first three numbers of its addresses.
        folder: seen by all machines.
    """

    prefix: str
    net: str
    folder: Path

    def address(self, number: int) -> str:
        """Of a machine."""
        return f"{self.net}.{number + 1}"

    def boot(
        self,
        number: int,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        private: Sequence[str] = (),
        mounts: Mapping[str, str] = {},
    ) -> Machine:
        """Start a machine, or start it anew after it was killed.

        Args:
            number: from 1, its place on the network.
            command: runs as its process 1; it prints to a file in the folder.
            private: folders that are its own, and empty.
            mounts: files that it sees at other places.
        """
        space, link = f"{self.prefix}-{number}", f"{self.prefix}v{number}"
        if not Path("/run/netns", space).exists():
            self._wire(number, space, link)
        ip("link", "set", link, "up")
        group = groups_of(self.prefix) / str(number)
        group.mkdir(parents=True)
        steps = [f"echo $$ > {shlex.quote(str(group / 'cgroup.procs'))}"]
        inner = [f"hostname {shlex.quote(name)}"]
        for path in private:
            inner += [f"mkdir -p {shlex.quote(path)}; mount -t tmpfs none {shlex.quote(path)}"]
        for path, source in mounts.items():
            inner += [f"mount --bind {shlex.quote(source)} {shlex.quote(path)}"]
        inner.append(f"exec {shlex.join(command)}")
        words = ["nsenter", f"--net=/run/netns/{space}", "unshare", "--uts", "--pid", "--fork"]
        words += ["--mount", "--mount-proc", "--kill-child=SIGKILL", "bash", "-c"]
        steps.append(f"exec {shlex.join([*words, '; '.join(inner)])}")
        with open(self.folder / f"{name}.out", "ab") as log:
            child = subprocess.Popen(
                ["bash", "-c", "; ".join(steps)],
                env={**environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                start_new_session=True,
            )  # fmt: skip
        _CHILDREN.append(child)
        return Machine(name, self.address(number), _grandchild(child), link, group)

    def _wire(self, number: int, space: str, link: str) -> None:
        ip("netns", "add", space)
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("link", "set", link, "master", f"{self.prefix}br")
        ip("-n", space, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")
        ip("-n", space, "link", "set", "lo", "up")
        ip("-n", space, "route", "add", "default", "via", f"{self.net}.1")


_CHILDREN: list[subprocess.Popen[bytes]] = []
"""Parents of machines, which are to be waited for when they are gone."""


def _grandchild(child: subprocess.Popen[bytes]) -> int:
    """Process 1 in the namespaces that `unshare` makes."""
    path = Path(f"/proc/{child.pid}/task/{child.pid}/children")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and child.poll() is None:
        # Before it is `unshare`, it is a shell that has children of its own.
        if _line(child.pid, "comm").strip() == "unshare" and (found := path.read_text().split()):
            return int(found[0])
        time.sleep(0.02)
    raise TimeoutError("no process in the namespaces")


@contextmanager
def lan(folder: Path, net: str = "") -> Iterator[Lan]:
    """A bridge, until the end; then no machine, and nothing that was mounted in the folder.

    Args:
        folder: not below a folder that machines have for themselves; it is removed at the end.
        net: the first three numbers of its addresses; empty for some that no other test has.
    """
    prefix = f"trm{os.getpid()}"
    net = net or f"10.{200 + os.getpid() % 50}.{os.getpid() // 50 % 250}"
    words = [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py")), prefix]
    keeper = subprocess.Popen(
        [*words, str(folder)], stdin=subprocess.PIPE, cwd="/", start_new_session=True
    )
    assert keeper.stdin is not None
    try:
        ip("link", "add", f"{prefix}br", "type", "bridge")
        ip("addr", "add", f"{net}.1/24", "dev", f"{prefix}br")
        ip("link", "set", f"{prefix}br", "up")
        yield Lan(prefix, net, folder)
    finally:
        keeper.stdin.close()
        keeper.wait()
        while _CHILDREN:
            child = _CHILDREN.pop()
            child.send_signal(signal.SIGKILL)
            child.wait(20)
