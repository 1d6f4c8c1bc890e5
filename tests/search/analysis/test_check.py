"""A damaged run folder: what is whole is said, what can be is mended, no number is wrong."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.analysis.check import check_run
from search.analysis.repair import repair_run
from search.analysis.status import status
from search.cli import main
from search.ledger.files import SPARE
from search.ledger.ledger import Ledger
from search.ledger.reader import read_book, read_curves
from search.ledger.storage import Place, place
from tests.support.damaged import DAMAGES, files_of, finished_run, many, unfinished_run
from tests.support.folders import RUNS_V1
from trm.errors import UserError

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """No driver compacts here while files are read."""
    monkeypatch.setattr("search.ledger.state._PAUSE", 0.0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unfinished_run(tmp_path_factory.mktemp("unfinished") / "run")


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def facts(folder: Place) -> dict[str, Any]:
    """Every number that a run folder tells."""
    book = read_book(folder)
    return {
        "status": {**status(folder), "run": None},
        "trials": {number: vars(trial) for number, trial in book.trials.items()},
        "attempts": {n: [vars(a) for a in found] for n, found in book.attempts.items() if found},
        "curves": dict(book.curves()),
    }


def test_a_whole_run_is_whole(finished: Path, unfinished: Path) -> None:
    for folder in (finished, unfinished, RUNS_V1 / "finished", RUNS_V1 / "unfinished"):
        check = check_run(folder)
        assert check.damaged == [], check.text()
        assert main(["status", str(folder), "--check"]) == 0
    assert facts(unfinished)["attempts"][3][0]["node"] == "n1"


@pytest.mark.parametrize("count", [10, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("state", ["finished", "unfinished"])
def test_damage_is_a_line_or_does_no_harm_and_is_mended(
    state: str, count: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Whatever befalls a file: the same numbers as before or one line, and then it is mended."""
    whole: Path = request.getfixturevalue(state)
    before = facts(whole)
    for number, name, rng in many(count):
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        path = rng.choice(files_of(folder))
        about = f"{name} of {path.relative_to(folder)} ({number})"
        DAMAGES[name](path, rng)
        # The end of the log may not have been written yet: nobody can tell that from a cut.
        unwritten = path.parent == folder / "log"
        line, found = said(folder)
        named = line is not None and (path.name in line or path.parent.name in line)
        assert (found == before or unwritten) if line is None else named, about
        assert line is None or check_run(folder).damaged, about
        repair = repair_run(folder)
        assert repair.whole, f"{about}: {repair.text()}"
        assert facts(folder) == before or unwritten, about
        assert check_run(folder).damaged == [], about
        assert not repair.done or name == "remove" or list(folder.glob("replaced-*/*")), about
        shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["finished", "unfinished"])
def test_a_run_in_a_bucket_is_checked_and_mended_too(
    state: str,
    request: pytest.FixtureRequest,
    uri: Callable[[str], str],
    tmp_path: Path,
) -> None:
    whole: Path = request.getfixturevalue(state)
    before = facts(whole)
    for number, _, rng in many(20):
        name = rng.choice(["cut", "empty", "flip", "remove", "scramble", "zero"])
        here = Path(shutil.copytree(whole, tmp_path / str(number)))
        path = rng.choice([path for path in files_of(here) if path.stat().st_size])
        about = f"{name} of {path.relative_to(here)} ({number})"
        DAMAGES[name](path, rng)
        folder = place(uri(str(number)))
        for file in (path for path in here.rglob("*") if path.is_file() and path.name != "lock"):
            (folder / str(file.relative_to(here))).write_bytes(file.read_bytes())
        unwritten = path.parent == here / "log"
        line, found = said(folder)
        named = line is not None and (path.name in line or path.parent.name in line)
        assert (found == before or unwritten) if line is None else named, about
        assert line is None or check_run(folder).damaged, about
        repair = repair_run(folder)
        assert repair.whole, f"{about}: {repair.text()}"
        assert facts(folder) == before or unwritten, about
        assert check_run(folder).damaged == [], about


def said(folder: Place) -> tuple[str | None, dict[str, Any] | None]:
    """The one line of a refusal, or the numbers."""
    try:
        return None, facts(folder)
    except UserError as error:
        return str(error).replace("\n", "(a second line)"), None


