"""Whether a cluster takes us: real heads with and without tokens, and what is no cluster."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster import admission as module
from cluster.admission import Admission, admission, check_address, token_source, variables_of_tokens
from cluster.errors import ClusterError
from cluster.launch.node import free_port, own_address
from tests.conftest import Tiny

RIGHT, WRONG = "7e57" * 16, "bad0" * 16
LATE = 30.0
"""Seconds after which a refusal is late, also on a busy machine; Ray's own takes 39 on an idle."""

DRIVER = """
import json, os, sys
if sys.argv[2] == "notebook":
    import ray
from cluster.connect import connected

with connected(sys.argv[1]) as cluster:
    import ray

    @ray.remote(num_cpus=0)
    class Worker:
        def add(self, held):
            return sum(ray.get(held[0]))

    # The worker asks the driver for this, as trials do for what Tune keeps there.
    print(json.dumps([
        ray.get(Worker.remote().add.remote([ray.put([1, 2, 3])]), timeout=60),
        cluster.local, os.environ.get("RAY_AUTH_MODE"),
    ]))
"""


@dataclass(frozen=True)
class Head:
    """A head node that is up.

    Attributes:
        folder: below which its files are, as `RAY_TMPDIR` has it.
        asks: whether it wants a token.
    """

    address: str
    folder: str
    asks: bool


def bare(home: Path, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return {**kept, "HOME": str(home), **more}


def home_with(folder: Path, token: str | None) -> Path:
    (folder / ".ray").mkdir(parents=True)
    if token is not None:
        (folder / ".ray" / "auth_token").write_text(token)
        (folder / ".ray" / "auth_token").chmod(0o600)
    return folder


@pytest.fixture(scope="module", params=["asks", "open"])
def head(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Head]:
    """A head of a home folder with a token, which it asks for from then on; or of one without."""
    home = tmp_path_factory.mktemp("head")
    home_with(home, RIGHT if request.param == "asks" else None)
    # Ray's sockets have no room below a test's own folder.
    files = tempfile.mkdtemp(prefix="trm-head-", dir="/tmp")
    address = own_address()
    host, _, port = address.rpartition(":")
    words = [
        sys.executable, "-P", "-m", "ray.scripts.scripts", "start", "--head", "--block",
        "--num-cpus=2", f"--node-ip-address={host}", f"--port={port}", f"--temp-dir={files}/ray",
        f"--ray-client-server-port={free_port()}", "--object-store-memory=100000000",
        f"--dashboard-agent-listen-port={free_port()}", "--include-dashboard=false",
        "--disable-usage-stats",
    ]  # fmt: skip
    with open(home / "log", "wb") as log:
        child = subprocess.Popen(words, env=bare(home), stdout=log, stderr=log, cwd="/")
    deadline = time.monotonic() + 90
    while b"Ray runtime started" not in (home / "log").read_bytes():
        assert child.poll() is None, (home / "log").read_text()
        assert time.monotonic() < deadline, (home / "log").read_text()
        time.sleep(0.2)
    yield Head(address, files, request.param == "asks")
    child.terminate()
    child.wait(60)
    shutil.rmtree(files, ignore_errors=True)


def drive(address: str, environment: Mapping[str, str], style: str = "program") -> object:
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, address, style],
        env=dict(environment), capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.slow  # heads of real clusters
def test_a_cluster_takes_us_wherever_the_token_lies(head: Head, tmp_path: Path) -> None:
    mode = "token" if head.asks else "disabled"
    (tmp_path / "kept").write_text(RIGHT)
    there, none = home_with(tmp_path / "there", RIGHT), home_with(tmp_path / "none", None)
    for environment, style in (
        (bare(there), "program"),
        (bare(there), "notebook"),
        (bare(none, RAY_AUTH_TOKEN=RIGHT), "program"),
        (bare(none, RAY_AUTH_TOKEN_PATH=str(tmp_path / "kept")), "program"),
        # By hand, as Ray's pages say, also where the cluster has none.
        (bare(there, RAY_AUTH_MODE="token"), "notebook"),
    ):
        assert drive(head.address, environment, style) == [6, False, mode]
    found = bare(there, RAY_TMPDIR=head.folder)
    assert drive("auto", found) == [6, False, mode]
    assert drive("auto", bare(there, RAY_ADDRESS=head.address)) == [6, False, mode]
    asks = (
        "import sys; from cluster.admission import admission;"
        "print([node['CPU'] for node in admission(sys.argv[1]).nodes])"
    )
    command = [sys.executable, "-c", asks, head.address]
    done = subprocess.run(command, env=bare(there), capture_output=True, text=True, timeout=120)
    assert done.stdout == "[2.0]\n", done.stderr


