"""A Ray of this machine alone: who can reach it, who can read its files, and its patience."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cluster.local import own_token
from tests.cluster.test_connect import alive, descendants, without_patience

DRIVER = """
import json, os, sys
os.umask(int(sys.argv[1], 8))
if sys.argv[2] == "notebook":
    import ray
from cluster.connect import connected

with connected(cpus=1) as cluster:
    import ray

    @ray.remote(num_cpus=1)
    class Worker:
        def look(self):
            return os.getcwd(), {k: v for k, v in os.environ.items() if k.startswith("RAY_AUTH")}

    worker = Worker.remote()
    node = ray.nodes()[0]["NodeManagerAddress"]
    print(json.dumps([*ray.get(worker.look.remote()), node]), flush=True)
    sys.stdin.readline()
print(json.dumps({k: v for k, v in os.environ.items() if k.startswith("RAY_AUTH")}), flush=True)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder without a token."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def begin(home: Path, umask: str, style: str, **more: str) -> subprocess.Popen[str]:
    keep = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, umask, style],
        env={**keep, "HOME": str(home), **more},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def listening(pids: set[int]) -> dict[str, list[str]]:
    """Addresses on which processes listen or take datagrams, by process."""
    found: dict[str, list[str]] = {}
    for pid in pids:
        try:
            process = psutil.Process(pid)
            sockets = process.net_connections("inet")
        except psutil.NoSuchProcess:
            continue
        ips = [s.laddr.ip for s in sockets if s.status in ("LISTEN", "NONE") and s.laddr]
        if ips:
            found[f"{process.name()} {pid}"] = ips
    return found


def open_to_others(folder: Path) -> Iterator[tuple[Path, str]]:
    """What users with no more rights than anybody can reach there, with its mode."""

    def look(path: Path) -> Iterator[tuple[Path, str]]:
        state = path.lstat()
        if state.st_mode & 0o077:
            yield path, stat.filemode(state.st_mode)
        if stat.S_ISDIR(state.st_mode) and state.st_mode & 0o011:
            for child in path.iterdir():
                yield from look(child)

    yield from look(folder)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc and /dev/shm")
@pytest.mark.parametrize(
    ("umask", "style"),
    [("000", "notebook"), pytest.param("022", "program", marks=pytest.mark.slow)],
)
def test_nobody_else_reaches_a_local_ray(home: Path, umask: str, style: str) -> None:
    driver = begin(home, umask, style, RAY_AUTH_TOKEN="of another cluster")
    assert driver.stdout is not None
    said = driver.stdout.readline()
    assert said, driver.communicate()[1]
    place, tokens, node = json.loads(said)
    processes = {driver.pid, *descendants(driver.pid)}
    assert len(processes) >= 5
    sockets = listening(processes)
    # The server of the cluster's state, the node's, the worker's and the driver's.
    assert len([ip for ips in sockets.values() for ip in ips]) >= 4
    assert any(name.startswith("gcs_server") for name in sockets)
    found = {ip.removeprefix("::ffff:") for ips in sockets.values() for ip in ips}
    assert found == {"127.0.0.1"}, sockets
    assert node == "127.0.0.1"

    session = Path(place).parent
    assert session.name.startswith("trm-ray-")
    assert len(list(session.rglob("*"))) > 20
    assert list(open_to_others(session)) == []
    # The store of objects has no name there.
    assert not list(Path("/dev/shm").glob("*plasma*"))

    # The token is the session's own.
    kept = session / "auth_token"
    assert tokens == {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(kept)}
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert len(kept.read_text()) == 64
    assert not (home / ".ray").exists()
    out, err = driver.communicate("end\n", timeout=60)
    assert without_patience(err) == ""
    # What the user's other clusters need is as it was.
    assert json.loads(out) == {"RAY_AUTH_TOKEN": "of another cluster"}
    assert not session.exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="becomes another user")
def test_what_others_can_do_there_in_truth(tmp_path: Path) -> None:
    from cluster.session import session_folder

    code = "import os, sys; os.setgid(65534); os.setuid(65534); os.listdir(sys.argv[1])"
    with session_folder() as folder:
        (folder / "ray").mkdir()
        (folder / "ray").chmod(0o777)
        for place in (folder, folder / "ray"):
            done = subprocess.run(
                [sys.executable, "-I", "-c", code, str(place)], capture_output=True, text=True
            )
            assert "PermissionError" in done.stderr
        listed = subprocess.run([sys.executable, "-I", "-c", code, "/tmp"], capture_output=True)
        assert listed.returncode == 0


def test_a_token_is_the_sessions_unless_tokens_are_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of another cluster")
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    found = own_token(tmp_path)
    token = Path(str(found.pop("RAY_AUTH_TOKEN_PATH")))
    assert found == {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": None}
    assert token.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert own_token(tmp_path) == {}


def frozen_at_birth(driver: subprocess.Popen[str], name: str) -> int:
    """Freeze the first descendant of that name; returns its pid."""
    end = time.monotonic() + 60
    while time.monotonic() < end and driver.poll() is None:
        for pid in descendants(driver.pid):
            try:
                process = psutil.Process(pid)
                if process.name() == name:
                    process.suspend()
                    return pid
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.01)
    raise AssertionError(f"no {name} was seen")


@pytest.mark.slow  # Ray waits for half a minute
def test_a_start_that_takes_long_is_said_and_tried_again(home: Path) -> None:
    driver = begin(home, "022", "program")
    frozen = frozen_at_birth(driver, "raylet")
    assert driver.stdout is not None
    said = driver.stdout.readline()
    assert said, driver.communicate()[1]
    # What the first attempt has left is not there to slow the second one down.
    running = alive(descendants(driver.pid))
    assert frozen not in running
    names = [psutil.Process(pid).name() for pid in running]
    assert names.count("gcs_server") == names.count("raylet") == 1
    _, err = driver.communicate("end\n", timeout=60)
    first, second = err.splitlines()
    assert first.startswith("trm: Ray's start takes more than 20 s: attempt 1 of 3, load ")
    assert second.startswith("trm: Ray has not started in ")
    assert second.endswith("attempt 2 of 3")
