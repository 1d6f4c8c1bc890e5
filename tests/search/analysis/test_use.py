"""`trm status` of a run at work: driver, nodes, use, pace, cost, stragglers; and `--watch`."""

from __future__ import annotations

import json
import os
import pty
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from search.analysis.status import status, status_text
from search.analysis.use import stragglers
from search.cli import main
from search.config.plan import read_plan, write_plan
from search.config.sections import with_section
from search.engine.presence import files_in, present_in
from search.ledger.ledger import Ledger
from search.ledger.reader import read_book
from tests.support.damaged import finished_run, unfinished_run
from trm.files.driver_note import DRIVER_FILE, now, read_note
from trm.stopping import at_an_interrupt, begin_command

WORKERS: list[dict[str, Any]] = [
    {"trial": 1, "attempt": 1, "host": "a", "node": "n1", "pid": 7, "cpu": 0.9, "memory": 1 << 30},
    {"trial": 3, "attempt": 2, "host": "a", "node": "n1", "pid": 8, "cpu": 1.1, "memory": 3 << 29},
    {"trial": 2, "attempt": 1, "host": "b", "node": "n2", "pid": 9, "cpu": 0.5, "memory": 1 << 29,
     "gpu_memory": 5 << 30, "gpu_total": 80 << 30, "gpu": 0.75},
]  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return unfinished_run(tmp_path / "run")


def priced(run: Path, price: float) -> None:
    plan = read_plan(run)
    section = {**plan.tree.get("cluster", {}), "price": price}
    plan.tree["cluster"] = section
    object.__setattr__(plan, "sections", with_section(plan.sections, "cluster", section))
    write_plan(run, plan)


