"""The sections of an experiment that say what one evaluation is: no torch, and quick to read."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SerializeAsAny

from curricula.component import Component, SectionIn
from trm.diagnostics import AnyDiagnostics, defaults
from trm.tasks import TASKS
from trm.tasks.base import TaskConfig
from trm.thought.config import ThoughtConfig
from trm.train_config import TrainConfig


class Evaluated(Component):
    """What reading a run folder needs of an experiment; the fields are those of `Experiment`.

    Attributes:
        name: of the experiment.
        task: what is learned.
        train: how much, on what, and how it is evaluated.
        diagnostics: what is watched for failures.
        thought: how deep and wide it also thinks when it is evaluated.
    """

    name: str = "experiment"
    task: SerializeAsAny[Annotated[TaskConfig, SectionIn(TASKS)]]
    train: TrainConfig = TrainConfig()
    diagnostics: AnyDiagnostics = Field(default_factory=defaults)
    thought: ThoughtConfig = ThoughtConfig()
