"""The engine on a real Ray: outcomes, acknowledgement, reuse, and death of workers and driver."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from search.engine.job import Job, build_trainer
from search.engine.ray_tune import run_trials
from search.ledger.ledger import Ledger
from search.ledger.reader import read_curves, read_trials
from search.ledger.trial import Trial
from tests.support.folders import ROOT
from trm.report import MACHINE_COLUMNS

MARKS = (0.25, 0.5, 0.75, 1.0)
FACTORY = "tests.support.toy_training:ToyTraining"

DRIVER = """
import sys
from pathlib import Path
from cluster.connect import connected
from search.engine.ray_tune import run_trials
from search.ledger.ledger import Ledger
from search.ledger.reader import holds_ledger
folder, here, configs = Path(sys.argv[1]), sys.argv[2], eval(sys.argv[3])
from tests.support.sources import FixedSource, add_trials
with Ledger.open(folder) if holds_ledger(folder) else Ledger.create(folder) as ledger:
    if not ledger.trials:
        add_trials(ledger, configs)
    with connected(cpus=2):
        print("connected", flush=True)
        run_trials(
            FixedSource(ledger), ledger, parallel=2, budget=1e9, marks=(0.25, 0.5, 0.75, 1.0),
            path=[here], factory="tests.support.toy_training:ToyTraining",
        )
