"""What a node says of itself, asked in this process."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from search.engine import node_probe
from search.engine.node_probe import Fitness, Probe, look, probing
from search.ledger.storage import place


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Probe:
    monkeypatch.setattr(node_probe, "_APPEARS_SECONDS", 0.5)
    with probing([], [], tmp_path) as prober:
        probe = prober._probe
        assert (tmp_path / probe.file).read_text() == probe.nonce
    assert not list(tmp_path.iterdir()), "nothing is left"
    (tmp_path / probe.file).write_text(probe.nonce)
    return probe


def test_a_node_like_the_driver_is_able(probe: Probe) -> None:
    assert look(probe) == Fitness()
    assert dict(probe.versions).keys() == {"Python", "ray", "torch"}
    assert "+" not in dict(probe.versions)["torch"], (
        "a build for another device is no other version"
    )


def test_a_node_with_other_versions_or_code_is_not(probe: Probe) -> None:
    versions = dict(probe.versions) | {"torch": "1.0.0"}
    said = look(replace(probe, versions=tuple(versions.items()))).refusal
    assert re.match(r"it has torch [\d.]+, the driver 1.0.0: install the same version", said)
    said = look(replace(probe, code="0" * 16)).refusal
    assert said.startswith("its code of this package is not the driver's: ")
    assert "no_such" in look(replace(probe, plugins=("no_such_plugin",))).refusal


def test_a_node_must_see_the_run_folder_itself(probe: Probe, tmp_path: Path) -> None:
    gone = look(replace(probe, folder=str(tmp_path / "elsewhere"))).refusal
    assert gone.startswith(f"the run folder {tmp_path}/elsewhere is not there: take a folder on")
    # One of the same name on another disk, be it a copy of the run.
    (tmp_path / probe.file).unlink()
    assert "is another one there" in look(probe).refusal
    (tmp_path / probe.file).write_text("of another driver")
    assert "is another one there" in look(probe).refusal


def test_what_a_killed_driver_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".probe-0123").write_text("old")
    with probing([], [], tmp_path) as prober:
        assert [file.name for file in tmp_path.iterdir()] == [prober._probe.file]


def test_a_bucket_is_looked_into_as_well(uri: Callable[[str], str]) -> None:
    folder = place(uri("run"))
    with probing([], [], folder) as prober:
        assert look(prober._probe) == Fitness()
        (folder / prober._probe.file).write_bytes(b"of another driver")
        assert "is another one there" in look(prober._probe).refusal
    assert not list(folder.iterdir())
