"""A halting rule: the model may stop from supervision step `least` on, if it is sure."""

from typing import Literal

from pydantic import Field
from torch import Tensor

from trm.learning.halting import HALTING_RULES, HaltingRule
from trm.network.model import ModelConfig, Output


class PatientConfig(HaltingRule):
    """Not before a step.

    Attributes:
        least: supervision steps that every example gets.
        margin: how far the halting logit must be above 0.
    """

    name: Literal["patient"] = "patient"
    least: int = Field(default=2, ge=1)
    margin: float = Field(default=0.0, ge=0.0)

    def wants_to_halt(self, output: Output, steps: Tensor, model: ModelConfig) -> Tensor:
        return (output.q_halt > self.margin) & (steps >= self.least)


HALTING_RULES["patient"] = PatientConfig