@pytest.mark.slow  # heads of real clusters
def test_without_the_token_a_sweep_ends_at_once(head: Head, tmp_path: Path, tiny: Tiny) -> None:
    lr = {"loguniform": [1e-3, 1e-2]}
    tree = tiny({"optimizer.lr": lr, "search.trials": 2, "cluster.address": head.address})
    (tmp_path / "c.yaml").write_text(json.dumps(tree))
    none, wrong = home_with(tmp_path / "none", None), home_with(tmp_path / "wrong", WRONG)
    right = home_with(tmp_path / "right", RIGHT)
    cases = [
        (bare(none), "asks for a token, and there is none here"),
        (bare(wrong), f"{wrong}/.ray/auth_token holds another one"),
        (bare(right, RAY_AUTH_TOKEN=WRONG), "RAY_AUTH_TOKEN holds another one"),
        (bare(right, RAY_AUTH_TOKEN_PATH="/nonexistent/token"), "/nonexistent/token (RAY_AUTH_TOK"),
        (bare(right, RAY_AUTH_MODE="disabled"), "unset RAY_AUTH_MODE"),
    ]
    if not head.asks:
        # Whatever lies at home, it is no reason to refuse or to be refused.
        for environment, _ in cases:
            assert drive(head.address, environment) == [6, False, "disabled"]
        return
    for environment, message in cases:
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "search.cli", "sweep", "c.yaml", "--out", "run"],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert time.monotonic() - began < LATE
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
        assert head.address in done.stderr
        assert not (tmp_path / "run").exists()
        assert WRONG not in done.stdout + done.stderr
        assert RIGHT not in done.stdout + done.stderr


@pytest.mark.slow  # a sweep on the head of a real cluster
def test_a_sweep_on_such_a_cluster(head: Head, tmp_path: Path, tiny: Tiny) -> None:
    lr = {"loguniform": [1e-3, 1e-2]}
    changes = {
        "optimizer.lr": lr, "search.trials": 2, "search.sampler": "random",
        "search.scheduler": "none",
        "stability": {"candidates": 1, "seeds": 1, "promise_seeds": 2},
    }  # fmt: skip
    (tmp_path / "c.yaml").write_text(json.dumps(tiny(changes)))
    home = home_with(tmp_path / "home", RIGHT)
    done = subprocess.run(
        [sys.executable, "-m", "search.cli", "sweep", "c.yaml", "--out", "run",
         "--address", head.address],
        env=bare(home), cwd=tmp_path, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "best.yaml").exists()
    for path in (tmp_path / "run").rglob("*"):
        assert not path.is_file() or RIGHT.encode() not in path.read_bytes()


@pytest.mark.parametrize("greets", [b"", b"SSH-2.0-nothing\r\n"])
def test_a_server_that_is_none_of_rays(greets: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 1.0)
    with socket.create_server(("", 0)) as server:
        address = f"{own_address().rpartition(':')[0]}:{server.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(ClusterError) as refused:
            check_address(address)
        assert time.monotonic() - began < LATE
    text = str(refused.value)
    assert text.startswith(f"--address {address}: no Ray cluster has answered in 1 s")
    assert "\n" not in text


def test_the_address_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://10.0.0.1:10001")
    with pytest.raises(ClusterError) as refused:
        admission("auto")
    text = str(refused.value)
    assert text.startswith("--address auto (RAY_ADDRESS=ray://10.0.0.1:10001): a Ray Client addr")
    port = free_port()
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    with pytest.raises(ClusterError, match=rf"RAY_ADDRESS=127.0.0.1:{port}\): nobody answers"):
        admission("auto")


def test_a_token_is_named_by_its_place_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert token_source() is None
    home_with(tmp_path, RIGHT)
    assert token_source() == f"{tmp_path}/.ray/auth_token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/srv/token")
    assert token_source() == "/srv/token (RAY_AUTH_TOKEN_PATH)"
    monkeypatch.setenv("RAY_AUTH_TOKEN", RIGHT)
    assert token_source() == "RAY_AUTH_TOKEN"


def test_ray_heeds_the_variables_within_and_not_after(monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
from cluster.admission import Admission, variables_of_tokens
from ray._private.authentication.authentication_utils import is_token_auth_enabled
from ray._private.authentication.http_token_authentication import get_auth_headers_if_auth_enabled
print(is_token_auth_enabled())
with variables_of_tokens({**Admission("h:1", True).variables, "RAY_AUTH_TOKEN": "one"}):
    print(is_token_auth_enabled(), get_auth_headers_if_auth_enabled({}))
with variables_of_tokens({**Admission("h:1", True).variables, "RAY_AUTH_TOKEN": "two"}):
    print(get_auth_headers_if_auth_enabled({}))
print(is_token_auth_enabled())
"""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "False",
        "True {'authorization': 'Bearer one'}",
        "{'authorization': 'Bearer two'}",
        "False",
    ]
    with variables_of_tokens(Admission("h:1", token=False).variables):
        assert os.environ["RAY_AUTH_MODE"] == "disabled"
