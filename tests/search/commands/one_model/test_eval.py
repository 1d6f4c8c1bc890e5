from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.heads import edit_head
from trm.config import experiment_from
from trm.files.yaml12 import read_yaml
from trm.report import MACHINE_COLUMNS

PUZZLE, SOLUTION = "12.4341221434.21", "1234341221434321"


def report(result: Any) -> dict[str, Any]:
    assert (result.code, result.err) == (0, "")
    row: dict[str, Any] = json.loads(result.out)
    return row


def test_it_repeats_the_last_report_of_the_training(cli: Any, sudoku_run: Path) -> None:
    row = report(cli("eval", sudoku_run, "--json"))
    last = json.loads((sudoku_run / "reports.jsonl").read_text().splitlines()[-1])
    assert row["exact_accuracy"] > 0.8
    for key in row.keys() & last.keys() - {"examples", *MACHINE_COLUMNS}:
        assert row[key] == pytest.approx(last[key], rel=1e-5)
    assert row["examples"] == 30
    assert row["exact_accuracy_by_step"][-1] == row["exact_accuracy"]
    assert len(row["exact_accuracy_by_step"]) == 3
    answered = row["coverage_99"] > 0
    assert (row["answers_from"] is None) != answered


def test_a_person_reads_a_table(cli: Any, sudoku_run: Path) -> None:
    result = cli("eval", sudoku_run)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("30 puzzles of valid\n")
    for words in (
        "highest q",
        "calibration error",
        "answered at 99 % precision",
        "exact accuracy",
        "pass the rules",
        "stopping at p > 0.5",
        "1:",
        "3:",
    ):
        assert words in result.out


def test_splits_and_a_cap(cli: Any, sudoku_run: Path) -> None:
    assert report(cli("eval", sudoku_run, "--split", "test", "--json"))["examples"] == 20
    assert report(cli("eval", sudoku_run, "--split", "train", "--json"))["examples"] == 300
    assert report(cli("eval", sudoku_run, "--examples", "7", "--json"))["examples"] == 7


def test_more_steps_than_were_trained(cli: Any, sudoku_run: Path) -> None:
    short = report(cli("eval", sudoku_run, "--json"))["exact_accuracy_by_step"]
    long = report(cli("eval", sudoku_run, "--steps", "5", "--json"))["exact_accuracy_by_step"]
    assert len(long) == 5
    assert long[:3] == short


def test_the_threshold_decides_when_it_stops(cli: Any, sudoku_run: Path) -> None:
    eager = report(cli("eval", sudoku_run, "--halt-threshold", "1e-9", "--json"))
    never = report(cli("eval", sudoku_run, "--halt-threshold", "0.999999999", "--json"))
    assert eager["mean_steps"] == 1.0
    assert eager["early_exact_accuracy"] == eager["exact_accuracy_by_step"][0]
    assert never["mean_steps"] == 3.0
    assert never["early_exact_accuracy"] == never["exact_accuracy"] == eager["exact_accuracy"]