print("done", flush=True)
"""


def sweep(ledger: Ledger, source: Any, **more: Any) -> None:
    run_trials(
        source,
        ledger,
        **{
            "parallel": 2,
            "budget": 1e9,
            "marks": MARKS,
            "path": [str(ROOT)],
            "factory": FACTORY,
            **more,
        },
    )


def undisturbed(config: Mapping[str, Any], seed: int, folder: Path) -> list[dict[str, Any]]:
    """The curve of a config, trained in this process without Ray."""
    job = Job(str(folder), 0, 1, dict(config), seed, 1e9, MARKS, path=(str(ROOT),), factory=FACTORY)
    random.seed(seed)
    return [report.row() for report in build_trainer(job).run()]


def rows(ledger: Ledger, trial: int) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if name not in ("trial", "attempt")}
        for row in ledger.curve(trial)
    ]


def assert_undisturbed(ledger: Ledger, trials: list[Trial], folder: Path) -> None:
    for trial in trials:
        config = {k: v for k, v in trial.config.items() if k not in ("die", "sleep")}
        expected = undisturbed(config, trial.seed, folder)
        assert json.dumps(rows(ledger, trial.id)) == json.dumps(expected), trial
        # An attempt that restarted from zero in spite of a checkpoint would give the same curve.
        last = [row["mark"] for row in ledger.curve(trial.id) if row["attempt"] == trial.attempts]
        assert not last or trial.provenance["went_on_from"] == last[0] - 1


@pytest.fixture
def sources() -> Any:
    import tests.support.sources as module

    return module


def test_outcomes_reports_and_reuse(
    ray_cluster: Any, sources: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    configs = [
        {},
        {"prune": 2},
        {"lr": 5.0, "at": 3},
        {"crash": 1},
        {"oom": 1},
        {"die": "once"},
        {"lr": 5.0, "at": 1},
        {"crash": 1, "at": 1},
        {"prune": 4},
        {},
        {},
    ]
    heard: list[tuple[Any, ...]] = []

    class Events:
        def started(self, trial: Trial, worker: str) -> None:
            heard.append(("started", trial.id, worker))

        def reported(self, trial: Trial, row: Mapping[str, Any], score: float) -> None:
            heard.append(("reported", trial.id, row["mark"]))

        def ended(self, trial: Trial) -> None:
            heard.append(("ended", trial.id, trial.outcome))

    with Ledger.create(tmp_path / "run") as ledger:
        sources.add_trials(ledger, configs)
        source = sources.FixedSource(ledger)
        sweep(ledger, source, events=Events())
        trials = ledger.trials
        assert [trials[n].outcome for n in trials] == [
            "completed",
            "pruned",
            "diverged",
            "crashed",
            "oom",
            "completed",
            "diverged",
            "crashed",
            "completed",
            "completed",
            "completed",
        ]
        assert [trials[n].mark for n in trials] == [4, 2, 3, 1, 1, 4, 1, 0, 4, 4, 4]
        assert trials[3].reason == "ValueError: a wilful crash"
        kept = (ledger.folder / "logs/3/1.txt").read_text()
        assert "wilful\ncrash" in kept
        assert "a wilful line of output\n" in kept
        assert not (ledger.folder / "logs/0").exists(), "who writes nothing leaves nothing"
        assert trials[4].reason.startswith("MemoryError")
        assert (trials[5].attempts, trials[5].preempted) == (2, 1)
        assert trials[2].score == trials[3].score == source.floor
        assert trials[0].score == rows(ledger, 0)[-1]["exact_accuracy"]
        assert_undisturbed(ledger, [trials[n] for n in (0, 5, 8, 9, 10)], tmp_path)
        assert Counter(source.ended) == Counter((t.id, t.outcome) for t in trials.values())
        # Every acknowledged report once; a diverged trial's last is nobody's to judge.
        told = [(t.id, m) for t in trials.values() for m in range(1, t.mark + 1)]
        told = [
            (n, m) for n, m in told if not (trials[n].outcome == "diverged" and m == trials[n].mark)
        ]
        assert sorted(source.reports) == told
        for trial in trials.values():
            mine = [entry for entry in heard if entry[1] == trial.id]
            assert [e[0] for e in mine].count("started") == trial.attempts
            assert [e[2] for e in mine if e[0] == "reported"] == list(range(1, trial.mark + 1))
            assert mine[-1] == ("ended", trial.id, trial.outcome)
        workers = {entry[2] for entry in heard if entry[0] == "started"}
        assert len(workers) <= 4, "two workers, each replaced at most once"
        kept = sorted(p.relative_to(ledger.folder) for p in ledger.folder.glob("checkpoints/*/*/*"))
        assert kept == sorted(Path(t.checkpoint) for t in trials.values() if t.checkpoint)
        assert trials[0].provenance["data_hash"] == "toy"
        assert not (ledger.folder / "ray").exists()
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_worker_that_always_dies_is_given_up(
    ray_cluster: Any, sources: Any, tmp_path: Path
) -> None:
    with Ledger.create(tmp_path / "run") as ledger:
        # Others fare well on the same node in between: only that says whose fault it is.
        sources.add_trials(ledger, [{"die": "always", "at": 2}, *[{}] * 6])
        sweep(ledger, sources.FixedSource(ledger), parallel=1)
        trial = ledger.trials[0]
        assert {t.outcome for t in ledger.trials.values() if t is not trial} == {"completed"}
        assert (trial.outcome, trial.attempts, trial.preempted, trial.mark) == ("crashed", 4, 4, 1)
        assert trial.reason.startswith("worker died: ")


@pytest.mark.parametrize("how", ["signal", pytest.param("callable", marks=pytest.mark.slow)])
def test_a_stop_is_prompt_and_leaves_trials_unfinished(
    how: str, ray_cluster: Any, sources: Any, tmp_path: Path
) -> None:
    stop = threading.Event()

    class Events:
        def started(self, trial: Trial, worker: str) -> None: ...
        def ended(self, trial: Trial) -> None: ...
        def reported(self, trial: Trial, row: Mapping[str, Any], score: float) -> None:
            if row["mark"] == 2 and trial.id == 0:
                if how == "callable":
                    stop.set()
                else:
                    os.kill(os.getpid(), signal.SIGTERM)

    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    with Ledger.create(tmp_path / "run") as ledger:
        sources.add_trials(ledger, [{"sleep": 0.3}, {"sleep": 30}, {}])
        source = sources.FixedSource(ledger)
        begun = time.monotonic()
        if how == "callable":
            sweep(ledger, source, events=Events(), stop=stop.is_set)
        else:
            with pytest.raises(KeyboardInterrupt):
                sweep(ledger, source, events=Events())
        assert time.monotonic() - begun < 20, "the sleeping worker was waited for"
        assert [t.outcome for t in ledger.trials.values()] == [None, None, None]
        assert ledger.trials[0].mark >= 2
    assert handlers == [
        signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    ]
    with Ledger.open(tmp_path / "run") as ledger:
        for trial in ledger.trials.values():
            trial.config.pop("sleep", None)
        sweep(ledger, sources.FixedSource(ledger))
        assert {t.outcome for t in ledger.trials.values()} == {"completed"}
        assert_undisturbed(ledger, list(ledger.trials.values()), tmp_path)


def test_what_the_source_raises_comes_out(ray_cluster: Any, sources: Any, tmp_path: Path) -> None:
    class Broken(sources.FixedSource):  # type: ignore[misc, name-defined]
        def on_report(self, trial: Trial, row: Mapping[str, Any]) -> Any:
            raise LookupError("the source is broken")

    with Ledger.create(tmp_path / "run") as ledger:
        sources.add_trials(ledger, [{}])
        with pytest.raises(LookupError, match="the source is broken"):
            sweep(ledger, Broken(ledger))
        assert ledger.trials[0].mark == 1
        sweep(ledger, sources.FixedSource(ledger))
        assert ledger.trials[0].outcome == "completed"


@pytest.mark.slow
def test_real_training_survives_the_death_of_its_worker(
    ray_cluster: Any, sources: Any, tmp_path: Path
) -> None:
    config = {
        "task": {"name": "arrows", "train_examples": 60, "valid_examples": 20, "test_examples": 9},
        "model": {
            "mixer": "mlp_t",
            "hidden_size": 16,
            "expansion": 1.0,
            "swiglu_multiple": 16,
            "puzzle_emb_len": 1,
            "H_cycles": 1,
            "L_cycles": 2,
            "halt_max_steps": 2,
        },
        "optimizer": {"name": "adamw", "lr": 1e-2},
        "train": {"batch_size": 8, "budget": {"steps": 1000}, "valid_examples": 16},
    }
    workers: dict[int, str] = {}

    class Events:
        def started(self, trial: Trial, worker: str) -> None:
            workers[trial.id] = worker

        def ended(self, trial: Trial) -> None: ...
        def reported(self, trial: Trial, row: Mapping[str, Any], score: float) -> None:
            if trial.id == 1 and trial.attempts == 1 and row["mark"] == 2:
                os.kill(int(workers[1].rpartition(":")[2]), signal.SIGKILL)

    more: dict[str, Any] = {"factory": None, "budget": 1e8, "cache": tmp_path / "cache"}
    with Ledger.create(tmp_path / "run") as ledger:
        sources.add_trials(ledger, [config] * 3)
        sweep(ledger, sources.FixedSource(ledger), events=Events(), **more)
        trials = list(ledger.trials.values())
        assert [t.outcome for t in trials] == ["completed"] * 3
        assert [t.attempts for t in trials] == [1, 2, 1]
        for trial in trials:
            job = Job(str(tmp_path), 9, 1, config, trial.seed, 1e8, MARKS, cache=str(more["cache"]))
            expected = [report.row() for report in build_trainer(job).run()]
            for mine, theirs in zip(rows(ledger, trial.id), expected, strict=True):
                assert {k: v for k, v in mine.items() if k not in MACHINE_COLUMNS} == {
                    k: v for k, v in theirs.items() if k not in MACHINE_COLUMNS
                }


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes that were started for a driver of this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"TRM_TEST_RUN={folder}" in (entry / "environ").read_text():
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except (OSError, UnicodeDecodeError):
            continue
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
@pytest.mark.parametrize(
    "kills", [1, pytest.param(5, marks=pytest.mark.slow)], ids=["once", "five-times"]
)
def test_a_driver_killed_at_random_moments_loses_nothing(
    kills: int, sources: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    configs = [{"sleep": 0.15} for _ in range(2 + 4 * kills)]
    command = [sys.executable, "-c", DRIVER, str(folder), str(ROOT), repr(configs)]
    environment = {**os.environ, "TRM_TEST_RUN": str(folder)}
    seen: dict[int, int] = {}
    for kill in range(kills + 1):
        driver = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert driver.stdout is not None
        if kill == kills:
            assert driver.communicate(timeout=120)[0] == "connected\ndone\n"
            assert driver.returncode == 0
            break
        assert driver.stdout.readline() == "connected\n"
        goal = sum(seen.values()) + random.randint(2, 12)
        while sum(trial.mark for trial in read_trials(folder).values()) < goal:
            assert driver.poll() is None, "ended before it could be killed"
            time.sleep(0.02)
        time.sleep(random.uniform(0, 0.3))
        driver.send_signal(signal.SIGKILL)
        driver.communicate()
        for number, trial in read_trials(folder).items():
            assert trial.mark >= seen.get(number, 0), "an acknowledged report was lost"
            seen[number] = trial.mark
            assert trial.mark == 0 or (folder / str(trial.checkpoint)).is_dir()
    end = time.monotonic() + 20
    while (left := processes_of(folder)) and time.monotonic() < end:
        time.sleep(0.2)
    assert not left
    with Ledger.open(folder) as ledger:
        trials = list(ledger.trials.values())
        assert [t.outcome for t in trials] == ["completed"] * len(configs)
        assert_undisturbed(ledger, trials, tmp_path)
    table = read_curves(folder).to_pydict()
    pairs = Counter(zip(table["trial"], table["mark"], strict=True))
    assert pairs == Counter((t, m) for t in range(len(configs)) for m in (1, 2, 3, 4))
    assert ds.dataset(folder / "trials").count_rows() == len(configs)
