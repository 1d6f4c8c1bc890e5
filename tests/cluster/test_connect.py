"""Connecting to Ray: quiet, unshadowed, and nothing left behind; bad addresses in one line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from cluster.admission import variables_of_tokens
from cluster.connect import ClusterError, connected
from tests.support.hangups import HEARD

DRIVER = """
import os, sys, time
from cluster.connect import connected

os.environ["PYTHONPATH"] = os.pathsep.join([".", os.getcwd()])
with connected(
    sys.argv[1] or None, cpus=1, environment={"TRM_TEST": "yes"}, niceness=2
) as cluster:
    import ray

    @ray.remote(num_cpus=1)
    def look():
        import os, cluster, search, trm
        session = os.path.dirname(os.getcwd())
        files = [session, *(m.__file__ for m in (search, cluster, trm))]
        return files, os.environ["TRM_TEST"], os.nice(0)

    @ray.remote(num_cpus=1)
    def spin():
        while True:
            pass

    files, value, niceness = ray.get(look.remote())
    assert value == "yes"
    assert sys.argv[1] or niceness == os.nice(0) + 2, niceness
    print(*files, flush=True)
    if sys.argv[2] == "hang":
        forever = spin.remote()
        time.sleep(1)
        print("ready", flush=True)
        time.sleep(100)
"""


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A working directory with a user's own modules of our names."""
    (tmp_path / "cluster").mkdir()
    for name in ("search.py", "trm.py", "curricula.py", "cluster/__init__.py"):
        (tmp_path / name).write_text("raise SystemExit('a module of the user shadows ours')")
    # Started like the console script: from a folder of its own, which is first on the path.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "driver.py").write_text(HEARD + DRIVER)
    return tmp_path


def start(folder: Path, address: str, mode: str) -> subprocess.Popen[str]:
    without = ("PYTHONPATH", "RAY_ADDRESS", "RAY_AUTH_MODE")
    environment = {k: v for k, v in os.environ.items() if k not in without}
    return subprocess.Popen(
        [sys.executable, str(folder / "bin" / "driver.py"), address, mode],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def without_patience(text: str) -> str:
    """What a driver said on its error stream, but for what it says of a busy machine."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("trm: Ray's start takes more"))


def descendants(root: int) -> set[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(
                    (entry / "stat").read_text().rpartition(")")[2].split()[1]
                )
            except OSError:
                continue
    found: set[int] = set()
    while more := {p for p, parent in parents.items() if parent in found | {root}} - found:
        found |= more
    return found


def alive(pids: set[int]) -> set[int]:
    running = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            running.add(pid)
    return running


def test_the_users_own_modules_shadow_nothing_and_ray_is_quiet(hostile: Path) -> None:
    driver = start(hostile, "", "end")
    out, err = driver.communicate(timeout=120)
    assert driver.returncode == 0, err
    assert len(out.splitlines()) == 1
    assert str(hostile) not in out
    assert without_patience(err) == ""
    session = Path(out.split()[0])
    assert session.name.startswith("trm-ray-")
    assert not session.exists()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
@pytest.mark.parametrize(
    ("number", "to"),
    [
        (signal.SIGKILL, "driver"),
        pytest.param(signal.SIGKILL, "group", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "group", marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, "all", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "all", marks=pytest.mark.slow),
    ],
)
def test_a_killed_driver_leaves_no_process_and_no_files(
    number: signal.Signals, to: str, hostile: Path
) -> None:
    driver = start(hostile, "", "hang")
    assert driver.stdout is not None
    session = Path(driver.stdout.readline().split()[0])
    assert session.is_dir()
    assert driver.stdout.readline() == "ready\n"
    processes = descendants(driver.pid)
    assert len(processes) >= 4
    if to == "group":
        os.killpg(driver.pid, number)
    for pid in [driver.pid, *(processes if to == "all" else ())]:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    driver.communicate()
    assert driver.returncode
    end = time.monotonic() + 20
    while (alive(processes) or session.exists()) and time.monotonic() < end:
        time.sleep(0.1)
    assert not alive(processes)
    assert not session.exists()


def test_a_cluster_that_is_up_is_joined_and_outlives_us(
    hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.cluster_utils import Cluster

    before = signal.getsignal(signal.SIGTERM)
    with variables_of_tokens({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "7e57" * 16}):
        there = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        try:
            # Nothing in a driver's environment says that a token is to be sent.
            for _ in range(2):
                driver = start(hostile, there.address, "end")
                out, err = driver.communicate(timeout=120)
                assert driver.returncode == 0, err
                assert err == ""
                assert str(hostile) not in out
            with monkeypatch.context() as wrong:
                wrong.setenv("RAY_AUTH_TOKEN", "bad0" * 16)
                _, err = start(hostile, there.address, "end").communicate(timeout=120)
            assert f"--address {there.address}: the cluster asks for a token, and RAY_AUTH" in err
            assert "bad0" not in err
        finally:
            there.shutdown()
            signal.signal(signal.SIGTERM, before)  # Ray has put its own in its place


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ray://10.0.0.1:10001", "ray job submit --address http://10.0.0.1:8265"),
        ("nonsense", "must be `auto` or host:port"),
        ("http://10.0.0.1:6379", "must be `auto` or host:port"),
        ("localhost:99999", "nobody answers"),
        ("no-such-host.invalid:6379", "nobody answers"),
    ],
)
def test_bad_addresses_are_refused_in_one_line(address: str, message: str) -> None:
    with (
        pytest.raises(ClusterError, match=message.replace("/", r"\/")) as caught,
        connected(address),
    ):
        pass
    assert str(caught.value).startswith(f"--address {address}: ")
    assert "\n" not in str(caught.value)


def test_a_port_where_nobody_listens_is_refused_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(ClusterError, match="nobody answers"), connected(f"127.0.0.1:{port}"):
        pass


@pytest.mark.slow
def test_a_ray_that_does_not_start_is_one_line(hostile: Path) -> None:
    shell = f"ulimit -n 40; exec {sys.executable} {hostile / 'bin' / 'driver.py'} '' end"
    done = subprocess.run(
        ["bash", "-c", shell], cwd=hostile, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert "Ray does not start on this machine" in line
    assert "ulimit -n says 40" in line
