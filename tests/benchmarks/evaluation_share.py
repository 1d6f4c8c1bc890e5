"""What of a run's time its evaluations take: all of `valid` at each report, and as it is bounded.

Evaluations and steps take turns in one process on one thread; a run's time is put together from
them, with `trm.training.budget.early_examples` examples before the last report.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch

from tests.benchmarks.step import build, preset
from trm.training.trainer import Trainer

PRESETS = ("arrows4", "arrows5", "sudoku6", "sudoku9", "maze")
ROUNDS, STEPS = 3, 6


@dataclass(frozen=True)
class Share:
    """Of one preset; times are CPU seconds.

    Attributes:
        step: a training step.
        early: an evaluation before the last.
        whole: the last one.
        steps: of a run.
        reports: of a run.
        examples: of an early evaluation, and of the last.
    """

    step: float
    early: float
    whole: float
    steps: int
    reports: int
    examples: tuple[int, int]

    @property
    def before(self) -> float:
        """Of the training time, with all examples each time."""
        return self.reports * self.whole / (self.steps * self.step)

    @property
    def after(self) -> float:
        """The same as it is now."""
        return (self.whole + (self.reports - 1) * self.early) / (self.steps * self.step)

    def text(self) -> str:
        """How many examples, and when."""
        early, whole = self.examples
        return f"{early} of {whole} examples before the last of {self.reports} reports"


def measured(name: str) -> Share:
    """Time a preset at its defaults; a budget in minutes is turned into steps here."""
    trainer = build(preset(name))
    for _ in range(STEPS):  # fills the batch, and warms up
        trainer.train_step()
    found: dict[str, list[float]] = {"step": [], "early": [], "whole": []}
    examiner = trainer.examiner
    for _ in range(ROUNDS):
        found["step"].append(_seconds(partial(_train, trainer)) / STEPS)
        for key in ("early", "whole"):
            found[key].append(_seconds(partial(_evaluate, trainer, key == "whole")))
    step, early, whole = (median(times) for times in found.values())
    flops = trainer._flops(trainer.stage.depth)
    return Share(
        step, early, whole, round(trainer.budget / flops), len(trainer.marks), examiner.counts
    )


def _seconds(work: partial[None]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _train(trainer: Trainer) -> None:
    for _ in range(STEPS):
        trainer.train_step()


def _evaluate(trainer: Trainer, last: bool) -> None:
    for live in (False, True) if trainer.ema is not None else (False,):
        trainer.examiner.evaluate_at_mark(last, live)


def main() -> None:
    torch.set_num_threads(1)
    print("| preset | step ms | early s | whole s | all each time | bounded | |")
    for name in PRESETS:
        one = measured(name)
        print(
            f"| {name} | {1e3 * one.step:.1f} | {one.early:.2f} | {one.whole:.2f} "
            f"| {one.before:.1%} | {one.after:.1%} | {one.text()} |",
            flush=True,
        )