@pytest.mark.slow
@pytest.mark.parametrize("state", ["finished", "unfinished"])
def test_commands_survive_three_damages_at_once(
    state: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole: Path = request.getfixturevalue(state)
    for number, _, rng in many(150):
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        for _ in range(3):
            DAMAGES[rng.choice(sorted(DAMAGES))](rng.choice(files_of(folder)), rng)
        page = str(tmp_path / "page.html")
        for words in (
            ["status"], ["report", "--out", page], ["export"], ["diagnose"], ["importance"],
            ["status", "--check"], ["status", "--repair"], ["status"],
        ):  # fmt: skip
            code = main([words[0], str(folder), *words[1:]])
            shown = capsys.readouterr()
            assert code in (0, 1, 2), (number, words)
            assert "Traceback" not in shown.err, (number, words)
            assert shown.err.count("\n") == (code == 2), (number, words, shown.err)
        shutil.rmtree(folder)


def test_files_of_another_run_are_told(finished: Path, tmp_path: Path) -> None:
    other = finished_run(tmp_path / "other")
    head = (other / "run.json").read_text()
    for name in ("trials/000000.parquet", "log/000004.jsonl", "run.json"):
        folder = Path(shutil.copytree(finished, tmp_path / "mine"))
        shutil.copy(other / name, folder / name)
        with pytest.raises(UserError, match="is another run's"):
            read_book(folder)
        assert repair_run(folder).whole
        assert facts(folder) == facts(finished)
        shutil.rmtree(folder)
    assert head == (other / "run.json").read_text()


def test_an_older_copy_is_told(unfinished: Path, tmp_path: Path) -> None:
    """As a sync tool leaves it: whole, of this run, and of yesterday."""
    folder = Path(shutil.copytree(unfinished, tmp_path / "run"))
    with Ledger.open(folder):
        pass
    before = facts(folder)
    for name in ("trials", "curves", "attempts"):
        path = folder / name / "000000.parquet"
        if (unfinished / name / path.name).exists():
            shutil.copy(unfinished / name / path.name, path)
            words = "is an older copy"
        else:
            path.unlink()
            words = "is missing"
        with pytest.raises(UserError, match=f"{name}/000000.parquet: {words}"):
            read_book(folder)
        assert repair_run(folder).whole
        assert facts(folder) == before


def test_a_run_that_an_older_version_began_is_mended_once_this_one_had_it(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(RUNS_V1 / "unfinished", tmp_path / "run"))
    with Ledger.open(folder):
        pass
    before = facts(folder)
    (folder / "trials" / "000000.parquet").write_bytes(b"PAR1")
    assert repair_run(folder).whole
    assert facts(folder) == before


def test_what_nothing_tells_of_stays_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(RUNS_V1 / "finished", tmp_path / "run"))
    path = folder / "trials" / "000000.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    content = path.read_bytes()
    assert main(["status", str(folder), "--repair"]) == 1
    shown = capsys.readouterr().out
    assert "trials/000000.parquet: is damaged, not Parquet, or cut off" in shown
    assert "restore it from a copy" in shown
    assert path.read_bytes() == content
    assert main(["status", str(folder), "--check", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["whole"] is False


def test_a_damaged_record_costs_no_more_than_itself(unfinished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(unfinished, tmp_path / "run"))
    path = folder / "log" / "000003.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines):
        if b'"k":"row"' in line:
            path.write_bytes(b"".join([*lines[:number], b"5\n", *lines[number + 1 :]]))
            break
    with pytest.raises(UserError, match=rf"000003.jsonl:{number + 1}: is damaged"):
        read_book(folder)
    repair = repair_run(folder)
    assert repair.whole
    before, after = facts(unfinished), facts(folder)
    assert [row["mark"] for row in after["curves"][3]] == [2]
    assert after["trials"] == before["trials"]
    with Ledger.open(folder) as ledger:
        assert ledger.begin_attempt(3) == 3
    assert check_run(folder).damaged == []


def test_it_refuses_while_a_driver_is_at_work(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Ledger.open(run):
        assert main(["status", str(run), "--repair"]) == 2
        assert "is in use by process" in capsys.readouterr().err
        assert main(["status", str(run), "--check"]) == 0


def test_what_is_no_run_is_no_damaged_one(tmp_path: Path, refused: Run) -> None:
    (tmp_path / "trials").mkdir()
    for words in ("--check", "--repair"):
        assert "holds no run" in refused("status", tmp_path, words)
        assert "holds no run" in refused("status", tmp_path / "nowhere", words)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Run:
    def check(*words: object) -> str:
        assert main([str(word) for word in words]) == 2
        return capsys.readouterr().err

    return check


@pytest.mark.parametrize("gone", ["trials", "curves", "log", "run.json", "sweep.yaml"])
def test_what_is_missing_is_named_and_comes_back(gone: str, run: Path, finished: Path) -> None:
    path = run / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError, match=rf"{gone}: is missing: `trm status .* --check` says"):
        status(run)
    with pytest.raises(UserError, match="is missing"):
        Ledger.create(run) if gone == "trials" else status(run)
    assert repair_run(run).whole
    assert facts(run) == facts(finished)


STRAYS = (
    "trials/000000 (1).parquet", "curves/000000 copy.parquet", "curves/.DS_Store",
    "trials/000000.sync-conflict-20260101-000000-ABCDEFG.parquet", "trials/Thumbs.db",
    "log/000004 (conflicted copy).jsonl", "log/.000004.jsonl.swp", "checkpoints/.DS_Store",
    "checkpoints/lost+found", "trials/desktop.ini", "curves/._000000.parquet", "run (1).json",
    "trials/000000.parquet~", "trials/000007.parquet", "log/notes.jsonl",
)  # fmt: skip


@pytest.mark.parametrize("stray", STRAYS)
def test_a_stray_is_ignored_with_one_warning(stray: str, run: Path, finished: Path) -> None:
    path = run / stray
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((run / "trials" / "000000.parquet").read_bytes()[:99])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        assert facts(run) == facts(finished)
        assert read_curves(run).num_rows == read_curves(finished).num_rows
    told_of = [str(one.message) for one in told]
    if stray != "trials/000007.parquet":  # its name is one of ours, of a block that there is not
        assert told_of == [f"{run}: ignored, for it is no part of the run: {stray}"]
        assert [one.what for one in check_run(run).found if one.kind == "ignored"]
    with Ledger.open(run) as ledger:
        ledger.compact()
    assert path.exists()


@pytest.mark.parametrize("name", ["result.json", "sensitivity.json"])
@pytest.mark.parametrize("there", [True, False])
def test_what_no_copy_holds_is_set_aside_and_no_longer_missed(
    name: str, there: bool, run: Path
) -> None:
    copies = (run / name, run / SPARE / name)
    (run / SPARE).mkdir(exist_ok=True)
    for copy in copies:
        copy.write_text("{")
    if not there:
        copies[0].unlink()
    repair = repair_run(run)
    assert repair.whole, repair.text()
    assert not any(copy.exists() for copy in copies)
    assert [path.read_text() for path in run.glob(f"replaced-*/**/{name}")] == ["{"] * (1 + there)
