"""`trm stop`: the driver at work ends as at a signal, wherever its run lies, at every stage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from search.analysis.run_logs import run_events
from search.analysis.status import status, status_text
from search.cli import main
from search.engine.presence import files_in, holder_of_run, present_in
from search.ledger.ledger import Ledger
from search.ledger.reader import holds_ledger, read_book, read_curves, read_trials
from search.ledger.storage import Place, place
from search.sweep.stop import stop_run
from tests.conftest import Tiny
from tests.support.damaged import unfinished_run
from trm.files.driver_note import DRIVER_FILE, STOP_FILE, ask_to_stop, now, read_note
from trm.files.yaml12 import dump_yaml

Uri = Callable[[str], str]
CONFIG = """
name: stopped
task: {name: arrows, size: 3, visited: [2, 4], train_examples: 400, valid_examples: 100,
       test_examples: 100}
model: {mixer: mlp_t, hidden_size: 32, L_layers: 2, expansion: 1.0, swiglu_multiple: 32,
        puzzle_emb_len: 1, halt_max_steps: 4, H_cycles: 2, L_cycles: {int: [1, 2]}}
optimizer: {name: adamw, lr_warmup_steps: 10, lr: {loguniform: [3e-3, 3e-2]}}
train: {batch_size: 32, budget: {steps: 1000}, reports: 20, ema: null}
search: {trials: 2, scheduler: none, objective: cell_accuracy}
stability: {candidates: 1, seeds: 2, promise_seeds: 2}
"""
CLI = [sys.executable, "-m", "search.cli"]


@contextmanager
def driver(*words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*CLI, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(true: Callable[[], object], process: subprocess.Popen[str], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)


def runs(where: Place, stage: str, process: subprocess.Popen[str]) -> bool:
    """Whether this driver trains a trial of the stage that has reported."""
    note = read_note(files_in(where))
    if note is None or (note.pid, note.state) != (process.pid, "running"):
        return False
    return any(t.stage == stage and t.mark and not t.ended for t in read_trials(where).values())


def marks(where: Place) -> set[tuple[int, int]]:
    return {(row["trial"], row["mark"]) for row in read_curves(where).to_pylist()}


def test_nobody_is_at_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = unfinished_run(tmp_path / "run")
    assert main(["stop", str(run)]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"no driver is at work in {run}: 4 trials: 1 completed")
    assert printed.out.count("\n") == 1
    assert main(["stop", str(tmp_path / "nothing")]) == 2
    assert capsys.readouterr().err.endswith("nothing: holds no run; check the path\n")
    assert main(["stop", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stopped"] is True
    assert not (run / STOP_FILE).exists()


def test_a_driver_that_was_killed_is_said_to_be_gone(tmp_path: Path) -> None:
    run = unfinished_run(tmp_path / "run")
    program = (
        "import os, sys; from pathlib import Path; from search.engine.presence import present_in\n"
        "from trm import stopping; stopping.at_an_interrupt('resume with: trm x')\n"
        "with present_in(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(run)], check=False)
    found = stop_run(run)
    assert found.stopped
    assert not found.driver
    assert "left without a word: it was killed" in found.holds
    assert found.resume == "resume with: trm x"
    assert found.text().endswith("\nresume with: trm x")


def test_a_driver_that_does_not_answer(tmp_path: Path) -> None:
    run = unfinished_run(tmp_path / "run")
    said: list[str] = []
    with Ledger.open(run):
        found = stop_run(run, wait=1.0, say=said.append)
        assert (found.stopped, found.heard) == (False, False)
        assert "has the run, but does not listen" in found.text()
        with present_in(run) as presence:
            # As of a machine that hangs: nobody looks for requests.
            presence._over.set()
            found = stop_run(run, wait=1.0, say=said.append)
            assert "does not answer after 1 s, and was last heard of" in found.problem
            assert said == [f"asked process {os.getpid()} to stop"]
            assert not (run / STOP_FILE).exists(), "it must not stop who comes next"
            presence._over.clear()


def test_a_lease_that_expires_meanwhile(uri: Uri, monkeypatch: pytest.MonkeyPatch) -> None:
    where = place(uri("run"))
    Ledger.create(where).close()
    files = files_in(where)
    with present_in(where):
        pass
    note = read_note(files)
    assert note is not None
    told = json.loads(note.text()) | {"host": "elsewhere", "pid": 17, "state": "running"}

    def say(renewed: str) -> None:
        files.write(DRIVER_FILE, json.dumps(told | {"renewed": renewed}))

    def lease(expires: float) -> None:
        holder = {"token": "x", "host": "elsewhere", "pid": 17, "expires": expires}
        files.write("lease.json", json.dumps(holder))

    say(now())
    lease(time.time() + 2.0)
    assert holder_of_run(where) == "process 17 on elsewhere"
    with present_in(where):  # who comes second does not speak for the first
        second = read_note(files)
    assert second is not None
    assert second.pid == 17
    lease(time.time() + 2.0)
    monkeypatch.setattr("trm.files.driver_note.STALE", 1.0)
    said: list[str] = []
    found = stop_run(where, wait=30, say=said.append)
    assert said == ["asked process 17 on elsewhere to stop"]
    assert found.stopped
    assert "its machine is gone" in found.holds
    assert files.read(STOP_FILE) is None


def test_who_asks_without_waiting(tmp_path: Path) -> None:
    run = unfinished_run(tmp_path / "run")
    stopped = threading.Event()
    with Ledger.open(run), present_in(run) as presence:
        presence.gently = stopped.set
        found = stop_run(run, wait=None)
        assert not found.stopped
        assert "is asked to stop" in found.text()
        assert stopped.wait(10)


def test_a_training_is_stopped(tiny: Tiny, tmp_path: Path) -> None:
    config, out = tmp_path / "tiny.yaml", tmp_path / "out"
    config.write_text(dump_yaml(tiny({"train.budget.steps": 1_000_000, "train.reports": 10_000})))
    words = ("train", str(config), "--out", str(out))
    with driver(*words) as process:
        until(lambda: (out / "reports.jsonl").exists() and (out / "reports.jsonl").stat().st_size,
              process)  # fmt: skip
        for command in ("status", "logs"):
            assert main([command, str(out)]) == 0
        found = stop_run(out, wait=60)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("trm: interrupted at step ")
    assert (found.stopped, found.heard or found.seconds < 10) == (True, True)
    assert found.resume == f"resume with: trm {' '.join(words)} --resume"
    assert errors.splitlines()[-1].endswith(found.resume)
    assert "a training with" in found.holds


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_sweep_is_stopped_at_every_stage_and_goes_on(tmp_path: Path) -> None:
    config, run = tmp_path / "stopped.yaml", tmp_path / "run"
    config.write_text(CONFIG)
    words = ("sweep", str(config), "--out", str(run), "--resume")
    seen: set[tuple[int, int]] = set()
    for stage in ("start-up", "explore", "left behind", "confirm"):
        if stage == "left behind":
            note = read_note(files_in(run))
            assert note is not None
            ask_to_stop(files_in(run), note.token)
            stage = "explore"
        with driver(*words) as process:
            if stage == "start-up":
                until((run / DRIVER_FILE).exists, process)
            else:
                until(partial(runs, run, stage, process), process)
                until(lambda: any(n["trials"] for n in status(run)["nodes"]), process, 60)
                [node] = status(run)["nodes"]
                assert node["memory"] > 50 << 20
                print(status_text(run))
            found = stop_run(run, wait=60)
            printed, errors = process.communicate(timeout=30)
        assert (process.returncode, printed) == (130, ""), errors
        assert found.stopped, found
        assert not found.problem
        assert found.seconds < 30
        assert found.resume == f"resume with: trm {' '.join(words)}"
        assert errors.splitlines()[-1] == f"trm: interrupted; {found.resume}"
        now_there = marks(run) if holds_ledger(run) else set()
        assert seen <= now_there
        print(stage, f"{found.seconds:.1f} s, {len(now_there)} reports;", found.text())
        seen = now_there
        for trial in read_trials(run).values() if now_there else ():
            assert trial.outcome in (None, "completed"), trial
            assert (
                trial.checkpoint is None or (run / trial.checkpoint / "checkpoint.json").is_file()
            )
    saved = [one for many in read_book(run).attempts.values() for one in many]
    print(*saved, sep="\n")
    assert {one.cause for one in saved} == {"stopped"}
    assert all(one.repeated == 0 for one in saved)
    kinds = [event.kind for event in run_events(run)]
    assert kinds.count("stopped") == len(saved)
    assert kinds.count("driver") >= 3
    print(*(event.line() for event in run_events(run)), sep="\n")
    words = ("stability", str(run), "--promise-seeds", "2", "--seeds", "3")
    with driver(*words) as process:
        until(partial(runs, run, "confirm", process), process)
        found = stop_run(run, wait=60)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert found.resume == f"go on with: trm {' '.join(words)}"
    done = subprocess.run([*CLI, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert seen <= marks(run)
    assert {trial.outcome for trial in read_trials(run).values()} == {"completed"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_sweep_in_a_bucket_is_stopped(uri: Uri, tmp_path: Path) -> None:
    config, run = tmp_path / "stopped.yaml", uri("run")
    config.write_text(CONFIG)
    where = place(run)
    words = ("sweep", str(config), "--out", run, "--resume")
    for stage in ("start-up", "explore"):
        with driver(*words) as process:
            if stage == "start-up":
                until(lambda: files_in(where).read(DRIVER_FILE), process)
            else:
                until(partial(runs, where, "explore", process), process)
            asked = subprocess.run([*CLI, "stop", run], capture_output=True, text=True, timeout=200)
            _, errors = process.communicate(timeout=30)
        print(stage, asked.stdout, asked.stderr)
        assert process.returncode == 130, errors
        assert asked.returncode == 0
        assert "resume with: trm sweep" in asked.stdout
        assert holder_of_run(where) == ""
        assert files_in(where).read(STOP_FILE) is None
