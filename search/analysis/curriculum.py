"""What a config's curriculum will do, and what a recorded run of it did, ready to be shown."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from curricula.preview import Preview, PreviewPoint, always, preview
from curricula.stage import Slice, Stage
from trm.config import Experiment, load_experiment
from trm.errors import UserError
from trm.files.yaml12 import read_yaml
from trm.learning.optimizers import learning_rate_factor
from trm.report import ReportRow
from trm.tasks.base import Task
from trm.training.budget import budget_flops
from trm.training.curriculum import begin_course, full_stage
from trm.training.flops import step_flops

NUMBERS = {
    "H_cycles": "H cycles",
    "L_cycles": "L cycles",
    "supervision_steps": "supervision steps",
    "halt_weight": "halt weight",
    "exploration": "exploration",
    "latent_noise": "latent noise",
    "stochastic_depth": "left-out cycles",
    "lr_factor": "lr factor",
    "learning_rate": "learning rate",
}
"""Quantities that are numbers: their column in the reports and their name on pictures."""

WHOLE = ("H_cycles", "L_cycles", "supervision_steps")


@dataclass(frozen=True)
class CurriculumPlan:
    """A curriculum's way, or the two between which feedback decides, and a run's reports.

    Attributes:
        config: the experiment.
        full: the values in force without the curriculum.
        sources: the names of the task's sources.
        path: the way; of an adaptive curriculum the earliest that it may go.
        latest: the latest that an adaptive curriculum may go, where that is another way.
        reports: rows of a run's learning curve; empty where nothing has run.
    """

    config: Experiment
    full: Stage
    sources: tuple[str, ...]
    path: Preview
    latest: Preview | None
    reports: tuple[ReportRow, ...] = ()

    @cached_property
    def driven(self) -> list[str]:
        """The numbers that change over the run, in order."""
        paths = [self.path, self.latest] if self.latest else [self.path]
        return [
            key for key in NUMBERS if len({v for p in paths for v in numbers(self, p, key)}) > 1
        ]

    @property
    def drives_difficulty(self) -> bool:
        """Whether any part of the run draws examples other than all alike."""
        paths = [self.path, self.latest] if self.latest else [self.path]
        return any(point.stage.difficulty for path in paths for point in path.points)

    @property
    def drives_sources(self) -> bool:
        """Whether the mix of sources is set."""
        return any(point.stage.sources for point in self.path.points)

    @property
    def weighs_steps(self) -> bool:
        """Whether the loss of some supervision steps counts more than that of others."""
        return any(len(set(point.stage.supervision_weights)) > 1 for point in self.path.points)


def make_plan(
    config: Experiment,
    task: Task,
    reports: Sequence[ReportRow] = (),
    watch: Callable[[str, float], None] | None = None,
) -> CurriculumPlan:
    """Walk through the run of a config.

    Raises:
        UserError: the curriculum does not fit the task.
    """
    course = begin_course(config, task)
    budget = None if config.train.budget.minutes is None else _budget_of(reports)
    if budget is None:
        budget = budget_flops(config, task)

    def along(metric: float, what: str) -> Preview:
        return preview(
            config.curriculum,
            course.full,
            lambda depth: step_flops(config, task, depth),
            budget,
            task.sources,
            always(metric, course.bins),
            keep={config.optimizer.lr_warmup_steps - 1},
            watch=lambda share: watch(what, share) if watch else None,
        )

    path, latest = along(1.0, "walking through the run"), None
    if config.curriculum.is_adaptive:
        latest = along(0.0, "the latest way")
        if _stages(latest) == _stages(path):
            latest = None
    return CurriculumPlan(config, full_stage(config), task.sources, path, latest, tuple(reports))


def _stages(path: Preview) -> list[tuple[int, Stage]]:
    return [(point.step, point.stage) for point in path.points]


def _budget_of(reports: Iterable[ReportRow]) -> float | None:
    """The budget that a run had: minutes timed anew would make it another one."""
    for report in reports:
        return float(report["compute"] / report["progress"])
    return None


def numbers(plan: CurriculumPlan, path: Preview, key: str) -> list[float]:
    """One of `NUMBERS` at each point of a path."""
    if key != "learning_rate":
        return [getattr(point.stage, key) for point in path.points]
    optimizer = plan.config.optimizer
    warm = optimizer.lr_warmup_steps
    at_warm = [point.reached for point in path.points if point.step == warm - 1]

    def rate(point: PreviewPoint) -> float:
        since = at_warm[0] if at_warm and point.step >= warm else point.reached
        factor = learning_rate_factor(
            optimizer, point.step + 1, point.reached, since if warm else 0.0
        )
        return optimizer.lr * (point.stage.lr_factor * factor)

    return [rate(point) for point in path.points]


def mean_difficulty(slices: Sequence[Slice]) -> float:
    """The mean place in the order of difficulty of the examples that come next."""
    total = sum(part.weight for part in slices)
    if not total > 0.0:
        return 0.5
    return sum(part.weight * (part.low + part.high) / 2 for part in slices) / total


def at_share(path: Preview, share: float) -> int:
    """The index of the point in force at a share of the run."""
    return max(bisect_right(path.points, share, key=lambda point: point.progress) - 1, 0)


def read_run(folder: Path) -> tuple[Experiment, list[ReportRow]]:
    """The config and the reports of a folder of `trm train`.

    Raises:
        UserError: it is not one, or its files are damaged.
    """
    recorded = folder / "config.yaml"
    if not recorded.is_file():
        raise UserError(
            f"{folder}: holds no config.yaml: give the folder of `trm train`, a YAML file or a "
            "preset's name"
        )
    config = load_experiment(read_yaml(recorded))
    try:
        lines = (folder / "reports.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return config, []
    reports = []
    for number, line in enumerate(lines, start=1):
        if not line.endswith("}"):  # cut off when the process died
            continue
        try:
            report = json.loads(line)
            float(report["progress"]), float(report["compute"])
        except (ValueError, KeyError, TypeError) as error:
            where = f"{folder / 'reports.jsonl'}, line {number}"
            raise UserError(f"{where}: is no report of a training: delete the line") from error
        reports.append(report)
    return config, reports


def recorded(reports: Iterable[ReportRow], column: str) -> tuple[list[float], list[float]]:
    """Where the reports of a run stand and what a column of theirs says.

    The mean difficulty is that of the stretch since the report before, so it stands in its middle.
    """
    shares, values = [], []
    before = 0.0
    for report in reports:
        here = report["progress"]
        if report.get(column) is not None:
            shares.append((before + here) / 2 if column == "train_difficulty" else here)
            values.append(report[column])
        before = here
    return shares, values
