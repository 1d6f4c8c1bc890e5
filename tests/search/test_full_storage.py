"""A disk that is full under a command: one line, nothing partial, and the same command goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.cli import main
from tests.support.small_disk import fill, small_disk
from trm.files.yaml12 import dump_yaml

Tiny = Callable[..., dict[str, Any]]


@pytest.mark.slow
def test_a_training_on_a_full_disk_goes_on_later(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "train.yaml"
    file.write_text(dump_yaml(tiny({"train.budget": {"steps": 12}, "train.reports": 4})))
    with small_disk(tmp_path, "2m") as disk:
        filler = fill(disk, leave=140_000)
        command = ["train", str(file), "--out", str(disk / "run")]
        assert main(command) == 1
        err = capsys.readouterr().err
        assert err.count("\n") == 1, err
        assert "No space left on device" in err
        assert "--resume goes on" in err
        assert not list(disk.glob("run/checkpoints/.*"))
        filler.unlink()
        assert main([*command, "--resume"]) == 0
        assert len(list(disk.glob("run/checkpoints/*/checkpoint.json"))) >= 1
