"""The config tree of one experiment, as far as training one model needs it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, create_model

from curricula.component import Component, SectionIn
from curricula.curriculum import AnyCurriculum
from curricula.published import CustomCurriculum
from trm.diagnostics import AnyDiagnostics, defaults
from trm.errors import UserError
from trm.files.paths import checked_path, home_path
from trm.learning.halting import AnyHalting, HaltingConfig
from trm.learning.losses import LossConfig
from trm.learning.optimizers import OPTIMIZERS, AdamAtan2Config, OptimizerConfig
from trm.network.model import ModelConfig
from trm.plugins import import_plugins, plugin_names
from trm.tasks import TASKS
from trm.tasks.base import TaskConfig
from trm.thought.config import ThoughtConfig
from trm.train_config import BudgetConfig, TrainConfig
from trm.validation import validate

SCHEMA_VERSION: Literal[1] = 1


class PromiseConfig(Component):
    """What an exported config's own sweep says of one fresh seed, on `valid`.

    Attributes:
        column: the objective.
        mean: over the seeds that the interval comes from.
        low: lower end of the interval.
        high: upper end.
        confidence: probability that a fresh seed's last report lies in it.
    """

    column: str
    mean: float
    low: float
    high: float
    confidence: float


class Experiment(Component):
    """One experiment: a task, a model and how it is trained.

    Attributes:
        schema_version: of the file's form.
        name: of the experiment; run folders are named after it.
        task: what is learned.
        model: the network.
        halting: when it stops thinking.
        loss: what is optimised.
        optimizer: how.
        curriculum: what changes over a run.
        train: how much, on what, and how it is evaluated.
        diagnostics: what is watched for failures.
        thought: how deep and wide it also thinks when it is evaluated.
        promise: what the sweep that exported the file says of one fresh seed; `trm train`
            checks it.
        plugins: modules to import first: they add tasks and other components.

    >>> experiment = experiment_from({"task": "sudoku", "optimizer": {"lr": 3e-4}})
    >>> experiment.optimizer.name, experiment.optimizer.lr, experiment.train.batch_size
    ('adam_atan2', 0.0003, 768)
    >>> experiment_from(experiment.tree()) == experiment
    True
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str = Field(default="experiment", min_length=1)
    task: SerializeAsAny[Annotated[TaskConfig, SectionIn(TASKS)]]
    model: ModelConfig = ModelConfig()
    halting: AnyHalting = HaltingConfig()
    loss: LossConfig = LossConfig()
    optimizer: SerializeAsAny[Annotated[OptimizerConfig, SectionIn(OPTIMIZERS, "adam_atan2")]] = (
        AdamAtan2Config()
    )
    curriculum: AnyCurriculum = CustomCurriculum()
    train: TrainConfig = TrainConfig()
    diagnostics: AnyDiagnostics = Field(default_factory=defaults)
    thought: ThoughtConfig = ThoughtConfig()
    promise: PromiseConfig | None = None
    plugins: list[str] = Field(default_factory=list)

    @property
    def averages(self) -> bool:
        """Whether a run has averaged weights beside its own, which are what is evaluated."""
        return self.train.averages or self.optimizer.averages

    @property
    def modules(self) -> list[str]:
        """Modules of the user's that it needs: plug-ins, and those that its task names."""
        return plugin_names({"plugins": self.plugins, "task": self.task.model_dump(mode="json")})

    def tree(self) -> dict[str, Any]:
        """The whole config as plain values, every default written out."""
        tree = self.model_dump(mode="json")
        if self.promise is None:
            del tree["promise"]
        return tree


SECTIONS = tuple(Experiment.model_fields)
"""The sections that training reads; a sweep's file may hold more."""


def experiment_from(tree: Mapping[str, Any]) -> Experiment:
    """Validate a drawn tree, whose plug-ins are imported. Sections of a sweep are left out.

    Raises:
        UserError: one line naming key, value and remedy.
    """
    return validate(Experiment, {key: tree[key] for key in tree if key in SECTIONS})


def load_experiment(tree: Mapping[str, Any], folders: Sequence[Path] = ()) -> Experiment:
    """Import the plug-ins of a drawn tree, then validate it.

    Args:
        folders: where plug-ins may lie besides installed packages and the working directory.

    Raises:
        UserError: a plug-in that cannot be imported, or as `experiment_from`.
    """
    import_plugins(plugin_names(tree), folders)
    return experiment_from(tree)


