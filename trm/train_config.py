"""The `train` section: how much a model is trained, on what, and how it is evaluated."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from curricula.component import Component
from curricula.limits import (
    MOST_EXAMPLES,
    MOST_FLOPS,
    MOST_ROWS,
    MOST_SEED,
    MOST_STEPS,
    MOST_SUPERVISION,
    MOST_THREADS,
)
from curricula.pacing import AnyCurve, Curve, require_within
from trm.report import even_marks


class BudgetConfig(Component):
    """How much to train: exactly one of steps, FLOPs or minutes.

    Attributes:
        steps: supervision steps at the model's full depth: a depth curriculum buys more of them
            with the same compute.
        flops: training FLOPs.
        minutes: turned into FLOPs once, by timing a few steps.
    """

    steps: int | None = Field(default=None, gt=0, le=MOST_STEPS)
    flops: float | None = Field(default=None, gt=0, le=MOST_FLOPS)
    minutes: float | None = Field(default=None, gt=0, le=1e7)

    @model_validator(mode="after")
    def _exactly_one(self) -> BudgetConfig:
        given = [key for key, value in self if value is not None]
        if len(given) != 1:
            found = f"holds {' and '.join(given)}" if given else "is empty"
            raise ValueError(f"{found}: give one of steps, flops or minutes, the others null")
        return self


Part = Literal["body", "tokens", "positions", "layers", "start", "head", "halting", "puzzles"]


class FreezeConfig(Component):
    """What of the model stands still at the beginning of a run, as fine-tuning often wants it.

    Attributes:
        parts: what is not trained meanwhile: `body`, everything but the puzzle embedding; or some
            of `tokens` and `positions` (the embeddings of the input), `layers`, `start` (learned
            initial states), `head` (answers), `halting` and `puzzles` (the puzzle embedding).
        share: of the compute budget, from its beginning; 0 freezes nothing, 1 the whole run.
    """

    parts: list[Part] = Field(default=["body"], min_length=1)
    share: float = Field(default=0.0, ge=0.0, le=1.0)


class DraftConfig(Component):
    """Drafts that training examples begin from: the label with some cells redrawn, to be undone.

    With `loss.target_corruption` and `loss.corrupt_with: draft` they are undone over several
    supervision steps, else at once. The redrawing of each cell with a chance, uniformly, is that of
    discrete diffusion (D3PM, arXiv 2107.03006, section 3.1); an example's own chance is uniform
    below `corruption`, so that drafts of every quality are seen.

    Attributes:
        share: of the examples that begin from a draft; the others begin from nothing, so that the
            model needs none. 0 makes no drafts.
        corruption: the largest chance that a cell is redrawn, from 0 to 1; a curve is a curriculum
            over the run, null is 1.
        corrupt_with: what is put in a cell's place: one of the answer's own tokens at `random`,
            which may be the right one, or what the `input` has there.
    """

    share: float = Field(default=0.0, ge=0.0, le=1.0)
    corruption: AnyCurve | None = None
    corrupt_with: Literal["random", "input"] = "random"

    @field_validator("corruption")
    @classmethod
    def _chance(cls, curve: Curve | None) -> Curve | None:
        if curve is not None:
            require_within(curve, 0.0, 1.0)
        return curve

    def corruption_at(self, progress: float) -> float:
        """The largest chance at a share of the compute budget."""
        return 1.0 if self.corruption is None else self.corruption.at(progress)


class TrainConfig(Component):
    """How one model is trained and evaluated.

    `compile: true` needs a C++ compiler on CPUs, triton on CUDA devices. The first steps of a
    process wait for the compiler, so it pays in long runs and in sweeps whose trials share their
    sizes. A graph serves every depth and every trial of the same sizes in a process; each number of
    rows has its own, with gradients and without, and so has each value of a searched size or
    `batch_size`. Set `TORCHINDUCTOR_CACHE_DIR` to a folder that lasts, to keep graphs between
    processes. Results agree with eager ones to rounding only, so a run does not change between the
    two.

    Attributes:
        batch_size: examples of a training step.
        supervision_per_update: supervision steps whose gradients are added before one update of the
            weights; 1 as in the reference, 2 in a proposal for it (its pull request 41). Each
            counts as a step wherever steps are counted.
        budget: how much to train.
        reports: evaluations, spread evenly over the budget.
        ema: decay of the moving average of the weights, which is what is evaluated; null turns
            it off.
        ema_half_life: share of the compute budget over which that average keeps a half of itself,
            in place of `ema`, whatever the run's length; null leaves it to `ema`.
        seed: of initial weights, order, augmentation and exploration, never of the split.
        precision: of the forward pass; `auto` is bfloat16 on CUDA devices and float32
            elsewhere. `mps` has float32 alone.
        device: `cpu`, `cuda`, `cuda:1` and so on, or `mps`, an Apple GPU; `auto` is CUDA if there
            is any, else `mps` unless `precision` or `compile` ask for what it does not have, else
            the CPU. `mps` was tried on a stand-in that computes on the CPU, not on an Apple GPU.
        threads: CPU threads of one training.
        compile: whether the network `f`, one level of the recursion, runs as compiled graphs,
            in training and in its evaluations (`trm eval` and `trm solve` compile nothing).
        kernel: how a CPU computes supervision steps in float32: `fused`, a library that a C++
            compiler builds once a machine and with which a step of a small model takes less than
            half of the time; `eager`, torch's own operations, one after another; `auto`, the first
            where there is a compiler and the model is one that gains. Results agree to rounding
            only, so a run does not change between the two.
        cuda_graphs: whether a CUDA device replays whole training steps as graphs; `auto` records
            one in the first steps, compares it with an eager step on the device, times both, and
            goes on with graphs where they agree and take less time. Not measured on a GPU yet.
        valid_examples: examples of one evaluation at most; null is all.
        eval_share: of the training FLOPs that a run's evaluations may cost, counted without probes
            and at a sweep's default values. Where all of `valid` at each report costs more, reports
            before the last are of fewer of its examples, at least 200 and the same ones for all
            trials of a sweep; the column `evaluated` says how many. null looks at all each time.
        early_examples: of reports before the last; null takes what `eval_share` allows.
        eval_batch_size: examples of a batch of an evaluation.
        freeze: parts of the model that stand still at first; for `trm train --from`.
        draft: answers that training examples begin from, for a model that refines those of others.
    """

    batch_size: int = Field(default=768, ge=1, le=MOST_ROWS)
    supervision_per_update: int = Field(default=1, ge=1, le=MOST_SUPERVISION)
    budget: BudgetConfig = BudgetConfig(steps=60_000)
    reports: int = Field(default=10, ge=1, le=10_000)
    ema: float | None = Field(default=0.999, ge=0.0, lt=1.0)
    ema_half_life: float | None = Field(default=None, gt=0.0, le=100.0)
    seed: int = Field(default=0, ge=0, le=MOST_SEED)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: str = "auto"
    threads: int = Field(default=1, ge=1, le=MOST_THREADS)
    compile: bool = False
    kernel: Literal["auto", "eager", "fused"] = "auto"
    cuda_graphs: Literal["auto", "on", "off"] = "auto"
    valid_examples: int | None = Field(default=None, ge=1, le=MOST_EXAMPLES)
    eval_share: float | None = Field(default=0.05, gt=0.0, le=1.0)
    early_examples: int | None = Field(default=None, ge=1, le=MOST_EXAMPLES)
    eval_batch_size: int = Field(default=512, ge=1, le=MOST_ROWS)
    freeze: FreezeConfig = FreezeConfig()
    draft: DraftConfig = DraftConfig()

    @property
    def averages(self) -> bool:
        """Whether a moving average of the weights is kept."""
        return bool(self.ema) or self.ema_half_life is not None

    @property
    def marks(self) -> tuple[float, ...]:
        """Shares of the compute budget at which a run reports, the last at 1."""
        return even_marks(self.reports)
