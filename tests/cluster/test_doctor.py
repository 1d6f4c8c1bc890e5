"""`trm doctor`: problems that are planted on a machine are found, and nothing stays behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.doctor import Check, _token, machine_checks
from cluster.node_checks import _alike, _shared
from tests.support.apple_gpu import apple_gpu, has_apple_gpu

PROGRAM = """
import dataclasses, json, resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from cluster.doctor import machine_checks
found = machine_checks(sys.argv[1], Path(sys.argv[2]))
print(json.dumps([dataclasses.asdict(check) for check in found]))
"""


def machine(package: str, out: Path, environment: dict[str, str]) -> dict[str, Check]:
    # A Ray that other tests have up has a token of its own.
    mine = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, package, str(out)],
        env={**mine, **environment}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {fields["name"]: Check(**fields) for fields in json.loads(done.stdout)}


def test_planted_problems_are_found_each_with_a_remedy(tmp_path: Path) -> None:
    home, nothing = tmp_path / "home", tmp_path / "bin"
    home.mkdir()
    nothing.mkdir()
    taken = tmp_path / "runs"
    taken.write_text("a file where runs are to lie")
    deep = tmp_path / ("t" * 60)
    deep.mkdir()
    found = machine(
        "no-such-package",
        taken / "mine",
        {"HOME": str(home), "PATH": str(nothing), "TMPDIR": str(deep), "RAY_AUTH_MODE": "token"},
    )
    bad = {name for name, check in found.items() if check.verdict == "bad"}
    assert bad == {"packages", "open files", "disk", "ray token"}
    assert found["compiler"].verdict == found["temporary files"].verdict == "note"
    assert all(found[name].remedy for name in (*bad, "compiler", "temporary files"))
    assert "256" in found["open files"].found
    assert found["disk"].found.startswith(f"{taken} cannot be written")


def test_a_machine_that_is_well(tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    found = {check.name: check for check in machine_checks("trm-search", tmp_path / "runs")}
    assert found["python"].verdict == found["packages"].verdict == "ok"
    assert found["disk"].found.startswith(f"{tmp_path}, ")
    assert sorted(tmp_path.iterdir()) == before, "a probe was left behind"
    for check in found.values():
        assert (check.verdict == "ok") == (not check.remedy) or check.name == "memory", check.text()
        assert "\n" not in check.text()


@pytest.mark.parametrize(
    ("environment", "mode", "verdict", "says"),
    [
        ({}, None, "ok", "none; "),
        ({"RAY_AUTH_MODE": "token"}, None, "bad", "there is none"),
        ({"RAY_AUTH_TOKEN_PATH": "FILE"}, None, "bad", "cannot be read"),
        ({"RAY_AUTH_TOKEN_PATH": "FILE"}, 0o644, "note", "others may read"),
        ({"RAY_AUTH_TOKEN_PATH": "FILE"}, 0o600, "ok", "in FILE"),
        ({"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN_PATH": "FILE"}, 0o600, "note", "unset"),
        ({"RAY_AUTH_TOKEN": "secret-of-the-cluster"}, None, "ok", "(RAY_AUTH_TOKEN)"),
    ],
)
def test_the_token_is_looked_at_and_never_shown(
    environment: dict[str, str], mode: int | None, verdict: str, says: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    file = tmp_path / "token"
    if mode is not None:
        file.write_text("secret-of-the-cluster")
        file.chmod(mode)
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in environment.items():
        monkeypatch.setenv(name, value.replace("FILE", str(file)))
    found = _token()
    assert found.verdict == verdict, found.text()
    assert says.replace("FILE", str(file)) in found.text()
    assert "secret" not in found.text()


def test_nodes_must_agree_on_versions_and_on_the_run_folder(tmp_path: Path) -> None:
    ours = {"python": "3.12.1", "ray": "2.60.0"}
    assert _alike(dict(ours), ours).verdict == "ok"
    other = _alike({"python": "3.12.1", "ray": "2.59.0"}, ours)
    assert other.verdict == "bad"
    assert other.found == "ray 2.59.0, the driver has 2.60.0"
    assert _shared(True, tmp_path).verdict == "ok"
    assert "shared disk" in _shared(False, tmp_path).remedy


def test_an_apple_gpu_is_named_and_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with apple_gpu(monkeypatch):
        (gpu,) = (c for c in machine_checks("trm-search", tmp_path) if c.name == "gpu")
    assert gpu.text() == (
        "ok    gpu: Imaginary M9 (mps), float32 alone, 12.0 GiB that all trials at once share"
    )
    has_apple_gpu(monkeypatch)  # says that it is there, and computes nothing
    (gpu,) = (c for c in machine_checks("trm-search", tmp_path) if c.name == "gpu")
    assert gpu.verdict == "bad"
    assert gpu.found.startswith("Apple's does not compute: Could not run")
    assert gpu.remedy == "set train.device: cpu"
