"""The daemon that lets processes share a GPU: a stand-in that behaves as documented."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cluster.errors import ClusterError
from cluster.mps import CONTROL, LOGS, PIPES, mps, require_mps

# `-d` puts a daemon into the background, which keeps a control socket in the pipe directory until
# somebody writes `quit` to a second call; a client without the directory knows of none.
STAND_IN = f"""#!{sys.executable}
import os, signal, subprocess, sys, time
pipes, logs = os.environ["{PIPES}"], os.environ["{LOGS}"]
note = os.path.join(pipes, "control")
if os.path.exists(os.path.join(os.path.dirname(__file__), "no-gpu")):
    open(os.path.join(logs, "control.log"), "w").write("[now] Failed: no CUDA-capable device\\n")
    sys.exit(1)
if sys.argv[1:] == ["-d"]:
    daemon = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                              start_new_session=True)
    open(note, "w").write(str(daemon.pid))
elif sys.stdin.read() == "quit\\n":
    os.kill(int(open(note).read()), signal.SIGTERM)
    os.remove(note)
else:
    sys.exit(1)
"""


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in's folder, first on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / CONTROL).write_text(STAND_IN)
    (folder / CONTROL).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder


def daemon_of(pipes: str) -> psutil.Process:
    return psutil.Process(int((Path(pipes) / "control").read_text()))


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_the_daemon_is_there_within_and_gone_afterwards(control: Path, tmp_path: Path) -> None:
    with mps(tmp_path) as variables:
        daemon = daemon_of(variables[PIPES])
        assert alive(daemon)
        assert Path(variables[LOGS]).is_dir()
    assert not alive(daemon)
    assert PIPES not in os.environ


def test_one_that_is_named_is_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PIPES, "/somewhere")
    require_mps(None)
    with mps(tmp_path) as variables:
        assert variables == {}
    assert not list(tmp_path.iterdir())


def test_what_is_missing_is_said(
    control: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (control / "no-gpu").touch()
    with (
        pytest.raises(ClusterError, match=r"-d ended with code 1 \(\[now\] Failed: no CUDA"),
        mps(tmp_path),
    ):
        pass
    with pytest.raises(ClusterError, match="is for a cluster that is started here, not for head:1"):
        require_mps("head:1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=f"needs {CONTROL}, which comes with NVIDIA's driver"):
        require_mps(None)


WORKERS = """
import os, sys, time
from cluster.connect import connected

with connected(cpus=1, through_mps=True):
    import ray

    @ray.remote(num_cpus=1)
    def pipes():
        return os.environ["CUDA_MPS_PIPE_DIRECTORY"]

    print(ray.get(pipes.remote()), flush=True)
    time.sleep(float(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True])
def test_workers_find_it_and_it_ends_with_the_driver(control: Path, killed: bool) -> None:
    driver = subprocess.Popen(
        [sys.executable, "-c", WORKERS, "100" if killed else "0.5"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert driver.stdout is not None
    pipes = driver.stdout.readline().strip()
    daemon = daemon_of(pipes)
    assert alive(daemon)
    if killed:
        driver.send_signal(signal.SIGKILL)
    assert driver.wait(timeout=60) == (-signal.SIGKILL if killed else 0)
    end = time.monotonic() + 20.0
    while alive(daemon):
        assert time.monotonic() < end
        time.sleep(0.1)
