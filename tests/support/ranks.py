"""Train configs on several gloo processes, and keep what each of them ends with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        config: the experiment's tree.
        folder: takes what the processes end with; it must not be there.
        start: a checkpoint to go on from.
        steps: training stops after so many.
        sparse_from: puzzle identifiers from which on gradients are sparse.
    """

    config: dict[str, Any]
    folder: str
    start: str | None = None
    steps: int | None = None
    sparse_from: int = 1000


def train_job(job: Job, rank: int = 0, size: int = 1) -> dict[str, Any]:
    """Train as one of several; a checkpoint `end` stays in the folder."""
    from trm.checkpoint.reading import resume
    from trm.checkpoint.writing import save_checkpoint
    from trm.config import experiment_from
    from trm.files.run_folder import cache_folder
    from trm.network import model
    from trm.ranks import Joined
    from trm.training.trainer import Trainer

    usual, model.SPARSE_FROM = model.SPARSE_FROM, job.sparse_from
    config = experiment_from(job.config)
    task = config.task.build(cache_folder())
    trainer = resume(Path(job.start), task) if job.start else Trainer(config, task)
    if size > 1:
        trainer.join(Joined(rank, size))
    losses: list[float] = []
    sums = [0.0]

    def stop() -> bool:
        now = trainer.counters.sums["loss"]
        losses.append(now - sums[0])
        sums[0] = now
        return trainer.counters.step == job.steps

    rows = []
    sums[0] = trainer.counters.sums["loss"]
    for report in trainer.run(stop):
        rows.append(report.row())
        sums[0] = 0.0
    folder = Path(job.folder)
    if rank == 0:
        save_checkpoint(folder / "end", trainer)
    else:
        trainer.state_dict()
    model.SPARSE_FROM = usual
    weights = {name: tensor.tolist() for name, tensor in trainer.model.state_dict().items()}
    return {"losses": losses, "rows": rows, "weights": weights}


def train_together(jobs: Sequence[Job], size: int, folder: Path) -> list[list[dict[str, Any]]]:
    """What each process, the first index, ends each job with."""
    (folder / "jobs.json").write_text(json.dumps([asdict(job) for job in jobs]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.ranks", str(rank), str(size), str(folder)],
            cwd=Path(__file__).parents[2],
            env=environment,
        )
        for rank in range(size)
    ]
    assert [process.wait(timeout=300) for process in processes] == [0] * size
    return [json.loads((folder / f"told{rank}.json").read_text()) for rank in range(size)]


def _main(rank: int, size: int, folder: Path) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), size)
    limit = timedelta(seconds=120)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=limit)
    jobs = [Job(**job) for job in json.loads((folder / "jobs.json").read_text())]
    found = [train_job(job, rank, size) for job in jobs]
    (folder / f"told{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
