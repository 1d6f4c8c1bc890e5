"""A training as two processes of a placement group, on two nodes that are on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray.cluster_utils import Cluster

from trm.run.folder import read_rows

TRM = [sys.executable, "-P", "-m", "search.cli"]
Tiny = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Two raylets with a core each, as two machines would have them."""
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        cluster.add_node(num_cpus=1)
        yield cluster.address
    finally:
        cluster.shutdown()


@pytest.fixture
def begin(tiny: Tiny, tmp_path: Path, address: str) -> Callable[..., subprocess.Popen[str]]:
    """`begin(20, "--resume")` starts a training of 20 steps."""

    def started(steps: int, *options: str) -> subprocess.Popen[str]:
        changes = {"train.budget.steps": steps, "diagnostics.probe": None}
        changes |= {"train.reports": 2 if steps < 1000 else 10_000}
        (tmp_path / "mine.yaml").write_text(json.dumps(tiny(changes)))
        words = ["train", "mine.yaml", "--out", "run", "--address", address, *options]
        return subprocess.Popen(
            [*TRM, *words], cwd=tmp_path, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    return started


def ranks(tmp_path: Path) -> list[psutil.Process]:
    """The processes that train into the test's folder, by rank."""
    found = {}
    for process in psutil.process_iter():
        try:
            variables = process.environ()
            if str(tmp_path / "run") in process.cmdline() and "RANK" in variables:
                found[int(variables["RANK"])] = process
        except psutil.Error:
            continue
    return [found[rank] for rank in sorted(found)]


def wait_for(what: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_nodes_train_the_run_of_one_process(
    begin: Callable[..., subprocess.Popen[str]], tiny: Tiny, tmp_path: Path
) -> None:
    both = begin(20, "--processes", "2", "--json")
    printed, said = both.communicate(timeout=200)
    assert (both.returncode, said) == (0, "")
    rows = read_rows(tmp_path / "run")
    assert [json.loads(line)["step"] for line in printed.splitlines()] == [10, 20]
    words = ["train", "mine.yaml", "--out", "alone"]
    assert subprocess.run([*TRM, *words], cwd=tmp_path, check=False, timeout=100).returncode == 0
    for ours, theirs in zip(rows, read_rows(tmp_path / "alone"), strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_signal_stops_all_and_a_death_is_one_line(
    begin: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    running = begin(100_000, "--processes", "2")
    wait_for(lambda: len(read_rows(tmp_path / "run")) > 1)
    assert len(ranks(tmp_path)) == 2
    running.terminate()
    said = running.communicate(timeout=10)[1]
    assert running.returncode == 130
    assert said.startswith("trm: interrupted at step ")
    assert said.count("\n") == 1
    assert " --out run --processes 2 --address " in said
    assert said.endswith(" --resume\n")
    assert not ranks(tmp_path)

    rows = len(read_rows(tmp_path / "run"))
    running = begin(100_000, "--processes", "2", "--resume")
    wait_for(lambda: len(read_rows(tmp_path / "run")) > rows)
    ranks(tmp_path)[1].kill()
    said = running.communicate(timeout=20)[1]
    assert running.returncode == 1
    assert "trm: process 2 of 2 on " in said
    assert "was killed by signal 9; what was saved stays; resume with: trm train mine.yaml" in said
    assert said.count("\n") == 1
    wait_for(lambda: not ranks(tmp_path), 10.0)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nobody_outlives_the_driver_and_what_has_no_room_is_refused(
    begin: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    refused = begin(20, "--processes", "3")
    said = refused.communicate(timeout=100)[1]
    assert refused.returncode == 2
    assert said == (
        "trm: error: 3 processes need 3 CPU, and the cluster has 2: use fewer processes or another "
        "cluster\n"
    )
    running = begin(100_000, "--processes", "2")
    wait_for(lambda: len(read_rows(tmp_path / "run")) > 1)
    running.kill()
    running.communicate()
    wait_for(lambda: not ranks(tmp_path), 30.0)
