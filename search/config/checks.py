"""What a file's space and task must satisfy before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from search.config.config import Config
from search.config.measured import judging_columns
from search.config.sections import SweepSections
from search.schedulers.soundness import require_scheduler
from trm.detectors.probing import unmeasured
from trm.diagnostics import DiagnosticsConfig
from trm.errors import UserError
from trm.network.model import ModelConfig
from trm.report import PROBED
from trm.tasks.base import Task
from trm.tasks.soundness import require_sound_task
from trm.thought.config import ThoughtConfig
from trm.training.curriculum import begin_course
from trm.training.soundness import require_sound_model, require_sound_parts

FIXED = (
    "train.budget", "train.reports", "train.seed", "train.valid_examples", "train.eval_share",
    "train.early_examples", "thought.measure", "thought.at", "thought.examples", "thought.depth",
    "thought.breadth",
)  # fmt: skip
"""Values that must be the same in every trial, or scores would not compare."""


def check_config(config: Config) -> None:
    """Refuse what can never be searched or drawn, before anything starts.

    Raises:
        UserError: nothing to search, a value that must not be searched, an option or bound that
            the schema refuses whatever else is drawn, or a sampler or scheduler that does not fit.
    """
    space, search = config.space, config.sections.search
    for name in space.parameters:
        if any(name == fixed or name.startswith((fixed + ".", fixed + "[")) for fixed in FIXED):
            raise UserError(f"{name}: cannot be searched: scores would not compare; give one value")
    require_scheduler(search.scheduler)
    if not search.breeds:
        space.require_searchable()
        search.sampler.check(space, len(search.objective), search.trials)
    elif search.first or search.warm_start:
        raise UserError("search.first and search.warm_start do not count with pbt: remove them")
    rng = np.random.default_rng(0)
    for where, error in space.refused(config.experiment, rng):
        raise UserError(f"{where}: no draw with it is valid: {error}") from error


def require_trainable(config: Config, task: Task) -> None:
    """Refuse what no trial could be trained with, as far as a look at each option shows it.

    Raises:
        UserError: a component breaks its contract, or a curriculum names a source that the task
            does not have.
    """
    models: list[ModelConfig] = []

    def check(tree: Mapping[str, Any]) -> None:
        try:
            drawn = config.experiment(tree)
        except UserError:
            return  # it does not go with the defaults; `check_config` knows draws that it goes with
        require_sound_parts(drawn)
        if drawn.task != config.default.task:
            return
        begin_course(drawn, task)
        # What a model is made of is tried as it is made, which takes a while.
        kinds = [(model.mixer, model.positions) for model in models]
        if (drawn.model.mixer, drawn.model.positions) not in kinds:
            require_sound_model(drawn.model, task)
            models.append(drawn.model)

    require_sound_task(task)
    check(config.default_tree)
    for where, error in config.space.refused(check, np.random.default_rng(0), draws=1):
        raise UserError(f"{where}: {error}") from error


def require_probes(
    sections: SweepSections, diagnostics: DiagnosticsConfig, thought: ThoughtConfig
) -> None:
    """
    Args:
        thought: with what the sections ask for.

    Raises:
        UserError: trials are to be judged by a column that not all of their reports have.
    """
    for column, key in judging_columns(sections).items():
        if column == "depth_drop" and f"accuracy_x{diagnostics.beyond}" in thought.asked:
            continue
        if column in PROBED and diagnostics.probe != "reports":
            raise UserError(
                key, column, "is not in every report: set diagnostics.probe to reports",
            )  # fmt: skip
        if (remedy := unmeasured(diagnostics).get(column)) is not None:
            raise UserError(key, column, f"is in no report: {remedy}")
