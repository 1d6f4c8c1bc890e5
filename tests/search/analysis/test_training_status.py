"""`trm status` and `trm logs` on the folder of one training: while it trains, and after any end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from search.analysis.training_status import training_events, training_state
from search.cli import main
from tests.conftest import Tiny
from trm.files.driver_note import LocalFiles, read_note
from trm.run.training import train


@pytest.fixture
def tree(tiny: Tiny) -> dict[str, Any]:
    return tiny({"train.budget": {"steps": 6}, "train.reports": 3})


def test_a_training_says_where_it_stands_while_it_trains(
    tree: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    seen: list[dict[str, Any]] = []

    def look(row: Any) -> None:
        capsys.readouterr()
        assert main(["status", str(folder), "--json"]) == 0
        seen.append(json.loads(capsys.readouterr().out))

    train(tree, folder, on_report=look)
    assert [one["mark"] for one in seen] == [1, 2, 3]
    first = seen[0]
    # So short a training has reported before its thread has said that it runs.
    assert first["state"] in ("starting", "running")
    assert first["at_work"]["holder"].startswith("process ")
    assert first["step"] == first["last"]["step"] == 2
    assert first["share"] == pytest.approx(1 / 3)
    assert first["left"] == pytest.approx(2 * first["seconds"])
    assert main(["status", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(": one training, completed")
    assert lines[1].startswith("  step 6, 100% done; ")
    assert "left" not in lines[1]
    assert lines[2].startswith("  report 3 of 3, step 6: exact_accuracy ")
    # Nobody trains: it is told once.
    assert main(["status", str(folder), "--watch", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == lines


def test_between_two_reports_its_process_says_more(tree: dict[str, Any], tmp_path: Path) -> None:
    steps: list[int] = []
    folder = tmp_path / "run"

    def told(share: float) -> None:
        steps.append(len(steps) + 1)

    train(tree, folder, on_step=told)
    note = read_note(LocalFiles(folder))
    assert note is not None
    # Its last word is of the last step.
    assert (note.told["step"], note.told["progress"]) == (6, 1.0)


def test_a_killed_one_and_a_stopped_one(tree: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def stop(row: Any) -> None:
        if row.mark == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tree, folder, on_report=stop)
    state = training_state(folder)
    assert (state.state, state.mark, state.left, state.holder) == ("stopped", 2, None, "")
    driver = json.loads((folder / "driver.json").read_text())
    driver |= {"state": "running", "ending": "", "pid": 2**22 + 1}
    (folder / "driver.json").write_text(json.dumps(driver))
    killed = training_state(folder)
    assert killed.state == "unfinished"
    assert "left without a word" in killed.text()
    # A line that was cut off when it died is none.
    with (folder / "reports.jsonl").open("a") as file:
        file.write('{"mark": 3, "step": 6, "progr')
    assert training_state(folder).mark == 2


def test_files_that_are_not_whole(
    tree: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    train(tree, folder)
    (folder / "driver.json").write_text('{"token": 3')
    assert training_state(folder).state == "completed"
    (folder / "reports.jsonl").unlink()
    assert "no report yet, of 3" in training_state(folder).text()
    (folder / "config.yaml").write_text("model: [")
    assert main(["status", str(folder)]) == 2
    assert "config.yaml" in capsys.readouterr().err


def test_its_logs_are_its_reports(
    tree: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    train(tree, folder)
    kinds = [event.kind for event in training_events(folder)]
    assert kinds == ["driver", "reported", "reported", "reported", "driver"]
    assert main(["logs", str(folder), "--tail", "2"]) == 0
    last, end = capsys.readouterr().out.splitlines()
    assert "report 3, step 6, after " in last
    assert end.endswith("ends, done")
    assert main(["logs", str(folder), "0"]) == 2
    assert "leave the number out" in capsys.readouterr().err
