"""A trained model as graphs that need nothing of this project: a supervision step, and the loop.

Both compute in float32 with torch's own operations. `SupervisionStep` is one step with what its
caller has to carry; `Think` runs it until every row has stopped. A row that stops keeps its answer
while the others go on.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from trm.learning.halting import HaltingConfig, HaltingRule, logit_threshold
from trm.learning.losses import LossConfig
from trm.learning.memory import blank_memory, remembered, seen
from trm.network.model import TRM, Latent

Thought = tuple[Tensor, Tensor, Tensor]
"""Answers int64 `[batch, seq_len]`, halting probabilities `[batch]`, and steps taken `[batch]`."""
_PLAIN = LossConfig()
"""A loss that remembers nothing."""


class SupervisionStep(nn.Module):
    """One supervision step: what is carried in, what is said and what is carried on.

    Args:
        model: a copy of it computes in float32.
        rule: where a row stops; None is the threshold on the halting probability.

    Attributes:
        carried: names of what a caller passes on from one step to the next, `z_H`, `z_L`, and for a
            rule that looks back `recalled`; at step 1 their values do not count.
    """

    def __init__(self, model: TRM, rule: HaltingRule | None = None) -> None:
        super().__init__()
        self.model = deepcopy(model).float().eval()
        self.model.dtype = torch.float32
        self.model.fused = self.model.compiled = None
        self.model.requires_grad_(False)
        self.rule = HaltingConfig() if rule is None else rule
        self.by_threshold = logit_threshold(self.rule) is not None
        self.carried = ("z_H", "z_L", *(("recalled",) if self.rule.recalls else ()))

    def blank(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """What is carried into step 1 for inputs `[batch, seq_len]`; none of it counts."""
        batch, seq_len = inputs.shape
        z = torch.zeros(batch, self.model.positions, self.model.config.hidden_size)
        memory = blank_memory(self.rule, _PLAIN, batch, seq_len, 0, inputs.device)
        return (z, z.clone(), *memory.values())

    def forward(
        self,
        inputs: Tensor,
        puzzle_identifiers: Tensor,
        step: Tensor,
        threshold: Tensor,
        *carried: Tensor,
    ) -> tuple[Tensor, ...]:
        """
        Args:
            inputs: tokens, int64 `[batch, seq_len]`.
            puzzle_identifiers: int64 `[batch]`.
            step: which supervision step of these rows it is, from 1; int64 without an axis.
            threshold: halting probability past which a row stops, float32 without an axis; at 1
                none stops. A rule of another kind has its own, and at 1 stops none either.
            carried: as `self.carried` names them.

        Returns:
            Answers int64 `[batch, seq_len]`, halting probabilities float32 `[batch]`, whether each
            row stops here, bool `[batch]`, and what is carried on.
        """
        first = step == 1
        fresh = self.model.fresh_latent(inputs.shape[0])
        before = Latent(
            torch.where(first, fresh.z_H, carried[0]), torch.where(first, fresh.z_L, carried[1])
        )
        after, output = self.model(before, inputs, puzzle_identifiers)
        memory = {}
        if self.rule.recalls:
            memory["recalled"] = torch.where(first, torch.full_like(carried[2], -1), carried[2])
        chance = output.q_halt.sigmoid()
        if self.by_threshold:
            # On the logit, as training and evaluation have it: a chance rounds to 1 before it is.
            stops = output.q_halt > torch.log(threshold / (1.0 - threshold).clamp(min=0.0))
        else:
            steps = step.expand(inputs.shape[0])
            told = seen(self.rule, output, before, after, memory)
            stops = self.rule.stops(told, steps, self.model.config) & (threshold < 1.0)
        memory = remembered(memory, output, _PLAIN)
        answers = output.logits.argmax(dim=-1)
        return (answers, chance, stops, after.z_H, after.z_L, *memory.values())


class Think(nn.Module):
    """Supervision steps until every row has stopped, or they are used up.

    Args:
        step: what is repeated.
        graph: the same as it was exported, whose operations alone make up the loop.
    """

    def __init__(self, step: SupervisionStep, graph: nn.Module) -> None:
        super().__init__()
        self.repeated = graph
        self._blank = step.blank

    def forward(
        self, inputs: Tensor, puzzle_identifiers: Tensor, steps: Tensor, threshold: Tensor
    ) -> Thought:
        """
        Args:
            inputs: tokens, int64 `[batch, seq_len]`.
            puzzle_identifiers: int64 `[batch]`.
            steps: at most, int64 without an axis.
            threshold: as of `SupervisionStep`.
        """
        batch = inputs.shape[0]
        begun = (
            torch.ones((), dtype=torch.int64),
            torch.zeros(batch, dtype=torch.bool),
            torch.zeros_like(inputs),
            torch.zeros(batch),
            torch.zeros(batch, dtype=torch.int64),
            *self._blank(inputs),
        )

        def goes_on(number: Tensor, done: Tensor, *rest: Tensor) -> Tensor:
            return (number <= steps) & ~done.all()

        def body(
            number: Tensor, done: Tensor, answers: Tensor, chance: Tensor, taken: Tensor,
            *carried: Tensor,
        ) -> tuple[Tensor, ...]:  # fmt: skip
            said = self.repeated(inputs, puzzle_identifiers, number, threshold, *carried)
            return (
                number + 1,
                done | said[2],
                torch.where(done[:, None], answers, said[0]),
                torch.where(done, chance, said[1]),
                torch.where(done, taken, number),
                *said[3:],
            )

        found = torch.while_loop(goes_on, body, begun)  # type: ignore[no-untyped-call]
        return found[2], found[3], found[4]


def example(step: SupervisionStep, seq_len: int, batch: int = 2) -> dict[str, Tensor]:
    """Arguments of a step by name, in its order, of the shapes and types that it takes."""
    inputs = torch.zeros(batch, seq_len, dtype=torch.int64)
    return {
        "inputs": inputs,
        "puzzle_identifiers": torch.zeros(batch, dtype=torch.int64),
        "step": torch.ones((), dtype=torch.int64),
        "threshold": torch.tensor(0.5),
        **dict(zip(step.carried, step.blank(inputs), strict=True)),
    }


def exported_step(step: SupervisionStep, seq_len: int) -> torch.export.ExportedProgram:
    """A step as a graph for any number of rows."""
    rows = torch.export.Dim("batch", min=1)
    given = example(step, seq_len)
    fixed = {"step": None, "threshold": None}
    shapes = {name: fixed.get(name, {0: rows}) for name in given}
    first = ("inputs", "puzzle_identifiers", "step", "threshold")
    dynamic = {name: shapes[name] for name in first}
    dynamic["carried"] = tuple({0: rows} for _ in step.carried)  # type: ignore[assignment]
    with torch.no_grad():
        return torch.export.export(
            step, tuple(given.values()), dynamic_shapes=dynamic, strict=False
        )


def exported_think(
    step: SupervisionStep, program: torch.export.ExportedProgram, seq_len: int
) -> torch.export.ExportedProgram:
    """The whole loop as a graph for any number of rows.

    Args:
        step: what is repeated.
        program: the same, exported.
    """
    think = Think(step, program.module(check_guards=False))
    rows = torch.export.Dim("batch", min=1)
    given = example(step, seq_len)
    args = (given["inputs"], given["puzzle_identifiers"], torch.tensor(4), given["threshold"])
    shapes = {
        "inputs": {0: rows}, "puzzle_identifiers": {0: rows}, "steps": None, "threshold": None
    }  # fmt: skip
    with torch.no_grad():
        return torch.export.export(think, args, dynamic_shapes=shapes, strict=False)


def save_program(program: torch.export.ExportedProgram, path: Path) -> None:
    """Write a graph that `torch.export.load` reads, without the lines of code that it came from."""
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)
    torch.export.save(program, path)
