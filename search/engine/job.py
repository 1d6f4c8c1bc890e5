"""What a worker needs to run one attempt of a trial, and how it makes a trainer of it."""

from __future__ import annotations

import importlib
import json
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

# Bound here, before `build_trainer` puts the user's folders on the path: an editable installation
# is found after every folder of the path.
import cluster  # noqa: F401
import curricula  # noqa: F401
import trm  # noqa: F401
from search.ledger.storage import local_copy, place
from trm.files.sums import damage_of
from trm.plugins import look_in
from trm.training.loading import load

if TYPE_CHECKING:
    from trm.config import Experiment
    from trm.report import Report
    from trm.tasks.base import Task
    from trm.training.trainer import Trainer


@dataclass(frozen=True)
class Job:
    """One attempt of one trial, as plain values: it travels as JSON.

    Attributes:
        folder: the run folder's path or URI, as the worker sees it.
        trial: the trial's id.
        attempt: the attempt's number.
        config: the drawn tree.
        seed: replaces the config's `train.seed`.
        budget: training FLOPs.
        marks: shares of the budget at which to report.
        checkpoint: where to go on from, relative to the folder; None starts afresh.
        cache: where generated data is kept; None is the worker's own cache folder.
        path: folders in which the worker also looks for modules (plug-ins), after all others.
        factory: `module:callable` that makes the trainer; None is the TRM trainer.
        driver: the token by which the driver may be asked to stop; empty if nobody can.
        threads: CPU threads of a training that begins; None is as its config says.
        others: attempts of trials of the same config with other seeds, which the worker trains as
            one model with this one.
    """

    folder: str
    trial: int
    attempt: int
    config: dict[str, Any]
    seed: int
    budget: float
    marks: tuple[float, ...]
    checkpoint: str | None = None
    cache: str | None = None
    path: tuple[str, ...] = ()
    factory: str | None = None
    driver: str = ""
    threads: int | None = None
    others: tuple[Job, ...] = ()

    @property
    def all(self) -> tuple[Job, ...]:
        """Each attempt's own job."""
        return replace(self, others=()), *self.others

    @property
    def checkpoints(self) -> str:
        """Where the trial's own checkpoints lie, relative to the run folder."""
        return f"checkpoints/{self.trial}"

    @property
    def forks(self) -> bool:
        """Whether the attempt goes on from another trial's checkpoint."""
        own = self.checkpoint is None or self.checkpoint.startswith(f"{self.checkpoints}/")
        return not own

    def to_json(self) -> str:
        """The job as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The job that a text stands for."""
        return cls._of(json.loads(text))

    @classmethod
    def _of(cls, values: dict[str, Any]) -> Job:
        lists = {name: tuple(values[name]) for name in ("marks", "path")}
        return cls(**{**values, **lists, "others": tuple(map(cls._of, values["others"]))})


class TrainingRun(Protocol):
    """A training run, as far as a worker is concerned."""

    @property
    def finished(self) -> bool:
        """Whether `run` has nothing more to yield."""

    def run(self) -> Iterator[Report]:
        """Reports, from where the run stands."""

    def save(self, folder: Path) -> None:
        """Write the full state to a new folder, atomically."""

    def load(self, folder: Path) -> None:
        """Go on from a saved state."""

    def provenance(self) -> dict[str, Any]:
        """Hashes and decisions that the results depend on."""

    def findings(self) -> list[dict[str, Any]] | None:
        """What detectors of plug-ins say of the run so far, as plain values; None without any."""


def build_trainer(job: Job, note: Callable[[str], object] = lambda text: None) -> TrainingRun:
    """The training run of a job, restored from its checkpoint if it has one.

    Args:
        note: is told a line where a checkpoint is damaged, and the run is begun afresh.
    """
    # Last on the path, so that nothing of the user's can shadow a package.
    look_in(map(Path, job.path))
    training: TrainingRun
    if job.factory is None:
        training = TRMTraining(job)
    else:
        module, _, name = job.factory.partition(":")
        training = getattr(importlib.import_module(module), name)(job)
    if job.checkpoint is not None:
        with local_copy(place(job.folder) / job.checkpoint) as folder:
            damage = _damage(folder, job)
            if damage is None or job.forks:
                training.load(folder)
                return training
        # What it has reported is on record, and is not recorded twice when it is made again.
        note(f"attempt {job.attempt}: {job.checkpoint}: {damage}: begun afresh\n")
    return training


