"""`trm simulate` as its user runs it, on a made-up recording."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from search.simulator.recording import write_recording
from tests.support.recordings import made_up


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "made-up.parquet"
    write_recording(path, made_up(configs=40))
    return path


def test_the_table_shows_every_method_and_the_best_config(cli: Any, file: Path) -> None:
    found = cli(
        "simulate", file, "--samplers", "random", "--schedulers", "asha,halving", "--repeat", 3,
        "--compute", 16,
    )  # fmt: skip
    assert found.code == 0
    assert "40 configs over 6 seeds" in found.out
    for words in ("random + asha + confirm", "random + halving + confirm", "random search"):
        assert words in found.out
    assert "the best recorded config" in found.out


def test_json_holds_every_repetition_and_is_the_same_again(cli: Any, file: Path) -> None:
    words = ("simulate", file, "--repeat", 2, "--compute", 12, "--json", "--seed", 3)
    lines = json.loads(cli(*words).out)
    assert [line["method"] for line in lines] == ["auto + asha + confirm", "random search"]
    assert all(len(line["qualities"]) == 2 for line in lines)
    assert all(line["compute"] <= 12.01 for line in lines)
    assert json.loads(cli(*words).out) == lines


def test_a_setting_reaches_every_method(cli: Any, file: Path) -> None:
    early = ("--set", "search.scheduler={name: asha, min_share: 0.05, eta: 2}")
    words = ("simulate", file, "--repeat", 2, "--compute", 14, "--json")
    plain, stopping = (json.loads(cli(*words, *more).out) for more in ((), early))
    assert stopping[0]["trials"] > plain[0]["trials"]


def test_a_recording_is_saved_and_read_again(cli: Any, file: Path, tmp_path: Path) -> None:
    found = cli("simulate", file, "--save", tmp_path / "copy.parquet")
    assert found.code == 0
    assert str(tmp_path / "copy.parquet") in found.out
    assert (tmp_path / "copy.parquet").read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "train.seed=3"], "all else is recorded"),
        (["--set", "search"], "must be key=value"),
        (["--samplers", "tpo"], "did you mean tpe"),
        (["--schedulers", "pbt"], "cannot be simulated"),
        (["--compute", "6", "--set", "stability.budget=6"], "leaves nothing to search with"),
        (["--workers", "0"], "must be a whole number from 1"),
        (["--save", "/no/such/folder/x.parquet"], "cannot be written"),
    ],
)
def test_bad_input_is_one_line(cli: Any, file: Path, words: list[str], message: str) -> None:
    found = cli("simulate", file, *words)
    assert found.code == 2
    assert message in found.err
    assert found.err.count("\n") == 1
