"""The dashboard over real HTTP, beside a study that is being written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from search.cli import main
from search.logs.dashboard import Marks, dashboard_server
from search.logs.optuna_journal import Entry, StudyLog
from search.samplers.history import PastTrial
from search.space.space import Space

SPACE = Space.parse({"optimizer": {"lr": {"loguniform": [1e-3, 1e-1]}}})


def entry(number: int) -> Entry:
    record = PastTrial(number, {"optimizer.lr": 0.01}, "completed", (0.1 * number,), {1: 0.05})
    return Entry(record, {"trials": [10 + number]})


def study_in(folder: Path, trials: int) -> StudyLog:
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text("{}")
    entries = [entry(number) for number in range(trials)]
    return StudyLog(
        folder / "study.log", "mine-0", SPACE, ["maximize"], ["exact_accuracy"], entries
    )


@contextmanager
def served(folder: Path, marks: Marks | None = None) -> Iterator[str]:
    with dashboard_server(folder, "127.0.0.1", 0, lambda: marks or Marks("")) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as response:
        return json.loads(response.read())


def test_trials_of_a_sweep_that_goes_on_show_up_and_a_resumed_one_too(tmp_path: Path) -> None:
    study = study_in(tmp_path / "run", 2)
    with served(tmp_path / "run") as url:
        (summary,) = get(f"{url}/api/studies")["study_summaries"]
        assert (summary["study_id"], summary["study_name"]) == (0, "mine-0")
        trials = get(f"{url}/api/studies/0")["trials"]
        assert [trial["values"] for trial in trials] == [[0.0], [0.1]]
        study.update(entry(2))
        study.flush()
        eventually(lambda: len(get(f"{url}/api/studies/0")["trials"]) == 3)
        # A resumed driver writes a new journal in place of the old one.
        study_in(tmp_path / "run", 5)
        eventually(lambda: len(get(f"{url}/api/studies/0")["trials"]) == 5)
        with urllib.request.urlopen(f"{url}/dashboard/", timeout=20) as page:
            assert b"<html" in page.read().lower()


def test_the_runs_winner_is_the_best_trial_and_has_a_note(tmp_path: Path) -> None:
    study_in(tmp_path / "run", 4)
    with served(tmp_path / "run") as url:
        (best,) = get(f"{url}/api/studies/0")["best_trials"]
        assert best["number"] == 3, "without a winner it is the best score"
    marks = Marks("Optuna knows the search alone", winner=11, trial="it won" + 3000 * "!")
    with served(tmp_path / "run", marks) as url:
        found = get(f"{url}/api/studies/0")
        assert [one["number"] for one in found["best_trials"]] == [1]
        assert found["note"]["body"] == marks.study
        assert [one["note"]["body"] for one in found["trials"]] == ["", marks.trial, "", ""]
    with served(tmp_path / "run", Marks("a", winner=99, trial="b")) as url:
        (best,) = get(f"{url}/api/studies/0")["best_trials"]
        assert best["number"] == 3, "a winner that the journal lacks"


def eventually(true: Any) -> None:
    """The dashboard keeps what it read for two seconds."""
    import time

    for _ in range(100):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("it never showed up")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/api/studies/0", {}),
        ("PUT", "/api/studies/0/note", {"body": "hello", "version": 1}),
        ("POST", "/api/studies", {"study_name": "other", "directions": ["maximize"]}),
        ("POST", "/api/trials/0/user-attrs", {"user_attrs": {"a": 1}}),
    ],
)
def test_nothing_can_be_changed(method: str, path: str, body: Any, tmp_path: Path) -> None:
    study_in(tmp_path / "run", 2)
    before = (tmp_path / "run" / "study.log").read_bytes()
    with served(tmp_path / "run") as url:
        request = urllib.request.Request(
            url + path, json.dumps(body).encode(), {"Content-Type": "application/json"},
            method=method,
        )  # fmt: skip
        with pytest.raises(HTTPError) as refused:
            urllib.request.urlopen(request, timeout=20)
        assert refused.value.code == 403
        assert "only reads" in json.loads(refused.value.read())["reason"]
        assert len(get(f"{url}/api/studies/0")["trials"]) == 2
    assert (tmp_path / "run" / "study.log").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["run.json", "study.log"]


def test_the_command_says_where_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    study_in(tmp_path / "run", 1)
    trm = str(Path(sys.executable).with_name("trm"))
    with subprocess.Popen(
        [trm, "report", str(tmp_path / "run"), "--dashboard", "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        url = process.stdout.readline().split()[0]
        assert len(get(f"{url}api/studies/0")["trials"]) == 1
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


def test_what_cannot_be_shown_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*words: str) -> str:
        assert main(["report", "--dashboard", *words]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.count("\n") == 1
        return printed.err

    run = tmp_path / "run"
    assert "holds no sweep" in refused(str(run))
    assert "is a URI" in refused("s3://bucket/run")
    run.mkdir()
    (run / "run.json").write_text("{}")
    assert "has no study.log: a population asks no sampler" in refused(str(run))
    study_in(run, 1)
    assert "choose another port" in refused(str(run), "--port", "99999")
    with dashboard_server(run, "127.0.0.1", 0, lambda: Marks("")) as other:
        taken = refused(str(run), "--port", str(other.server_port))
    assert "Address already in use" in taken
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    assert "pip install 'trm-search[dashboard]'" in refused(str(run))
    assert "--dashboard: writes no page: leave --open out" in refused(str(run), "--open")
