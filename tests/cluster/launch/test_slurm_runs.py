"""The script that is written, run by Slurm on two nodes: limits, requeues, and a Ray of others."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from search.cli import main
from search.ledger.reader import holds_ledger, read_curves, read_trials
from tests.conftest import TREE
from tests.support.slurm_cluster import Slurm, missing, slurm_cluster
from trm.files.yaml12 import dump_yaml

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(missing()), reason=missing() or "Slurm is here"),
]
TRIALS = 6


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    # Not below /tmp, which each node has for itself.
    folder = Path(tempfile.mkdtemp(prefix="trm-slurm-", dir="/var/tmp"))
    with slurm_cluster(folder) as cluster:
        yield cluster
    shutil.rmtree(folder, ignore_errors=True)


def until(true: Callable[[], object], seconds: float, what: str) -> float:
    """Seconds until something holds."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.3)
    return time.monotonic() - began


def reports(run: Path) -> set[tuple[int, int, float]]:
    """What is acknowledged: trial, mark and a figure of each report."""
    if not holds_ledger(run):
        return set()
    table = read_curves(run)
    columns = [table.column(name).to_pylist() for name in ("trial", "mark", "cell_accuracy")]
    rows = list(zip(*columns, strict=True))
    assert len({row[:2] for row in rows}) == len(rows), "a report is there twice"
    return set(rows)


def hurried(slurm: Slurm, job: str) -> str:
    """A job's state; one that was queued again, which Slurm holds for two minutes, may start now.

    Not while a process of its last start is there: of a start on such a node Slurm makes a failure.
    """
    if (state := slurm.state(job)) == "PENDING" and slurm.idle():
        slurm.run("scontrol", "update", f"JobId={job}", "StartTime=now", check=False)
    return state


def test_five_starts_lose_nothing_and_leave_another_ray_alone(slurm: Slurm) -> None:
    run = slurm.folder / "run"
    tree = {
        **TREE,
        "optimizer": {**TREE["optimizer"], "lr": {"loguniform": [1e-3, 1e-2]}},
        "train": {**TREE["train"], "budget": {"steps": 2400}, "reports": 24},
        "search": {"trials": TRIALS, "scheduler": "none", "sampler": "random"},
        "stability": {"candidates": 1, "seeds": 1, "promise_seeds": 2},
        "cluster": {"nodes": 2, "cpus_per_node": 1, "slurm": {"warning_seconds": 60}},
    }
    (slurm.folder / "mine.yaml").write_text(dump_yaml(tree))
    script = slurm.folder / "job.sh"
    words = ["cluster", "slurm", str(slurm.folder / "mine.yaml"), "--out", str(run)]
    assert main([*words, "--file", str(script)]) == 0

    ray = [sys.executable, "-P", "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    with open(slurm.folder / "other.log", "wb") as log:
        other = subprocess.Popen(
            slurm.on("sl1", *ray, "--port=6379", "--num-cpus=1", "--include-dashboard=false"),
            stdout=log, stderr=log, env={**slurm.environment, "RAY_AUTH_MODE": "disabled"},
        )  # fmt: skip
    stops = []
    try:
        job = slurm.run("sbatch", "--parsable", str(script)).strip()
        for start in range(4):
            before = reports(run)
            until(
                lambda before=before: len(reports(run) - before) >= 2, 240,
                f"start {start} reports; {slurm.folder}",
            )  # fmt: skip
            if start == 2:
                # Slurm's own signal, as the limit is near.
                slurm.run("scontrol", "update", f"JobId={job}", "TimeLimit=+0")
                used = slurm.run("squeue", "--noheader", "--format=%M", f"--jobs={job}").strip()
                limit = int(used.split(":")[-2]) + 2
                slurm.run("scontrol", "update", f"JobId={job}", f"TimeLimit={limit}")
                log_lines = (slurm.folder / f"tiny-{job}.log").read_text().count("time limit")
                until(
                    lambda n=log_lines: (slurm.folder / f"tiny-{job}.log")
                    .read_text().count("time limit") > n,
                    180, "Slurm signals",
                )  # fmt: skip
            else:
                slurm.run("scancel", "--batch", "--signal=USR1", job)
            known = reports(run)
            stops.append(until(lambda: slurm.state(job) == "PENDING", 60, "queued again"))
            assert known <= reports(run), "acknowledged and lost"
            slurm.run("scontrol", "update", f"JobId={job}", "TimeLimit=UNLIMITED")
            until(lambda: hurried(slurm, job) == "RUNNING", 60, "started again")
        last = reports(run)
        until(lambda: slurm.state(job) in ("", "COMPLETED"), 900, "the sweep ends")
        log_text = (slurm.folder / f"tiny-{job}.log").read_text()
        assert last <= reports(run), log_text
        assert (run / "best.yaml").exists(), log_text
        explored = [one for one in read_trials(run).values() if one.stage == "explore"]
        assert [one.outcome for one in explored] == ["completed"] * TRIALS
        assert log_text.count("2 of 2 nodes are up") == 5
        print("from the signal to the end of the step, s:", [round(one, 1) for one in stops])
        assert max(stops) < 30
        assert other.poll() is None
        told = subprocess.run(
            slurm.on("sl1", sys.executable, "-P", "-m", "cluster.launch.node", "wait",
                     "10.213.77.2:6379", "1", "20"),
            capture_output=True, text=True,
            env={**slurm.environment, "RAY_AUTH_MODE": "disabled"},
        )  # fmt: skip
        assert "1 of 1 nodes are up" in told.stdout, told.stderr
    finally:
        print(slurm.run("scontrol", "show", "job", job, check=False), slurm.told())
        print((slurm.folder / f"tiny-{job}.log").read_text()[-3000:])
        slurm.run("scancel", job, check=False)
        other.kill()
        other.wait()
