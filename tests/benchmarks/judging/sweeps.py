"""All sweeps of a benchmark, in several processes of one thread each; one JSON line a sweep."""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.judging.families import FAMILIES
from tests.benchmarks.judging.methods import method


@dataclass(frozen=True)
class Judged:
    """One method in one world.

    Attributes:
        family: of the world.
        world: its number.
        stratum: as in `Problem`.
        method: as given on the command line.
        workers: runs at once.
        budgets: full runs.
        regrets: at each budget.
        default: regret of the file's default values.
        best: true mean of the best config.
        ceiling: regret of what all compute would pick.
        cpu_seconds: that all its sweeps took.
    """

    family: str
    world: int
    stratum: str
    method: str
    workers: int
    budgets: list[int]
    regrets: list[float]
    default: float
    best: float
    ceiling: float
    cpu_seconds: float


Key = tuple[str, int, str, int]
"""Of (family, world, method, workers)."""


@dataclass(frozen=True)
class Task:
    """What one process does at a time: all that a world lacks."""

    family: str
    world: int
    wanted: tuple[tuple[str, int], ...]


def judge(
    worlds: Mapping[str, int], methods: Sequence[str], workers: Sequence[int], jobs: int, out: Path
) -> Iterator[tuple[int, int]]:
    """Run what the file lacks and append it; yields how many of how many worlds are done.

    Args:
        worlds: how many of each family.
    """
    known = {key(one) for one in read(out)}
    tasks = []
    for number in range(max(worlds.values(), default=0)):
        for family, count in worlds.items():
            if number >= count:
                continue
            wanted = tuple(
                (name, at_once)
                for name in methods
                if number < math.ceil(count * method(name).share)
                for at_once in workers
                if (family, number, name, at_once) not in known
            )
            if wanted:
                tasks.append(Task(family, number, wanted))
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a") as file:
        for done, found in enumerate(_played(tasks, jobs), 1):
            for one in found:
                file.write(json.dumps(asdict(one)) + "\n")
            file.flush()
            yield done, len(tasks)


def _played(tasks: Sequence[Task], jobs: int) -> Iterator[list[Judged]]:
    """The tasks' results as they come; one job is this process itself."""
    if jobs == 1:
        yield from map(_play, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, _begin) as pool:
        yield from pool.imap_unordered(_play, tasks)


def read(out: Path) -> list[Judged]:
    """What a file holds; none if it is missing."""
    if not out.exists():
        return []
    return [Judged(**json.loads(line)) for line in out.read_text().splitlines()]


def key(one: Judged) -> Key:
    """What a line is known by."""
    return one.family, one.world, one.method, one.workers


def _begin() -> None:
    import optuna
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray").setLevel(logging.ERROR)


def _play(task: Task) -> list[Judged]:
    problem = FAMILIES[task.family](task.world)
    merit = problem.plan.objective.merit
    found: list[Judged] = []
    for name, workers in task.wanted:
        chosen, begun = method(name), time.process_time()
        if chosen.alone and found and found[-1].method == name:
            regrets = found[-1].regrets
        else:
            regrets = chosen.regrets(problem, task.world, workers)
        found.append(
            Judged(
                task.family, task.world, problem.stratum, name, workers, list(chosen.budgets),
                regrets, merit(problem.best) - merit(problem.default), problem.best,
                problem.ceiling, time.process_time() - begun,
            )
        )  # fmt: skip
    return found