def test_a_single_checkpoint_will_do(cli: Any, sudoku_run: Path) -> None:
    newest = sorted((sudoku_run / "checkpoints").iterdir())[-1]
    assert cli("eval", newest).out == cli("eval", sudoku_run).out


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "lines",
    [
        [PUZZLE, PUZZLE.replace(".", "0")],
        [f"{PUZZLE},{SOLUTION}", f"{PUZZLE} {SOLUTION}"],
        ["source,question,answer,rating", f"x,{PUZZLE},{SOLUTION},3", f"y,{PUZZLE},{SOLUTION},4"],
    ],
)
def test_puzzles_of_a_file(
    lines: list[str], packed: bool, cli: Any, sudoku_run: Path, tmp_path: Path
) -> None:
    file = tmp_path / ("puzzles.gz" if packed else "puzzles.txt")
    text = "\n".join(lines) + "\n"
    file.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    row = report(cli("eval", sudoku_run, "--data", file, "--json"))
    assert row["examples"] == 2
    assert row["exact_accuracy"] == row["valid_rate"]
    assert f"2 puzzles of {file}" in cli("eval", sudoku_run, "--data", file).out


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([PUZZLE, "12.4"], "bad.txt, line 2: "),
        ([PUZZLE, "", "# note", "1" * 16], "bad.txt, line 4: "),
        (["." * 16], "bad.txt, line 1: "),
        (["123.3..........4"], "bad.txt, line 1: "),
        ([f"{PUZZLE},{SOLUTION[:-2]}12"], "bad.txt, line 1: "),
        ([PUZZLE + "." * 65], "bad.txt, line 1: "),
        ([], "bad.txt: holds no puzzle"),
        (None, "bad.txt: there is no such file"),
    ],
)
def test_a_bad_file_is_one_line(
    lines: list[str] | None, message: str, refused: Callable[..., str], sudoku_run: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    file = tmp_path / "bad.txt"
    if lines is not None:
        file.write_text("".join(line + "\n" for line in lines))
    assert message in refused("eval", sudoku_run, "--data", file)


def test_bad_arguments(refused: Callable[..., str], sudoku_run: Path, tmp_path: Path) -> None:
    cases: list[tuple[list[Any], str]] = [
        ([tmp_path / "none"], "is not there: check the path"),
        ([sudoku_run, "--steps", "0"], "'0' must be a whole number from 1"),
        ([sudoku_run, "--steps", "x"], "'x' must be a whole number from 1"),
        ([sudoku_run, "--halt-threshold", "1"], "'1' must lie between 0 and 1"),
        ([sudoku_run, "--halt-threshold", "nan"], "'nan' must lie between 0 and 1"),
        ([sudoku_run, "--split", "tests"], "--split: invalid choice: 'tests'"),
        ([sudoku_run, "--device", "gpu"], "--device: 'gpu' is no torch device"),
        ([sudoku_run, "--data", tmp_path], "cannot be read"),
        ([sudoku_run, "--step", "3"], "'--step' is no option: did you mean --steps"),
    ]
    for words, message in cases:
        assert message in refused("eval", *words)


def test_a_corrupt_checkpoint_is_one_line(
    refused: Callable[..., str], sudoku_run: Path, tmp_path: Path
) -> None:
    newest = sorted((sudoku_run / "checkpoints").iterdir())[-1]
    copy = tmp_path / "copy"
    shutil.copytree(newest, copy)
    (copy / "weights.safetensors").write_bytes(b"\x80\x04cposix\nsystem\n.")
    assert "weights.safetensors: damaged, or no safetensors file" in refused("eval", copy)
    (copy / "checkpoint.json").write_text('{"schema_version": 99}')
    assert "schema_version: 99 is not 1" in refused("eval", copy)


def test_data_that_changed_since_is_refused_unless_a_file_is_given(
    cli: Any, refused: Callable[..., str], sudoku_run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(sorted((sudoku_run / "checkpoints").iterdir())[-1], copy)
    edit_head(copy, lambda head: head["provenance"].update(data_hash="0" * 64))
    assert "was trained on other data" in refused("eval", copy)
    (tmp_path / "puzzles.txt").write_text(PUZZLE + "\n")
    assert cli("eval", copy, "--data", tmp_path / "puzzles.txt").code == 0


def test_a_task_without_files_says_so(
    cli: Any, refused: Callable[..., str], config: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert cli("train", config({"train.budget.steps": 1}), "--out", out).code == 0
    (tmp_path / "x").write_text("Rdl udl lll\n")
    assert "has no columns input,label" in refused("eval", out, "--data", tmp_path / "x")
    assert experiment_from(read_yaml(out / "config.yaml")).task.name == "arrows"


def test_of_a_file_only_the_examples_are_looked_at(
    cli: Any, refused: Callable[..., str], sudoku_run: Path, tmp_path: Path
) -> None:
    file = tmp_path / "half.txt"
    file.write_text(f"{PUZZLE}\n{PUZZLE} {SOLUTION}\nnot a puzzle\n")
    row = report(cli("eval", sudoku_run, "--data", file, "--examples", "2", "--json"))
    assert row["examples"] == 2
    assert "half.txt, line 3: " in refused("eval", sudoku_run, "--data", file)


def test_given_solutions_are_taken_and_others_are_found_once(
    cli: Any, sudoku_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trm.tasks.sudoku import files

    solved: list[int] = []

    def counted(boards: Any, *args: Any, **kwargs: Any) -> Any:
        solved.append(len(boards))
        return solve(boards, *args, **kwargs)

    solve = files.solve
    monkeypatch.setattr(files, "solve", counted)
    monkeypatch.setenv("TRM_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "some.csv"
    several = "12" + "." * 14
    file.write_text(f"quiz;solution\n{PUZZLE};\n{several};{SOLUTION}\n")
    first = cli("eval", sudoku_run, "--data", file, "--json")
    again = cli("eval", sudoku_run, "--data", file, "--json")
    rows = [report(one) for one in (first, again)]
    for row in rows:
        row.pop("latency")
    assert rows[0] == rows[1]
    assert solved == [1]


@pytest.mark.parametrize("split", ["valid", "test"])
def test_what_tasks_writes_is_evaluated_alike(
    split: str, cli: Any, sudoku_run: Path, tmp_path: Path
) -> None:
    file = tmp_path / "split.csv"
    wrote = cli("tasks", sudoku_run / "config.yaml", "--split", split, "--write", file)
    assert (wrote.code, wrote.err) == (0, "")
    rows = [
        report(cli("eval", sudoku_run, *source, "--json"))
        for source in (("--split", split), ("--data", file))
    ]
    for row in rows:
        row.pop("latency")
    assert rows[0] == rows[1]
