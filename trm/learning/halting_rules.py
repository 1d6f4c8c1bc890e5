"""When a row stops thinking, by name. A plug-in adds its own with `HALTING_RULES["mine"] = Mine`.

>>> HALTING_RULES["threshold"]().threshold
0.5
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import torch
from pydantic import (
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from torch import Tensor

from curricula.component import Component, NameIn, SectionIn
from curricula.limits import MOST_SUPERVISION
from trm.learning.probabilities import LOG_PROBABILITIES
from trm.network.model import ModelConfig, Output

THRESHOLD: Literal["threshold"] = "threshold"
"""The rule of a section that names none."""

MOST_RECALLED = 64
"""Earlier answers that a rule may look at: each is kept for every row of the batch."""


class HaltingRule(Component):
    """How a row of the batch comes to its end. Subclasses fix `name` and say when.

    What a rule does not decide: a row that has had all its steps halts, and under exploration no
    row halts early.

    >>> class AtOnce(HaltingRule):
    ...     name: Literal["at_once"] = "at_once"
    ...
    ...     def wants_to_halt(self, output, steps, model):
    ...         return torch.ones_like(steps, dtype=torch.bool)
    >>> AtOnce().stops(None, torch.tensor([1, 2]), None)
    tensor([True, True])
    """

    name: str

    @property
    def recalls(self) -> int:
        """How many earlier answers of a row it looks at, in `output.recalled`."""
        return 0

    @property
    def watches(self) -> bool:
        """Whether it looks at how far the step moved the states, in `output.residual`."""
        return False

    def wants_to_halt(self, output: Output, steps: Tensor, model: ModelConfig) -> Tensor:
        """Rows at which training would stop thinking, bool `[batch]`; without a gradient.

        Args:
            output: what the supervision step says.
            steps: supervision steps that each row has had, this one included, `[batch]`.
        """
        raise NotImplementedError(self.name)

    def stops(self, output: Output, steps: Tensor, model: ModelConfig) -> Tensor:
        """The same in evaluation, which scores stopping so beside its full depth."""
        return self.wants_to_halt(output, steps, model)

    @model_serializer(mode="wrap")
    def _tree(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Configs that were written before there were others do not name the first rule.
        tree: dict[str, Any] = handler(self)
        return {key: value for key, value in tree.items() if (key, value) != ("name", THRESHOLD)}


class HaltingConfig(HaltingRule):
    """When to stop thinking: once the halting head is sure enough.

    Evaluation runs every step, as the reference does, and scores beside it what stopping would
    give.

    Attributes:
        threshold: in training, the halting probability past which a row halts (0.5 is the
            reference's `q_halt > 0`); with the continue head it halts once the halting logit
            passes the continue logit instead.
        eval_threshold: the halting probability at which stopping is scored in evaluation; null
            is 0.5.
    """

    name: Literal["threshold"] = THRESHOLD
    threshold: float = Field(default=0.5, gt=0.0, lt=1.0)
    eval_threshold: float | None = Field(default=None, gt=0.0, lt=1.0)

    def wants_to_halt(self, output: Output, steps: Tensor, model: ModelConfig) -> Tensor:
        if model.no_ACT_continue:
            return output.q_halt > _logit(self.threshold)
        return output.q_halt > output.q_continue

    def stops(self, output: Output, steps: Tensor, model: ModelConfig) -> Tensor:
        return output.q_halt > _logit(self.stops_past)

    @property
    def stops_past(self) -> float:
        """The halting probability past which evaluation stops."""
        return 0.5 if self.eval_threshold is None else self.eval_threshold


def _logit(probability: float) -> float:
    return math.log(probability / (1.0 - probability))


class FixedHalting(HaltingRule):
    """After a number of steps that is the same for every row.

    Attributes:
        steps: supervision steps of a row; null is all that the model has.
    """

    name: Literal["fixed"] = "fixed"
    steps: int | None = Field(default=None, ge=1, le=MOST_SUPERVISION)

    def wants_to_halt(self, output: Output, steps: Tensor, model: ModelConfig) -> Tensor:
        if self.steps is None:
            return torch.zeros_like(steps, dtype=torch.bool)
        return steps >= self.steps


class ResidualHalting(HaltingRule):
    """Once a step moves the state by little of its size: it has come to a fixed point.

    ||z' - z|| / ||z|| below the threshold; stopping at fixed points: arXiv 2606.18206.

    Attributes:
        threshold: in training, the residual below which a row halts.
        eval_threshold: likewise in evaluation; null is the same.
        state: whose residual: of the answer `H`, the latent `L`, or the larger of `both`.
    """

    name: Literal["residual"] = "residual"
    threshold: float = Field(default=0.01, gt=0.0, le=1e3)
    eval_threshold: float | None = Field(default=None, gt=0.0, le=1e3)
    state: Literal["H", "L", "both"] = "H"

    @property
    def watches(self) -> bool:
        return True

    def wants_to_halt(self, output: Output, steps: Tensor, model: ModelConfig) -> Tensor:
        return self._moved(output) < self.threshold

    def stops(self, output: Output, steps: Tensor, model: ModelConfig) -> Tensor:
        return self._moved(output) < (self.eval_threshold or self.threshold)

    def _moved(self, output: Output) -> Tensor:
        assert output.residual is not None
        if self.state == "both":
            return output.residual.amax(dim=1)
        return output.residual[:, 0 if self.state == "H" else 1]


class ConfidenceHalting(HaltingRule):
    """Once the cells' most likely tokens are likely enough.

    Attributes:
        threshold: in training, the probability above which a row halts.
        eval_threshold: likewise in evaluation; null is the same.
        over: of all cells the `mean`, or the `least` sure one.
        probabilities: what makes logits probabilities: `stablemax` or `softmax`, as the loss has
            it.
    """

    name: Literal["confidence"] = "confidence"
    threshold: float = Field(default=0.9, gt=0.0, lt=1.0)
    eval_threshold: float | None = Field(default=None, gt=0.0, lt=1.0)
    over: Literal["mean", "least"] = "least"
    probabilities: Annotated[str, NameIn(LOG_PROBABILITIES)] = "stablemax"

    def wants_to_halt(self, output: Output, steps: Tensor, model: ModelConfig) -> Tensor:
        return self._sure(output) > self.threshold

    def stops(self, output: Output, steps: Tensor, model: ModelConfig) -> Tensor:
        return self._sure(output) > (self.eval_threshold or self.threshold)

    def _sure(self, output: Output) -> Tensor:
        logs = LOG_PROBABILITIES[self.probabilities](output.logits.float())
        cells = logs.amax(dim=-1).exp()
        return cells.mean(dim=1) if self.over == "mean" else cells.amin(dim=1)


class UnchangedHalting(HaltingRule):
    """Once the answer has stayed the same.

    Attributes:
        patience: steps in a row that have left it as it was.
    """

    name: Literal["unchanged"] = "unchanged"
    patience: int = Field(default=1, ge=1, le=MOST_RECALLED)

    @property
    def recalls(self) -> int:
        return self.patience

    def wants_to_halt(self, output: Output, steps: Tensor, model: ModelConfig) -> Tensor:
        return _repeats(output, self.patience).all(dim=1)


class CycleHalting(HaltingRule):
    """Once an answer comes again: the recursion runs in a circle, or stands still.

    Attributes:
        period: steps back that are looked at; 2 sees an answer that alternates with another.
    """

    name: Literal["cycle"] = "cycle"
    period: int = Field(default=2, ge=1, le=MOST_RECALLED)

    @property
    def recalls(self) -> int:
        return self.period

    def wants_to_halt(self, output: Output, steps: Tensor, model: ModelConfig) -> Tensor:
        return _repeats(output, self.period).any(dim=1)


def _repeats(output: Output, back: int) -> Tensor:
    """Which of the last `back` answers, newest first, are this step's, bool `[batch, back]`."""
    assert output.recalled is not None
    answers = output.logits.argmax(dim=-1).to(output.recalled.dtype)
    return (output.recalled[:, :back] == answers[:, None]).all(dim=-1)


HALTING_RULES: dict[str, type[HaltingRule]] = {
    THRESHOLD: HaltingConfig,
    "fixed": FixedHalting,
    "residual": ResidualHalting,
    "confidence": ConfidenceHalting,
    "unchanged": UnchangedHalting,
    "cycle": CycleHalting,
}
"""The rules that `halting.name` can name; a plug-in adds its own."""

AnyHalting = SerializeAsAny[Annotated[HaltingRule, SectionIn(HALTING_RULES, THRESHOLD)]]


def logit_threshold(rule: HaltingRule) -> float | None:
    """The halting probability past which evaluation stops; None for a rule that looks at more."""
    if not isinstance(rule, HaltingConfig) or type(rule).stops is not HaltingConfig.stops:
        return None
    return rule.stops_past