def test_a_run_at_work(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    priced(run, 2.0)
    with Ledger.open(run), present_in(run) as presence:
        presence.tell("running", parallel=4, share={"cpus": 2, "gpus": 0.5, "part": 1.0})
        presence.tells(lambda: {"workers": WORKERS})
        presence._write()
        found = status(run)
        text = status_text(run)
        note = read_note(files_in(run))
    assert note is not None
    assert (found["driver"]["pid"], found["driver"]["lives"]) == (os.getpid(), True)
    assert [node["host"] for node in found["nodes"]] == ["a", "b"]
    assert "node a: trials 1, 3; 2.0 cores, 2.5 GiB\n" in text
    assert "node b: trial 2; 0.5 cores, 0.5 GiB; GPU memory 5.0 of 80.0 GiB, busy 75%\n" in text
    assert f"since {note.began[:19].replace('T', ' ')} UTC, at most 4 trials at once\n" in text
    assert found["cost"]["device_hours"] == pytest.approx(found["seconds"] * 0.5 / 3600)
    assert found["cost"]["money"] == pytest.approx(2 * found["cost"]["device_hours"])
    assert "GPU-hours, 0.00 at cluster.price\n" in text
    assert found["pace"]["flops"] > 0
    assert "training FLOPs a second\n" in text
    after = status(run)
    assert after["nodes"] == []
    assert after["driver"]["ending"] == "done"
    assert main(["status", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["driver"]["told"]["parallel"] == 4


def test_how_the_last_driver_ended(run: Path) -> None:
    def fail(error: BaseException) -> None:
        with pytest.raises(type(error)), present_in(run):
            raise error

    fail(RuntimeError("no trial completed"))
    assert ": no trial completed\n" in status_text(run)
    fail(KeyboardInterrupt())
    assert "the last driver was stopped 20" in status_text(run)
    # As a command's own driver says it.
    at_an_interrupt("resume with: trm sweep mine --resume")
    fail(KeyboardInterrupt())
    begin_command()
    end = "no winner yet: no driver is at work; resume with: trm sweep mine --resume"
    assert status_text(run).endswith(end)
    with present_in(run):
        text = (run / DRIVER_FILE).read_text()
    gone = json.loads(text) | {
        "pid": 1 << 30,
        "host": "elsewhere",
        "renewed": "2026-01-01T00:00:00+00:00",
    }
    (run / DRIVER_FILE).write_text(json.dumps(gone))
    assert "left without a word: it was killed, or its machine is gone" in status_text(run)
    assert "last heard of 2026-01-01 00:00:00 UTC" in status_text(run)
    (run / DRIVER_FILE).write_text("{")
    assert status(run)["driver"] is None


def test_a_driver_that_makes_its_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new"
    new.mkdir()
    with present_in(new):
        assert main(["status", str(new)]) == 0
        assert f"process {os.getpid()} is at work: starting" in capsys.readouterr().out
        assert main(["status", str(new), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["at_work"]["stage"] == "starting"
    assert main(["status", str(new)]) == 2


def test_who_is_slow_silent_or_in_trouble(run: Path) -> None:
    with Ledger.open(run) as ledger:
        row = ledger.curve(1)[0]
        for seconds in (10.0, 11.0, 60.0):
            trial = ledger.add_trial(stage="explore", params={}, config={"a": 1}, seed=5)
            ledger.begin_attempt(trial.id)
            ledger.acknowledge(trial.id, 1, {**row, "mark": 1, "compute": 1e9, "seconds": seconds})
        ledger.preempt(trial.id, 1, "CUDA error", cause="machine", host="a")
        ledger.begin_attempt(trial.id)
        ledger.preempt(trial.id, 2, "CUDA error 2", cause="machine", host="b")
        with present_in(run) as presence:
            at = {"at": 0.0}
            presence.tells(lambda: {"workers": [{"trial": 4, "host": "a", **at}]})
            presence._write()
            found = stragglers(read_book(run), read_note(files_in(run)))
    assert found[-1].trial == 4
    assert found[-1].why.startswith("has said nothing for ")
    why = [one.why for one in stragglers(read_book(run), None) if one.trial == 6]
    assert why[0] == "lost 2 attempts since its last report, the last on b: CUDA error 2"
    assert why[1].startswith("trains at 0.")
    assert why[1].endswith(" of the median speed")
    assert "slow, silent or in trouble:\n  trial" in status_text(run)


@pytest.mark.parametrize(("pids", "silent"), [((7, 8, 9), {3}), ((7, 7, 9), set())])
def test_one_of_several_in_a_process_is_silent_later(
    run: Path, pids: tuple[int, ...], silent: set[int]
) -> None:
    with Ledger.open(run) as ledger:
        row = ledger.curve(1)[0]
        for _ in range(3):
            trial = ledger.add_trial(stage="explore", params={}, config={"a": 1}, seed=5)
            ledger.begin_attempt(trial.id)
            ledger.acknowledge(trial.id, 1, {**row, "mark": 1, "compute": 1e9, "seconds": 25.0})
        first = trial.id - 2
        now = time.time()
        workers = [
            {"trial": first + n, "host": "a", "node": "a", "pid": pid, "at": now - 100.0 * (n == 0)}
            for n, pid in enumerate(pids)
        ]
        with present_in(run) as presence:
            presence.tells(lambda: {"workers": workers})
            presence._write()
            found = stragglers(read_book(run), read_note(files_in(run)))
    quiet = {one.trial - first + 3 for one in found if "has said nothing" in one.why}
    assert quiet == silent


def test_an_older_run_has_a_cost(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run")
    found = status(run)
    assert (found["cost"]["device"], found["cost"]["money"]) == ("CPU core", None)
    assert found["driver"] is None
    assert found["stragglers"] == []


def test_watching_ends_with_the_driver(run: Path) -> None:
    command = [sys.executable, "-m", "search.cli", "status", str(run), "--watch", "1"]
    with Ledger.open(run), present_in(run):
        quiet = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        lines = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True)
        inside, outside = pty.openpty()
        drawn = subprocess.Popen(command, stdout=outside, env={**os.environ, "TERM": "xterm"})
        os.close(outside)
        assert lines.stdout is not None
        for _ in range(2):
            assert json.loads(lines.stdout.readline())["at_work"]["holder"]
        picture = b""
        while b"is at work" not in picture:
            picture += os.read(inside, 1 << 16)
        assert quiet.poll() is None
    printed, _ = quiet.communicate(timeout=30)
    assert printed.count("no winner yet: no driver is at work") == 1
    assert "is at work: " not in printed
    rest, _ = lines.communicate(timeout=30)
    assert json.loads(rest.splitlines()[-1])["at_work"] is None
    while True:
        try:
            picture += os.read(inside, 1 << 16)
        except OSError:
            break
    os.close(inside)
    assert drawn.wait(30) == quiet.returncode == lines.returncode == 0
    assert b"no driver is at work" in picture


def test_a_status_takes_little(run: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "search.cli", "status", str(run)], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{spent:.2f} s of CPU time")
    assert spent < 3.0
    (run / DRIVER_FILE).write_text(json.dumps({"renewed": now()}))
    assert status(run)["driver"] is None
