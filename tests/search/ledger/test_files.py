"""Damaged files of a run folder: one line that says which, and what to do; never a traceback."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from search.cli import main
from search.ledger.files import fields_of, read_json
from search.ledger.ledger import Ledger
from search.ledger.parquet import sound
from tests.support.folders import RUNS_V1
from trm.errors import UserError

FINISHED = RUNS_V1 / "finished"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FINISHED, tmp_path / "run"))


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must be refused, and returns its one line."""

    def check(*words: object) -> str:
        assert main([str(word) for word in words]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.count("\n") == 1
        return shown.err

    return check


@pytest.mark.parametrize("text", ["", '{"winner":', "[1]", '{"winner": 3}', '{"promise": 1}'])
def test_a_damaged_result(text: str, run: Path, refused: Callable[..., str]) -> None:
    (run / "result.json").write_text(text)
    for words in (["status"], ["report"], ["export"], ["sensitivity", "--dry-run"]):
        line = refused(words[0], run, *words[1:])
        assert f"{run}/result.json: is damaged" in line
        assert line.endswith("`trm stability RUN` writes it again from the runs that are there\n")


@pytest.mark.parametrize("text", ["", "[1]", '{"oat": {"x": 1}}', '{"sobol": 3}'])
def test_a_damaged_sensitivity_is_refused_before_any_run(
    text: str, run: Path, refused: Callable[..., str]
) -> None:
    (run / "sensitivity.json").write_text(text)
    for command in ("report", "sensitivity"):
        line = refused(command, run)
        assert f"{run}/sensitivity.json: is damaged" in line
        assert "--repair" in line


@pytest.mark.parametrize("text", ["", "{}", '{"schema_version": "x", "study": "s"}'])
def test_a_damaged_head(text: str, run: Path, refused: Callable[..., str]) -> None:
    (run / "run.json").write_text(text)
    for command in ("status", "report", "stability", "importance"):
        assert f"{run}/run.json: is damaged" in refused(command, run)


def test_a_folder_with_a_sweep_yaml_of_the_users_own(
    tmp_path: Path, refused: Callable[..., str]
) -> None:
    (tmp_path / "sweep.yaml").write_text("task: {name: arrows}\n")
    assert f"{tmp_path}: holds no sweep (no run.json)" in refused("status", tmp_path)


@pytest.mark.parametrize("folder", ["trials", "curves"])
def test_damaged_tables(folder: str, run: Path, refused: Callable[..., str]) -> None:
    path = run / folder / "000000.parquet"
    path.write_bytes(b"")
    for command in ("status", "report", "diagnose"):
        assert f"{path}: is damaged, empty: `trm status {run} --check`" in refused(command, run)


def test_a_damaged_clock(run: Path, refused: Callable[..., str]) -> None:
    (run / "time.json").write_text('{"wall_seconds": null}')
    assert f"{run}/time.json: is damaged" in refused("stability", run)


def test_what_is_sound_is_read_and_what_is_refused_elsewhere_keeps_its_words(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a": 1}))
    assert read_json(path) == {"a": 1}
    with pytest.raises(UserError, match=r"^mine$"), fields_of(path):
        raise UserError("mine")
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json")


def test_ablations_have_no_search_to_be_looked_at(
    tmp_path: Path, refused: Callable[..., str]
) -> None:
    folder = shutil.copytree(FINISHED, tmp_path / "ablated")
    (folder / "result.json").unlink()
    with Ledger.open(folder) as ledger:
        ledger.add_trial(stage="ablation", params={"ablation": "base"}, config={}, seed=1)
    for words in (["importance"], ["fidelity"], ["export"], ["sensitivity", "--dry-run"]):
        line = refused(words[0], folder, *words[1:])
        assert "holds ablations, which have no search and no winner" in line


def test_what_the_system_refuses_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "000000.parquet"
    # As pyarrow raises it, without a file's name of its own.
    with pytest.raises(PermissionError) as refused, sound(path):
        raise OSError(errno.EACCES, "Failed to open local file")
    assert refused.value.filename == str(path)
    with pytest.raises(FileNotFoundError), sound(path):
        raise OSError(errno.ENOENT, "Failed to open local file")