def _damage(folder: Path, job: Job) -> str | None:
    """What is wrong with a checkpoint, as far as it can be told without loading it."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return "is missing"
    return damage_of(folder) if job.factory is None else None


class TRMTraining:
    """The TRM trainer with its checkpoints.

    Attributes:
        trainer: the trainer.
        asked: asked between steps; once true, `run` ends where it stands, and can be saved.
    """

    def __init__(self, job: Job) -> None:
        load("trm.training.trainer")
        from trm.config import load_experiment
        from trm.device import resolve
        from trm.training.steps.kernel import build_ahead
        from trm.training.trainer import Trainer

        tree = {**job.config, "train": {**job.config.get("train", {}), "seed": job.seed}}
        self._experiment = load_experiment(tree)
        build_ahead(self._experiment)
        self._task = task_of(job, self._experiment)
        self._forks = job.forks
        self.asked: Callable[[], bool] = lambda: False
        # The kernel that is asked for: the trainer decides, with the model at hand.
        train = self._experiment.train
        resolved = replace(resolve(train), kernel=train.kernel, cuda_graphs=train.cuda_graphs)
        if job.threads is not None:
            resolved = replace(resolved, threads=job.threads)
        self.trainer: Trainer = Trainer(
            self._experiment, self._task, job.budget, job.marks, resolved
        )

    @property
    def finished(self) -> bool:
        """Whether `run` has nothing more to yield."""
        return self.trainer.finished

    def run(self) -> Iterator[Report]:
        """Reports, from where the run stands."""
        return self.trainer.run(lambda: self.asked())

    def save(self, folder: Path) -> None:
        """Write the full state to a new folder, atomically."""
        from trm.checkpoint.writing import save_checkpoint

        save_checkpoint(folder, self.trainer)

    def load(self, folder: Path) -> None:
        """Go on from a saved state, with the machine decisions made then."""
        from trm.checkpoint.head import read_head
        from trm.checkpoint.reading import load_checkpoint
        from trm.training.trainer import Trainer

        head = read_head(folder)
        if head.resolved != self.trainer.resolved:
            old = self.trainer
            self.trainer = Trainer(
                self._experiment, self._task, old.budget, old.marks, head.resolved
            )
        # A run that goes on from another trial's checkpoint goes on with a curriculum of its own.
        load_checkpoint(folder, self.trainer, except_for=("curriculum",) if self._forks else ())

    def provenance(self) -> dict[str, Any]:
        """Versions, revision, code of plug-ins, data hash and machine decisions."""
        from trm.provenance import plugin_provenance

        return {
            **_versions(),
            **plugin_provenance(self._experiment.modules),
            "data_hash": self._task.data_hash,
            **self._vocabulary(),
            "resolved": asdict(self.trainer.resolved),
            "host": platform.node(),
        }

    def _vocabulary(self) -> dict[str, list[str]]:
        """What the tokens are, where the task's data decides, for whoever exports the config."""
        names = self._task.tokens[1:]
        return {"vocabulary": [*names]} if 0 < len(names) <= _MOST_NAMES else {}

    def findings(self) -> list[dict[str, Any]] | None:
        """What detectors of plug-ins say of the run so far, as plain values; None without any."""
        from trm.diagnostics import added_findings

        history = self.trainer.counters.history
        found = added_findings(history, self._experiment.diagnostics)
        return None if found is None else [asdict(finding) for finding in found]


_MOST_NAMES = 5_000
"""Tokens that the ledger keeps with each trial."""
_tasks: dict[tuple[str, str | None], Task] = {}


def task_of(job: Job, experiment: Experiment) -> Task:
    """A task's data, built once per worker process; only the last task is kept."""
    from trm.files import run_folder

    key = (json.dumps(job.config["task"]), job.cache)
    if key not in _tasks:
        _tasks.clear()
        folder = run_folder.cache_folder() if job.cache is None else Path(job.cache)
        _tasks[key] = experiment.task.build(folder)
    return _tasks[key]


@cache
def _versions() -> dict[str, str]:
    from trm.provenance import provenance

    return provenance()