def variant(
    experiment: Experiment, tree: Mapping[str, Any], changed: Mapping[str, Any]
) -> Experiment:
    """The experiment of `changed`, of which only those sections are read that differ from `tree`.

    No rule of the schema spans sections, so the others hold as they are.

    Args:
        experiment: what `tree` was validated to.

    Raises:
        UserError: as `experiment_from`.
    """
    fields = {}
    for key in SECTIONS:
        old, new = tree.get(key, _ABSENT), changed.get(key, _ABSENT)
        if not _same(old, new):
            alone = {} if new is _ABSENT else {key: new}
            try:
                fields[key] = getattr(validate(_section(key), alone), key)
            except UserError:
                experiment_from(changed)  # its line counts the errors of the other sections too
                raise
    return experiment.model_copy(update=fields)


_ABSENT = object()


def _same(old: Any, new: Any) -> bool:
    """Whether two values of a tree are one and the same, in type too: 1 is neither 1.0 nor true."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(_same(old[key], new[key]) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_same, old, new))
    return type(old) is type(new) and bool(old == new)


@cache
def _section(key: str) -> type[Component]:
    """A model of this one section, so that its errors bear the same path as the whole's."""
    field = Experiment.model_fields[key]
    return create_model("Section", __base__=Component, **{key: (field.annotation, field)})  # type: ignore[call-overload,no-any-return]


def absolute_files(node: Any, beside: Path | None = None) -> Any:
    """A copy of a task section in which each `file`, those of sections within too, is absolute.

    Workers have another working directory, and so has whoever trains an exported config.

    Args:
        beside: the folder of the config, where a file is looked for that the working directory
            does not have.

    >>> absolute_files({"name": "sudoku", "file": "/data/puzzles.csv"})
    {'name': 'sudoku', 'file': '/data/puzzles.csv'}
    """
    if isinstance(node, list):
        return [absolute_files(child, beside) for child in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _absolute(child, beside)
        if key == "file" and isinstance(child, str)
        else absolute_files(child, beside)
        for key, child in node.items()
    }


def _absolute(text: str, beside: Path | None) -> str:
    path = home_path(checked_path(text, "task.file"), "task.file")
    if beside is not None and not path.exists() and (beside / path).exists():
        path = beside / path
    return str(path.absolute())


def set_value(tree: dict[str, Any], path: str, value: Any) -> None:
    """Set `a.b.c` in a tree in place, making mappings on the way.

    >>> tree = {"train": {"seed": 0}}
    >>> set_value(tree, "train.seed", 3)
    >>> tree
    {'train': {'seed': 3}}
    """
    *parents, last = path.split(".")
    if not all((*parents, last)):
        raise UserError("--set", path, "holds an empty key: write it as in train.seed=3")
    for index, key in enumerate(parents):
        child = tree.setdefault(key, {})
        if not isinstance(child, dict):
            what = f"{key!r} holds a value, not a section"
            if isinstance(child, str) and key != "name":
                whole, rest = ".".join(parents[: index + 1]), path.split(".", index + 1)[-1]
                what += f": set it whole, as in {whole}={{name: {child}, {rest}: ...}}"
            raise UserError("--set", path, what)
        tree = child
    tree[last] = value


def keep_one_budget(tree: dict[str, Any], paths: Collection[str]) -> None:
    """Take the other units out of `train.budget` in place where one of them was set over the file.

    Args:
        paths: the keys that were set.

    >>> tree = {"train": {"budget": {"flops": 1e15, "steps": 40}}}
    >>> keep_one_budget(tree, ["train.budget.steps"])
    >>> tree
    {'train': {'budget': {'steps': 40}}}
    """
    train = tree.get("train")
    budget = train.get("budget") if isinstance(train, dict) else None
    if not isinstance(budget, dict):
        return
    units = [key for key in BudgetConfig.model_fields if f"train.budget.{key}" in paths]
    if any(budget.get(key) is not None for key in units):
        for other in BudgetConfig.model_fields.keys() - set(units):
            budget.pop(other, None)
