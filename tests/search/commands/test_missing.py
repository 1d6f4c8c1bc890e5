"""A path that is not there is said before an option that is not given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from search.commands import COMMANDS

LINES: dict[str, Sequence[str]] = {
    "export to onnx": ["export", "nothere", "--format", "onnx"],
    "export to torch": ["export", "nothere", "--format", "torch"],
    "export of weights": ["export", "nothere", "--format", "reference-weights"],
    "export of a trial": ["export", "nothere", "--format", "onnx", "--trial", "3"],
    "export of a config": ["export", "nothere", "--format", "card"],
    "eval": ["eval", "nothere"],
    "eval of a trial": ["eval", "nothere", "--trial", "3"],
    "eval with depth": ["eval", "nothere", "--depth", "1,2"],
    "solve": ["solve", "nothere", "valid:0"],
    "bench": ["bench", "nothere"],
    "import": ["import", "nothere", "--out", "x"],
    "train from": ["train", "arrows4", "--from", "nothere", "--out", "x"],
    "stability": ["stability", "nothere"],
    "sensitivity": ["sensitivity", "nothere"],
    "simulate": ["simulate", "nothere"],
    "importance": ["importance", "nothere"],
    "fidelity": ["fidelity", "nothere"],
    "report": ["report", "nothere"],
    "status": ["status", "nothere"],
    "diagnose": ["diagnose", "nothere"],
    "compare": ["compare", "nothere", "nothere"],
    "stop": ["stop", "nothere"],
    "logs": ["logs", "nothere"],
}

CONFIGS = {"init", "tasks", "curriculum", "sweep", "ablate"}
"""What they take may be a preset's name too."""


@pytest.mark.parametrize("words", LINES.values(), ids=LINES.keys())
def test_what_is_not_there_is_what_is_said(
    words: Sequence[str], refused: Callable[..., str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    line = refused(*words)
    assert "nothere" in line
    assert "--out" not in line
    assert not list(tmp_path.iterdir())


def test_every_command_that_reads_a_place_is_asked() -> None:
    asked = {words[0] for words in LINES.values()}
    assert asked | CONFIGS | {"guide", "doctor", "keys", "cluster"} == set(COMMANDS)
