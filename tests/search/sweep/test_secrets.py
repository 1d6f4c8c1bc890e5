"""Secrets of the environment stay there: not in a run folder, a log, an output, a launch file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cluster.test_connect import descendants
from tests.conftest import Tiny

PLANTED = {
    "WANDB_API_KEY": "f1a57ed0" * 5,
    "AWS_SECRET_ACCESS_KEY": "planted/secret+of+a/bucket",
    "AWS_SESSION_TOKEN": "planted-session-token",
    "RAY_AUTH_TOKEN": "5ec2e7" * 10,
    "HF_TOKEN": "hf_planted",
    "MY_PASSWORD": "planted-password",
}
LAUNCHED = {
    "nodes": 2, "cpus_per_node": 4, "memory_gb_per_node": 8, "storage": "s3://mine/runs",
    "secrets": [*PLANTED], "aws": {"worker_type": "c6i.xlarge", "image": "ami-0123456789abcdef0"},
    "kuberay": {"image": "registry.example/trm:0.1", "secret": "mine"},
}  # fmt: skip


def holding(folder: Path) -> dict[str, str]:
    """Files in a folder that hold a planted value, and which."""
    found = {}
    for path in folder.rglob("*"):
        try:
            data = path.read_bytes() if path.is_file() else b""
        except OSError:
            continue
        for name, value in PLANTED.items():
            if value.encode() in data:
                found[str(path)] = name
    return found


def session_of(driver: subprocess.Popen[str]) -> Path | None:
    """The folder of the driver's Ray, once its servers are there."""
    for pid in descendants(driver.pid):
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        for variable in variables:
            if variable.startswith(b"TRM_RAY_SESSION="):
                return Path(os.fsdecode(variable.partition(b"=")[2]))
    return None


@pytest.mark.slow  # a whole sweep
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for Ray's folder in /proc")
def test_a_sweep_writes_no_secret_anywhere(tmp_path: Path, tiny: Tiny) -> None:
    # Some of its trials fail, and say so.
    lr = {"choice": [1e-3, 1e10]}
    changes = {
        "optimizer.lr": lr, "search.trials": 3, "search.sampler": "random",
        "search.scheduler": "none", "log": {"wandb": "offline", "tensorboard": True},
        "stability": {"candidates": 1, "seeds": 1, "promise_seeds": 2},
    }  # fmt: skip
    (tmp_path / "c.yaml").write_text(json.dumps(tiny(changes)))
    (tmp_path / "home").mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    driver = subprocess.Popen(
        [sys.executable, "-m", "search.cli", "sweep", "c.yaml", "--out", "run", "--parallel", "1"],
        env={**kept, **PLANTED, "HOME": str(tmp_path / "home")},
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    leaks: dict[str, str] = {}
    sessions, looked = set(), 0
    while driver.poll() is None:
        session = session_of(driver)
        if session is not None:
            sessions.add(session)
            leaks |= holding(session)
            looked += 1
        time.sleep(0.5)
    out, err = driver.communicate()
    assert driver.returncode == 0, err
    assert looked > 2
    assert not leaks
    assert not any(session.exists() for session in sessions)
    assert holding(tmp_path) == {}
    assert len(list((tmp_path / "run").rglob("*"))) > 10
    for value in PLANTED.values():
        assert value not in out + err
    # Of what the search looks at, this is what it finds.
    (tmp_path / "run" / "planted").write_text(f"x{PLANTED['HF_TOKEN']}x")
    assert holding(tmp_path) == {str(tmp_path / "run" / "planted"): "HF_TOKEN"}


@pytest.mark.parametrize("form", ["slurm", "kuberay", "sky", "aws"])
def test_a_launch_file_has_names_alone(
    form: str, tmp_path: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from search.cli import main

    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    tree = tiny({"optimizer.lr": {"loguniform": [1e-3, 1e-2]}, "cluster": LAUNCHED})
    (tmp_path / "c.yaml").write_text(json.dumps(tree))
    written = tmp_path / "written"
    assert main(["cluster", form, str(tmp_path / "c.yaml"), "--file", str(written)]) == 0
    printed = capsys.readouterr()
    for value in PLANTED.values():
        assert value not in written.read_text() + printed.out + printed.err


@pytest.mark.parametrize(
    "words",
    [
        ["cluster", "slurm", "c.yaml"],
        ["cluster", "kuberay", "c.yaml", "--set", "cluster.storage=s3://mine/runs", "--out", "URI"],
        ["sweep", "c.yaml"],
        ["sweep", "c.yaml", "--set", "cluster.storage=URI"],
        ["sweep", "c.yaml", "--set", "cluster.storage=s3://mine/runs", "--out", "URI"],
        ["doctor", "--out", "URI"],
        ["status", "URI"],
    ],
)
def test_a_uri_with_a_password_is_taken_nowhere(
    words: list[str], tmp_path: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from search.cli import main

    monkeypatch.chdir(tmp_path)
    uri = "s3://AKIA42:hun/ter2@mine/runs"
    section = {**LAUNCHED, "storage": uri, "secrets": []}
    tree = tiny({"optimizer.lr": {"loguniform": [1e-3, 1e-2]}, "cluster": section})
    (tmp_path / "c.yaml").write_text(json.dumps(tree))
    assert main([word.replace("URI", uri) for word in words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "holds a password; give it by the environment" in said.err
    assert "ter2" not in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


def test_no_cluster_to_ask_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    from search.cli import main

    assert main(["doctor", "--cluster", "localhost:1"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "--cluster localhost:1: nobody answers" in said.err
    assert said.err.count("\n") == 1
