"""Rollouts of a model over puzzles, and what each says after every supervision step.

One pass is enough for every depth up to the deepest rollout and every breadth up to their number:
what a shallower or narrower model would answer is a part of the recording. The first rollout is the
model as it is; the others have noise on their state, and random initial states where the model was
trained with those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm.learning.halting import HaltingRule
from trm.learning.memory import Onlooker
from trm.network.model import TRM, Latent, Output
from trm.network.noise import Noise
from trm.network.residual import residual
from trm.tasks.base import Split, Task, Tokens
from trm.thought.config import NoiseConfig
from trm.thought.judge import Judge
from trm.thought.noise import noise_streams, with_noise


@dataclass(frozen=True)
class Rollout:
    """What one rollout says of n puzzles after each of its T steps; every array is `[T, n]`.

    Attributes:
        q: float32, the halting logit.
        residual: float32, `residual` of the answer state over the step.
        answer: int32, the number of its answer among the different ones to the puzzle.
        right: bool, whether that answer is right.
        valid: bool, whether the verifier accepts it.
        halts: bool, whether the halting rule would stop there; never where there is none.
    """

    q: NDArray[np.float32]
    residual: NDArray[np.float32]
    answer: NDArray[np.int32]
    right: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    halts: NDArray[np.bool_]

    @property
    def steps(self) -> int:
        """T."""
        return len(self.q)


@dataclass(frozen=True)
class Rollouts:
    """All rollouts, the deepest first.

    Attributes:
        rollouts: what each said.
        answers: to each puzzle, its different answers, int32 `[answers, seq_len]`, by their
            numbers; empty where they were not kept.
    """

    rollouts: Sequence[Rollout]
    answers: Sequence[Tokens] = ()

    @property
    def puzzles(self) -> int:
        """n."""
        return int(self.rollouts[0].q.shape[1])


@torch.no_grad()
def record(
    model: TRM,
    task: Task,
    split: Split,
    steps: Sequence[int],
    *,
    noise: NoiseConfig,
    batch_size: int,
    device: torch.device,
    seed: int = 0,
    halting: HaltingRule | None = None,
    keep: bool = False,
    progress: Callable[[float], object] | None = None,
) -> Rollouts:
    """Run rollouts over all puzzles, `batch_size` rows at once.

    Args:
        steps: supervision steps of each rollout, none more than the one before.
        noise: of all but the first.
        halting: is asked at each step whether it would stop; everything runs to its end.
        keep: whether answers are kept, which takes memory for each that differs.
        progress: told the share of the work that is done.
    """
    assert list(steps) == sorted(steps, reverse=True), steps
    model.eval()
    batches: list[list[Rollout]] = []
    kept: list[Tokens] = []
    rows = max(min(batch_size, len(split)), 1)
    work, done = len(split) * sum(steps), 0
    for begin in range(0, len(split), rows):
        part = slice(begin, begin + rows)
        judge = Judge(task, split.inputs[part], split.labels[part])
        inputs = torch.from_numpy(split.inputs[part]).to(device)
        identifiers = torch.from_numpy(split.puzzle_identifiers[part]).to(device)
        found: list[Rollout] = []
        for group in _groups(steps, max(batch_size // rows, 1)):
            streams: list[torch.Generator | None] = [*noise_streams(seed, group, begin, device)]
            if group[0] == 0:
                streams[0] = None
            told = _Told(len(group))
            stops = _stopping(halting, model)
            forming = _run(model, inputs, identifiers, steps[group[0]], noise, streams)
            for before, after, output in forming:
                moved = residual(before.z_H, after.z_H)
                told.add(output, moved, stops(before, after, output), judge)
                done += len(inputs) * len(group)
                if progress is not None:
                    progress(done / work)
            found += told.rollouts()
        batches.append(found)
        if keep:
            kept += [np.stack(answers) for answers in judge.answers]
    rollouts = [_joined([batch[index] for batch in batches]) for index in range(len(steps))]
    return Rollouts(rollouts, kept)


def _groups(steps: Sequence[int], at_once: int) -> Iterator[list[int]]:
    """Rollouts of equally many steps, so many at once."""
    for _, found in groupby(range(len(steps)), lambda index: steps[index]):
        alike = list(found)
        for begin in range(0, len(alike), at_once):
            yield alike[begin : begin + at_once]


def _run(
    model: TRM,
    inputs: Tensor,
    identifiers: Tensor,
    steps: int,
    noise: NoiseConfig,
    streams: Sequence[torch.Generator | None],
) -> Iterator[tuple[Latent, Latent, Output]]:
    """The state of all these rollouts before each step and after it, and what the step says."""
    starts = [
        model.fresh_latent(len(inputs), None if stream is None else Noise(stream))
        for stream in streams
    ]
    latent = Latent(*(torch.cat(z) for z in zip(*((s.z_H, s.z_L) for s in starts), strict=True)))
    inputs, identifiers = inputs.repeat(len(streams), 1), identifiers.repeat(len(streams))
    for step in range(steps):
        before = latent
        disturbed = with_noise(before, noise, streams, first=step == 0)
        latent, output = model(disturbed, inputs, identifiers)
        yield before, latent, output


def _stopping(rule: HaltingRule | None, model: TRM) -> Callable[[Latent, Latent, Output], Tensor]:
    """Which rows a rule would stop after each step, from the states around it and its output."""
    if rule is None:
        return lambda before, after, output: torch.zeros_like(output.q_halt, dtype=torch.bool)
    return Onlooker(rule, model.config).stops


class _Told:
    """What rollouts that run together have said so far, a list an array: `[rollouts * n]` a step.

    Args:
        many: the rollouts.
    """

    def __init__(self, many: int) -> None:
        self._many = many
        self._columns: list[list[NDArray[np.generic]]] = [[] for _ in range(6)]

    def add(self, output: Output, moved: Tensor, halts: Tensor, judge: Judge) -> None:
        answers = output.logits.argmax(-1).to(torch.int32).cpu().numpy()
        verdict = judge.judge(answers)
        values = (
            output.q_halt.float().cpu().numpy(),
            moved.cpu().numpy(),
            verdict.answer,
            verdict.right,
            verdict.valid,
            halts.cpu().numpy(),
        )
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)

    def rollouts(self) -> list[Rollout]:
        """Each on its own."""
        whole = [np.stack(column) for column in self._columns]
        parts = [np.split(column, self._many, axis=1) for column in whole]
        return [Rollout(*columns) for columns in zip(*parts, strict=True)]


def _joined(batches: Sequence[Rollout]) -> Rollout:
    """One rollout over all batches of puzzles."""
    columns = zip(*(vars(batch).values() for batch in batches), strict=True)
    return Rollout(*(np.concatenate(parts, axis=1) for parts in columns))
