from __future__ import annotations

import os
from pathlib import Path

from cluster.resources import (
    Share,
    _quota,
    cores,
    default_parallel,
    shared,
    worker_environment,
)


def test_parallel_is_what_fits_and_at_least_one() -> None:
    assert default_parallel({"CPU": 7.0}, Share(cpus=2)) == 3
    assert default_parallel({"CPU": 16.0, "GPU": 1.0}, Share(cpus=1, gpus=0.2)) == 5
    assert default_parallel({"CPU": 2.0, "GPU": 8.0}, Share(cpus=1, gpus=1)) == 2
    assert default_parallel({"CPU": 1.0}, Share(cpus=4)) == 1


def test_cores_are_within_affinity_and_quota(tmp_path: Path) -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
    file = tmp_path / "cpu.max"
    file.write_text("250000 100000\n")
    assert _quota(file) == 2
    file.write_text("max 100000\n")
    assert _quota(file) > 1000
    assert _quota(tmp_path / "absent") > 1000


def test_workers_get_their_share_of_threads() -> None:
    assert worker_environment(Share(cpus=3))["OMP_NUM_THREADS"] == "3"
    assert Share(cpus=2).request() == {"CPU": 2}
    assert Share(gpus=0.5).request() == {"CPU": 1.0, "GPU": 0.5}


def test_trials_that_share_cores_fit_all_at_once() -> None:
    for parallel in (3, 7, 64, 999):
        share = shared(Share(cpus=1), parallel, cores=2)
        assert parallel * share.request()["CPU"] <= 2
    assert shared(Share(cpus=2, gpus=0.5), 4, cores=8) == Share(cpus=2, gpus=0.5)
