"""A job for a cluster that is up: what is shipped, which Python runs it, and a real head."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cluster.launch.errors import LaunchError
from cluster.launch.node import free_port
from cluster.launch.submit import CONFIG, _client, entrypoint, shipped, submit
from search.ledger.reader import read_trials
from tests.conftest import TREE
from tests.support.launched import HOSTILE, job, machines
from trm.files.yaml12 import dump_yaml

ROOT = Path(__file__).parents[3]


def test_only_the_code_and_the_config_are_shipped(tmp_path: Path) -> None:
    package = tmp_path / "mine"
    (package / "__pycache__").mkdir(parents=True)
    (package / "__pycache__/a.pyc").touch()
    (package / "a.py").touch()
    (package / "b.sh").touch()
    (tmp_path / "plugin.py").touch()
    (tmp_path / "secret.txt").touch()
    packages = {"mine": package, "plugin.py": tmp_path / "plugin.py"}
    with shipped(job(text="name: é\n", packages=packages)) as folder:
        found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        assert found == ["mine", "mine/a.py", "mine/b.sh", "plugin.py", CONFIG]
        assert (folder / CONFIG).read_text(encoding="utf-8") == "name: é\n"
    assert not folder.exists()


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("own", [True, False])
def test_no_value_becomes_a_command(value: str, own: bool, tmp_path: Path) -> None:
    wrote = tmp_path / "words"
    for name in ("python", "python3"):
        (tmp_path / name).write_text(f'#!/bin/bash\nprintf "%s\\0" "$@" > "{wrote}"\n')
        (tmp_path / name).chmod(0o755)
    wanted = machines(python=str(tmp_path / "python")) if own else machines()
    line = entrypoint(job(f"s3://mine/{value}", options=("--set", value)), wanted)
    # Its parent is another shell, which has not loaded Ray: so it is the python3 of the path.
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    words = ["sh", "-c", 'sh -c "$1"; exit "$?"', "sh", line]
    subprocess.run(words, cwd=tmp_path, env=environment, check=True)
    assert wrote.read_bytes().decode().split("\0")[:-1] == [
        "-m", "search.cli", "sweep", CONFIG, "--set", value, "--out", f"s3://mine/{value}",
        "--resume", "--address", "auto",
    ]  # fmt: skip
    assert not (tmp_path / "PWNED").exists()


def test_the_python_is_that_of_the_process_that_has_loaded_ray() -> None:
    line = re.sub(r"; exec .*", '; echo "$python"', entrypoint(job(), machines()))
    code = f"import ray._raylet, subprocess; subprocess.run({line!r}, shell=True)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = done.stdout.strip()
    assert found.endswith("/bin/python3")
    assert Path(found).samefile(sys.executable)
    assert Path(found).parent.resolve() == Path(sys.executable).parent.resolve()


@pytest.mark.parametrize(
    ("out", "address", "changes", "message"),
    [
        ("runs/mine", "http://h:8265", {}, "cluster.storage: 'runs/mine' is no full path"),
        ("s3://b/r", "http://h:8265", {"paths": {"task.file": "/d.csv"}},
         "task.file: '/d.csv' is on this machine, where the nodes are not: put it in a bucket"),
        ("s3://b/r", "h:6379", {}, "--address: 'h:6379' must be the dashboard's address"),
        ("s3://b/r", "ray://h:10001", {}, "--address: 'ray://h:10001' must be the dashboard's"),
        ("s3://b/r", "http://", {}, "--address: 'http://' must be the dashboard's address"),
        ("s3://b/r", "", {}, "--address: '' must be the dashboard's address"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    out: str, address: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(LaunchError) as refused:
        submit(job(out, **changes), machines(), address)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_nobody_there_or_no_client_is_one_line() -> None:
    with pytest.raises(LaunchError) as refused:
        submit(job(), machines(), f"http://127.0.0.1:{free_port()}")
    text = str(refused.value)
    assert "does not take jobs" in text or "pip install 'trm-search[cluster]'" in text
    assert "\n" not in text


TOKEN = f"Bearer {'ab' * 32}"


class Dashboard(BaseHTTPRequestHandler):
    """Says which Ray it is, to who has the token."""

    asks = True
    seen: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        sent = self.headers.get("Authorization")
        self.seen.append(sent)
        right = not self.asks or sent == TOKEN
        self.send_response(200 if right else 401 if sent is None else 403)
        self.end_headers()
        self.wfile.write(b'{"ray_version": "2.60.0"}')

    def log_message(self, format: str, *args: object) -> None:
        """Keep still."""


@pytest.mark.parametrize("asks", [True, False])
def test_a_token_is_sent_where_it_is_asked_for(asks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp", reason="needs ray[default]")
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "ab" * 32)
    monkeypatch.setattr(Dashboard, "asks", asks)
    monkeypatch.setattr(Dashboard, "seen", [])
    with HTTPServer(("127.0.0.1", 0), Dashboard) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        client, seen = _client(url), [*Dashboard.seen]
        monkeypatch.setenv("RAY_AUTH_TOKEN", "cd" * 32)
        if asks:
            with pytest.raises(LaunchError, match="RAY_AUTH_TOKEN holds another one") as refused:
                _client(url)
            assert "cdcd" not in str(refused.value)
        server.shutdown()
    assert "RAY_AUTH_MODE" not in os.environ
    assert seen[0] is None
    assert {*seen} == ({None, TOKEN} if asks else {None})
    assert [*client._headers.values()] == ([TOKEN] if asks else [])


@pytest.fixture(scope="module")
def python() -> str:
    """The Python of an environment with ray[default] and without this package."""
    chosen = os.environ.get("TRM_CLUSTER_PYTHON")
    if chosen is None:
        pytest.skip("needs TRM_CLUSTER_PYTHON, a Python with ray[default] but without trm-search")
    code = "import ray.job_submission, importlib.util as u; assert u.find_spec('trm') is None"
    subprocess.run([chosen, "-c", code], check=True, cwd="/")
    return chosen


@pytest.fixture
def head(python: str, tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A cluster that asks for a token, and what this environment has to hold to reach it."""
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "ab" * 32}
    dashboard = free_port()
    # Ray's sockets have no room below a test's own folder.
    files = tempfile.mkdtemp(prefix="trm-submit-", dir="/tmp")
    words = [
        python, "-P", "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2",
        f"--port={free_port()}", f"--dashboard-port={dashboard}", f"--temp-dir={files}",
        f"--ray-client-server-port={free_port()}", "--object-store-memory=100000000",
        f"--dashboard-agent-listen-port={free_port()}", "--disable-usage-stats",
    ]  # fmt: skip
    # `python` is another one there.
    theirs = {**environment, "PATH": "/usr/bin:/bin"}
    with open(tmp_path / "head.log", "wb") as log:
        child = subprocess.Popen(words, env=theirs, stdout=log, stderr=log, cwd="/")
    yield f"http://127.0.0.1:{dashboard}", environment
    child.terminate()
    child.wait(60)
    print((tmp_path / "head.log").read_text()[-2000:])
    shutil.rmtree(files, ignore_errors=True)


