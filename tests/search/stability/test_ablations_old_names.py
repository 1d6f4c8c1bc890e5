"""Files and run folders from when ablations were called a study."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from search.cli import main
from search.config.file import load_tree
from search.config.sections import sweep_sections
from search.ledger.files import run_of
from search.ledger.reader import read_trials
from search.ledger.seal import seal_json, seal_text
from tests.support.folders import ABLATIONS_V1
from trm.errors import RenamedWarning, UserError

OLD = "study: {seeds: 3, ablations: {no_ema: {train.ema: null}}}\n"
NEW = "ablations: {seeds: 3, named: {no_ema: {train.ema: null}}}\n"


def file(folder: Path, text: str) -> Path:
    path = folder / "file.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("sets", "again"),
    [([], []), (["study.seeds=4"], ["ablations.seeds=4"]), (["study=paper"], ["ablations=paper"])],
)
def test_the_old_section_says_its_new_name_and_is_the_same(
    sets: list[str], again: list[str], tmp_path: Path
) -> None:
    with pytest.warns(RenamedWarning, match="study is called ablations now"):
        old = load_tree(file(tmp_path, OLD), sets)
    assert "study" not in old
    assert sweep_sections(old) == sweep_sections(load_tree(file(tmp_path, NEW), again))


def test_both_sections_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = file(tmp_path, OLD + NEW)
    with pytest.raises(UserError, match=r"^study: .* section ablations, .* keep one"):
        load_tree(both)
    assert main(["ablate", str(both), "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def in_todays_words(table: str) -> str:
    """A table of an older version with what explains its columns as it is said now."""
    before = "the probability that one fresh seed beats one of the base"
    assert before in table
    return table.replace(before, "with what probability one fresh seed of it has the better score")


def test_an_old_run_folder_shows_and_goes_on_to_the_same_bytes_and_their_checksums(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRM_CACHE", str(tmp_path / "cache"))
    run = Path(shutil.copytree(ABLATIONS_V1, "run"))
    table = in_todays_words((ABLATIONS_V1 / "study.md").read_text())
    assert main(["status", "run"]) == 0
    shown = capsys.readouterr().out
    assert "3 configs x 2 seeds" in shown
    assert "  study      4 completed, 2 diverged\n" in shown
    assert shown.endswith(table)
    words = ["run/sweep.yaml", "--out", "run", "--resume"]
    with pytest.warns(RenamedWarning) as told:
        assert main(["study", *words]) == 0
    assert [str(one.message) for one in told] == [
        "`trm study` is called `trm ablate` now", "the section study is called ablations now",
    ]  # fmt: skip
    assert capsys.readouterr().out == table
    assert (run / "run.json").read_bytes() == (ABLATIONS_V1 / "run.json").read_bytes()
    assert (run / "study.md").read_text() == table
    sealed = seal_text((ABLATIONS_V1 / "sweep.yaml").read_text(), run_of(run))
    assert (run / "sweep.yaml").read_text() == sealed
    text = (ABLATIONS_V1 / "study.json").read_text()
    tree = json.loads(text.replace(': "run"', f': "{run.absolute()}"'))
    assert (run / "study.json").read_text() == seal_json(tree, run_of(run))
    assert not list(run.glob("ablations.*"))
    assert {trial.stage for trial in read_trials(run).values()} == {"study"}
