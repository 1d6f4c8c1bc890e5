"""Trials on their way to a live log, with a real ledger: kills, resumes, pauses and gaps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from search.config.logs import LogConfig
from search.config.sinks import LoggedRun, RunEnd
from search.engine.execution import Execution
from search.engine.job import Job
from search.ledger.ledger import Ledger
from search.ledger.trial import Trial
from search.logs.trial_log import TrialLog, live_logs, run_id, sinks
from search.logs.writer import LogWriter
from trm.report import COLUMNS

STUDY = "mine-0123456789ab"
BOTH = LogConfig(wandb="offline", tensorboard=True)  # type: ignore[arg-type]


class Sink:
    """Keeps, for each run, what the last opening of it holds."""

    name = "a log"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: dict[str, LoggedRun] = {}
        self.steps: dict[str, list[int]] = {}
        self.endings: dict[str, list[RunEnd | None]] = {}

    def begin(self, run: LoggedRun) -> None:
        assert self.endings.get(run.key, [None])[-1] is None, "a complete run is begun again"
        self.runs[run.key], self.steps[run.key] = run, []

    def add(self, key: str, row: Any) -> None:
        assert set(row) <= set(COLUMNS)
        self.steps[key].append(row["step"])

    def end(self, key: str, ending: RunEnd | None) -> None:
        self.endings.setdefault(key, []).append(ending)

    def close(self) -> None: ...


class Source:
    floor = 0.0

    def __init__(self, trials: list[Trial]) -> None:
        self.waiting = trials

    def next(self) -> Trial | None:
        return self.waiting.pop(0) if self.waiting else None

    def exhausted(self) -> bool:
        return not self.waiting

    def score(self, row: Any) -> float:
        return float(row["exact_accuracy"])

    def on_report(self, trial: Trial, row: Any) -> Any:
        return "pause" if row["mark"] == trial.config.get("pause_at") else "continue"

    def on_end(self, trial: Trial) -> None: ...


class Run:
    """An execution without Ray: `worker` says what a worker would."""

    def __init__(self, ledger: Ledger, log: TrialLog) -> None:
        def job(trial: Trial, attempt: int) -> Job:
            return Job("", trial.id, attempt, {}, trial.seed, 1.0, (1.0,), trial.checkpoint)

        self.waiting = [t for t in ledger.trials.values() if t.outcome is None and not t.paused]
        self.execution = Execution(Source(self.waiting), ledger, log, job)

    def start(self, pid: int = 1) -> str:
        name = f"worker-{pid}"
        job = self.execution.suggest(name)
        assert isinstance(job, Job)
        self.say(name, kind="started", attempt=job.attempt, host="h", pid=pid)
        return name

    def say(self, name: str, **message: Any) -> None:
        self.execution.on_message(name, message)

    def report(self, name: str, mark: int, last: bool = False) -> None:
        values = {**dict.fromkeys(COLUMNS, 0), "mark": mark, "step": 10 * mark}
        row = {**values, "exact_accuracy": mark / 10, "diverged": False}
        attempt = self.execution.running.live[name][1]
        self.say(name, kind="report", attempt=attempt, row=row, last=last, checkpoint="c")


def begun(folder: Path, **config: Any) -> Ledger:
    ledger = Ledger.create(folder)
    for number in range(2):
        ledger.add_trial(stage="explore", params={"lr": 0.1}, config=config, seed=number)
    return ledger


def trial_log(ledger: Ledger, folder: Path) -> tuple[Sink, TrialLog]:
    folder.mkdir(exist_ok=True)
    sink = Sink(folder)
    return sink, TrialLog(LogWriter(sink), ledger, STUDY)


def test_a_trial_is_a_run_with_its_rows_and_its_end(tmp_path: Path) -> None:
    with begun(tmp_path / "run", model={"L_layers": 2}) as ledger:
        sink, log = trial_log(ledger, tmp_path / "log")
        run = Run(ledger, log)
        first, second = run.start(1), run.start(2)
        run.report(first, 1)
        run.report(second, 1)
        run.report(first, 2, last=True)
        run.say(second, kind="end", attempt=1, outcome="crashed", reason="ValueError: boom")
        log.close()
    assert sink.steps == {"0": [10, 20], "1": [10]}
    assert sink.endings == {
        "0": [RunEnd("completed", 0.2, "", failed=False)],
        "1": [RunEnd("crashed", 0.0, "ValueError: boom", failed=True)],
    }
    logged = sink.runs["1"]
    assert (logged.id, logged.name) == (f"{STUDY}-1", "explore-00001")
    assert (logged.group, logged.kind, logged.params) == (STUDY, "explore", {"lr": 0.1})
    assert logged.config == {
        "model": {"L_layers": 2}, "trial": 1, "stage": "explore", "candidate": 1, "seed": 1
    }  # fmt: skip
    assert logged.started > 1.7e9


def test_a_paused_trial_is_closed_until_it_goes_on(tmp_path: Path) -> None:
    with begun(tmp_path / "run", pause_at=1) as ledger:
        sink, log = trial_log(ledger, tmp_path / "log")
        run = Run(ledger, log)
        name = run.start(1)
        run.report(name, 1)
        run.execution.on_end(name)
        name = run.start(1)
        run.report(name, 1)
        run.execution.on_end(name)
        run.waiting.append(ledger.trials[0])
        name = run.start(1)
        run.report(name, 2, last=True)
        log.close()
    assert [ending and ending.outcome for ending in sink.endings["0"]] == [None, "completed"]
    assert sink.endings["1"] == [None]
    assert sink.steps == {"0": [10, 20], "1": [10]}


def test_a_dead_worker_does_not_split_a_run(tmp_path: Path) -> None:
    with begun(tmp_path / "run") as ledger:
        sink, log = trial_log(ledger, tmp_path / "log")
        run = Run(ledger, log)
        name = run.start(1)
        run.report(name, 1)
        run.execution.on_death(name, "gone")
        name = run.start(2)
        run.report(name, 2)
        run.report(name, 3, last=True)
        log.close()
    assert sink.steps["0"] == [10, 20, 30]
    assert len(sink.endings["0"]) == 1


def test_what_an_earlier_driver_left_out_is_filled_in(tmp_path: Path) -> None:
    with begun(tmp_path / "run") as ledger:
        nobody = TrialLog(LogWriter(Sink(tmp_path)), ledger, STUDY)
        run = Run(ledger, nobody)
        first, second = run.start(1), run.start(2)
        run.report(first, 1)
        run.report(first, 2, last=True)
        run.report(second, 1)
        ledger.add_trial(stage="explore", params={}, config={}, seed=0)
        ledger.finish(2, "infeasible", None, "heads")
    # The log of that driver was lost; its second trial was running when it was killed.
    with Ledger.open(tmp_path / "run") as ledger:
        sink, log = trial_log(ledger, tmp_path / "log")
        run = Run(ledger, log)
        name = run.start(1)
        run.report(name, 2, last=True)
        log.close()
    assert sink.steps == {"0": [10, 20], "1": [10, 20]}
    assert sorted(sink.endings) == ["0", "1"]
    # All is complete now: nothing is written again.
    with Ledger.open(tmp_path / "run") as ledger:
        sink, log = trial_log(ledger, tmp_path / "log")
        log.close()
    assert sink.steps == {}


def test_an_outcome_that_no_worker_tells_of_is_logged_at_the_close(tmp_path: Path) -> None:
    with begun(tmp_path / "run", pause_at=1) as ledger:
        sink, log = trial_log(ledger, tmp_path / "log")
        run = Run(ledger, log)
        run.report(run.start(1), 1)
        ledger.finish(0, "stopped", 0.1, "the budget is spent")
        log.close()
    assert sink.steps["0"] == [10]
    assert sink.endings["0"][-1] == RunEnd("stopped", 0.1, "the budget is spent", failed=False)


def test_a_log_without_room_is_whole_at_the_end(tmp_path: Path) -> None:
    import threading

    free = threading.Event()

    class Slow(Sink):
        def begin(self, run: LoggedRun) -> None:
            free.wait(20)
            super().begin(run)

    with begun(tmp_path / "run") as ledger:
        sink = Slow(tmp_path)
        log = TrialLog(LogWriter(sink, waiting=2), ledger, STUDY)
        run = Run(ledger, log)
        for pid in (1, 2):
            name = run.start(pid)
            for mark in range(1, 6):
                run.report(name, mark, last=mark == 5)
        free.set()
        log.close()
    assert sink.steps == {"0": [10, 20, 30, 40, 50], "1": [10, 20, 30, 40, 50]}
    assert {key: [end.outcome for end in ends if end] for key, ends in sink.endings.items()} == {
        "0": ["completed"], "1": ["completed"]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/data/run", "/data/run"),
        ("s3://bucket/run", f"runs/{STUDY}"),
        (Path("s3://bucket/run"), f"runs/{STUDY}"),
    ],
)
def test_a_run_at_a_uri_is_logged_here(
    folder: Path | str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wandb, board = sinks(BOTH, folder, STUDY)
    assert wandb.folder == tmp_path / expected / "wandb"
    assert board.folder == tmp_path / expected / "tensorboard"
    assert sinks(LogConfig(), folder, STUDY) == []


def test_ids_are_what_wandb_takes() -> None:
    assert run_id("my / sweep é-0123456789ab", "12") == "my---sweep---0123456789ab-12"
    long = run_id("x" * 300 + "-0123456789ab", "12")
    assert len(long) <= 128
    assert long.endswith("-0123456789ab-12")


DRIVER = """
import os, signal, sys
from pathlib import Path
from tests.search.logs.test_trial_log import BOTH, STUDY, Run, begun
from search.engine.events import Broadcast
from search.ledger.ledger import Ledger
from search.ledger.reader import holds_ledger
from search.logs.trial_log import live_logs
folder, kill = Path(sys.argv[1]), sys.argv[2] == "kill"
with Ledger.open(folder) if holds_ledger(folder) else begun(folder) as ledger:
    with live_logs(BOTH, ledger, folder, STUDY) as logs:
        run = Run(ledger, Broadcast(logs))
        names = [run.start(pid) for pid in range(len(run.waiting))]
        for name in names:
            done = run.execution.running.live[name][0].mark
            for mark in range(done + 1, 5 + 3 * (not kill)):
                run.report(name, mark, last=mark == 7)
        if kill:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_killed_driver_and_its_successor_log_every_report_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    from tests.support import wandb_server

    for what, code in (("kill", -9), ("finish", 0)):
        command = [sys.executable, "-c", DRIVER, str(tmp_path / "run"), what]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stderr
        assert done.stderr == ""
    steps = list(range(10, 80, 10))
    for trial in range(2):
        (folder,) = (tmp_path / "run" / "wandb").glob(f"offline-run-*-{STUDY}-{trial}")
        records = wandb_server.read_run(folder)
        assert [row["_step"] for row in wandb_server.history(records)] == steps
        assert [record.exit.exit_code for record in records if record.HasField("exit")] == [0]
        reader = EventAccumulator(str(tmp_path / "run" / "tensorboard" / f"explore-0000{trial}"))
        reader.Reload()
        assert [event.step for event in reader.Scalars("exact_accuracy")] == steps


def test_an_interrupt_does_not_wait_for_a_log_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import threading

    import search.logs.trial_log as module

    free = threading.Event()

    class Hanging(Sink):
        def begin(self, run: LoggedRun) -> None:
            free.wait(30)

    monkeypatch.setattr(module, "sinks", lambda *_: [Hanging(tmp_path)])
    monkeypatch.setattr(module, "SECONDS_AFTER_AN_INTERRUPT", 0.2)

    def interrupted() -> None:
        with (
            begun(tmp_path / "run") as ledger,
            live_logs(LogConfig(), ledger, tmp_path, STUDY) as logs,
        ):
            Run(ledger, logs[0]).start(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    free.set()
    assert "a log was left behind; --resume writes the rest" in capsys.readouterr().err