@pytest.mark.slow
def test_a_head_without_this_package_sweeps(
    python: str, head: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    address, environment = head
    tree = {
        **TREE,
        "optimizer": {**TREE["optimizer"], "lr": {"loguniform": [1e-3, 1e-2]}},
        "search": {"trials": 2, "scheduler": "none", "sampler": "random"},
        "stability": {"candidates": 1, "seeds": 1, "promise_seeds": 2},
        "plugins": ["launched_here"],
    }
    (tmp_path / "mine.yaml").write_text(dump_yaml(tree))
    (tmp_path / "launched_here.py").write_text("")
    words = [
        python, "-P", "-m", "search.cli", "cluster", "submit", str(tmp_path / "mine.yaml"),
        "--address", address, "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    here = {**environment, "PYTHONPATH": str(ROOT)}
    deadline = time.monotonic() + 120
    while True:
        done = subprocess.run(words, env=here, capture_output=True, text=True, timeout=120)
        if done.returncode == 0 or time.monotonic() > deadline:
            break
        assert done.stderr.count("\n") == 1, done.stderr
        time.sleep(2)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    name = shlex.split(done.stdout.splitlines()[0])[2].rstrip(";")
    code = (
        "import sys; from ray.job_submission import JobSubmissionClient as C;"
        "c = C(sys.argv[1]); print(c.get_job_status(sys.argv[2]).value);"
        "print(c.get_job_logs(sys.argv[2]))"
    )
    deadline = time.monotonic() + 300
    told = ""
    while not told.startswith(("SUCCEEDED", "FAILED", "STOPPED")) and time.monotonic() < deadline:
        time.sleep(3)
        told = subprocess.run(
            [python, "-c", code, address, name], env=environment, capture_output=True, text=True
        ).stdout
    assert told.startswith("SUCCEEDED"), told
    assert (tmp_path / "run/best.yaml").exists()
    trials = read_trials(tmp_path / "run").values()
    assert {trial.outcome for trial in trials} == {"completed"}
    assert "ab" * 32 not in told
    bare = {key: value for key, value in here.items() if not key.startswith("RAY_AUTH")}
    refused = subprocess.run(
        words, env={**bare, "HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "asks for a token, and there is none here" in refused.stderr
