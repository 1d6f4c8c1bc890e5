"""Exact accuracy, halting metrics and the answers of a model on a fixed set of puzzles."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm.learning.halting import HaltingRule, logit_threshold
from trm.learning.halting_quality import auc, calibration_error, coverage
from trm.learning.losses import TOKEN_LOSSES, LossConfig
from trm.learning.memory import Onlooker
from trm.network.float64 import in_float64
from trm.network.model import TRM, Output
from trm.ranks import ALONE, Ranks
from trm.tasks.base import IGNORE, Split, Task, Tokens

_SAMPLE_SEED = 20_202


@dataclass(frozen=True)
class Thinking:
    """What a model answers after each supervision step, for n puzzles and T steps.

    Attributes:
        answers: int32 `[T, n, seq_len]`, the most likely tokens.
        q_halt: float32 `[T, n]`, the halting logit; the model would stop where it passes 0.
        halts: bool `[T, n]`, where it would stop by a rule that looks at more than that logit.
        lm_loss: float32 `[n]`, token loss of the last step, nan where labels are unknown.
        seconds: that the model took for all of it.
    """

    answers: NDArray[np.int32]
    q_halt: NDArray[np.float32]
    lm_loss: NDArray[np.float32]
    seconds: float = field(default=0.0, compare=False)
    halts: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Evaluation:
    """Metrics over one split; the fields mean what the same columns of `Report` mean."""

    examples: int
    exact_accuracy: float
    cell_accuracy: float
    blank_accuracy: float
    valid_rate: float
    lm_loss: float
    halt_loss: float
    halt_accuracy: float
    halt_auc: float
    mean_steps: float
    early_exact_accuracy: float
    best_q_accuracy: float = 0.0
    halt_ece: float = 1.0
    coverage_99: float = 0.0
    q_min: float = 0.0
    q_max: float = 0.0
    latency: float = field(default=0.0, compare=False)


@torch.no_grad()
def think(
    model: TRM,
    inputs: Tensor,
    puzzle_identifiers: Tensor,
    steps: int,
    drafts: Tensor | None = None,
) -> Iterator[Output]:
    """What the model says of each puzzle after each supervision step."""
    for output, _ in watched(model, inputs, puzzle_identifiers, steps, None, drafts):
        yield output


@torch.no_grad()
def watched(
    model: TRM,
    inputs: Tensor,
    puzzle_identifiers: Tensor,
    steps: int,
    rule: HaltingRule | None,
    drafts: Tensor | None = None,
) -> Iterator[tuple[Output, Tensor | None]]:
    """The same, each with the puzzles that a rule would stop there, bool `[n]`.

    Args:
        rule: None asks nobody.
        drafts: what the answers begin from, `[n, seq_len]`, see `TRM.drafted`; None: nothing.
    """
    onlooker = None if rule is None else Onlooker(rule, model.config)
    latent = model.fresh_latent(len(inputs), drafts=drafts)
    for _ in range(steps):
        before = latent
        latent, output = model(before, inputs, puzzle_identifiers)
        yield output, None if onlooker is None else onlooker.stops(before, latent, output)


def solve(
    model: TRM,
    split: Split,
    *,
    steps: int,
    batch_size: int,
    device: torch.device,
    loss: LossConfig | None = None,
    halting: HaltingRule | None = None,
    drafts: Tokens | None = None,
) -> Thinking:
    """Run every puzzle of a split for `steps` supervision steps, in batches.

    Args:
        halting: is asked where the model would stop; None asks nobody.
        drafts: what the answers begin from, `[n, seq_len]`, `IGNORE` where nothing is said.
    """
    at = time.perf_counter()
    answers, halts, losses, stops = [], [], [], []
    # A threshold on the halting logit can be taken afterwards, at any value.
    rule = halting if halting and logit_threshold(halting) is None else None
    token_loss = TOKEN_LOSSES[(loss or LossConfig()).loss_type]
    for begin in range(0, len(split), batch_size):
        rows = slice(begin, begin + batch_size)
        inputs = torch.from_numpy(split.inputs[rows]).to(device)
        labels = torch.from_numpy(split.labels[rows]).to(device)
        identifiers = torch.from_numpy(split.puzzle_identifiers[rows]).to(device)
        batch_answers, batch_halts, batch_stops = [], [], []
        output = None
        begun = None if drafts is None else torch.from_numpy(drafts[rows]).to(device)
        for output, stopped in watched(model, inputs, identifiers, steps, rule, begun):
            batch_answers.append(output.logits.argmax(-1).to(torch.int32).cpu())
            batch_halts.append(output.q_halt.float().cpu())
            if stopped is not None:
                batch_stops.append(stopped.cpu())
        assert output is not None
        counted = (labels != IGNORE).sum(1).clamp(min=1)
        summed = in_float64(token_loss(output.logits, labels)).sum(1)
        losses.append((summed / counted.to(summed.device)).float().cpu())
        answers.append(torch.stack(batch_answers))
        halts.append(torch.stack(batch_halts))
        if rule is not None:
            stops.append(torch.stack(batch_stops))
    return Thinking(
        torch.cat(answers, 1).numpy(),
        torch.cat(halts, 1).numpy(),
        torch.cat(losses).numpy(),
        time.perf_counter() - at,
        torch.cat(stops, 1).numpy() if stops else None,
    )


def evaluate(
    model: TRM,
    task: Task,
    split: Split,
    *,
    steps: int,
    batch_size: int,
    device: torch.device,
    loss: LossConfig | None = None,
    halting: HaltingRule | None = None,
    ranks: Ranks = ALONE,
) -> Evaluation:
    """Evaluate at full depth: every puzzle runs all `steps`; early stopping is scored beside it.

    Args:
        halting: says where the model would stop; None stops at a halting probability of 0.5.
        ranks: the processes that share the work, each of which is told the result.
    """
    own = _rows(split, ranks.place(len(split)).own) if len(split) >= ranks.size else split
    thinking = solve(
        model, own, steps=steps, batch_size=batch_size, device=device, loss=loss, halting=halting
    )
    if len(own) < len(split):
        thinking = _of_all(thinking, ranks, len(split))
    chosen = logit_threshold(halting) if halting else None
    threshold = 0.5 if chosen is None else chosen
    found = ranks.told(lambda: asdict(score(thinking, task, split, threshold)))
    return Evaluation(**found)


def _of_all(own: Thinking, ranks: Ranks, count: int) -> Thinking:
    """What all processes' models answered, from each one's own part of `count` puzzles."""

    def whole(part: NDArray[Any]) -> NDArray[Any]:
        # Puzzles stand on the last axis but for answers, which have their cells there.
        first = torch.from_numpy(np.ascontiguousarray(np.moveaxis(part, min(1, part.ndim - 1), 0)))
        found: NDArray[Any] = ranks.whole(first, count).numpy()
        return np.ascontiguousarray(np.moveaxis(found, 0, min(1, part.ndim - 1)))

    return replace(
        own,
        answers=whole(own.answers),
        q_halt=whole(own.q_halt),
        lm_loss=whole(own.lm_loss),
        halts=None if own.halts is None else whole(own.halts),
    )


def score(thinking: Thinking, task: Task, split: Split, halt_threshold: float = 0.5) -> Evaluation:
    """The metrics of answers that are already there.

    Args:
        halt_threshold: halting probability above which the model would stop, where no rule said.
    """
    counted = split.labels != IGNORE
    right = (thinking.answers == split.labels) | ~counted
    exact = exact_by_step(thinking, task, split)
    last = right[-1] & counted
    blank = task.unknown(split.inputs) & counted
    threshold = float(np.log(halt_threshold / (1.0 - halt_threshold)))
    q = thinking.q_halt.astype(np.float64)
    halts = q > threshold if thinking.halts is None else thinking.halts
    steps = len(q)
    first = np.where(halts.any(axis=0), halts.argmax(axis=0), steps - 1)
    final, puzzles = exact[-1], np.arange(exact.shape[1])
    with np.errstate(invalid="ignore", over="ignore"):  # a diverged model's q is infinite or nan
        halt_loss = float(np.mean(np.logaddexp(0.0, q[-1]) - q[-1] * final))
        chances = 1.0 / (1.0 + np.exp(-q[-1]))
    return Evaluation(
        examples=len(split),
        exact_accuracy=float(final.mean()),
        cell_accuracy=float(last.sum() / max(counted.sum(), 1)),
        blank_accuracy=float((right[-1] & blank).sum() / max(blank.sum(), 1)),
        valid_rate=float(task.verify(split.inputs, thinking.answers[-1]).mean()),
        lm_loss=float(thinking.lm_loss.mean()),
        halt_loss=halt_loss,
        halt_accuracy=float((halts[-1] == final).mean()),
        halt_auc=auc(q.ravel(), exact.ravel()),
        mean_steps=float(first.mean() + 1.0),
        early_exact_accuracy=float(exact[first, puzzles].mean()),
        best_q_accuracy=float(exact[q.argmax(axis=0), puzzles].mean()),
        halt_ece=calibration_error(chances, final),
        coverage_99=coverage(q[-1], final).share,
        q_min=float(q.min()),
        q_max=float(q.max()),
        latency=thinking.seconds / len(split),
    )


def exact_by_step(thinking: Thinking, task: Task, split: Split) -> NDArray[np.bool_]:
    """Which puzzles have a right answer after each supervision step, bool `[T, n]`."""
    judged = [task.right(split.inputs, split.labels, answers) for answers in thinking.answers]
    return np.stack(judged)


@torch.no_grad()
def right_rows(task: Task, inputs: Tensor, labels: Tensor, logits: Tensor) -> Tensor | None:
    """Which rows of a batch the task's rules call right, bool `[batch]` on the logits' device.

    None where a right answer equals its label, which whoever asks compares without leaving the
    device. The rules are NumPy's: a task with many answers waits for every batch to reach the CPU.
    """
    if not task.many_answers:
        return None
    answers = logits.argmax(-1).to(torch.int32).cpu().numpy()
    found = task.right(inputs.cpu().numpy(), labels.cpu().numpy(), answers)
    return torch.from_numpy(found).to(logits.device)


def sample(split: Split, count: int) -> Split:
    """So many examples of a split, always the same ones, drawn from all of it, in its order.

    A file's examples may be sorted, or come in turns, so neither its first ones nor every k-th one
    stand for the rest. A smaller sample is part of a larger one.
    """
    if count >= len(split):
        return split
    order = np.random.default_rng(_SAMPLE_SEED).permutation(len(split))
    return split.take(np.sort(order[:count]))


def subset(split: Split, count: int | None) -> Split:
    """The first `count` examples of a split (all if None)."""
    if count is None or count >= len(split):
        return split
    return _rows(split, slice(count))


def _rows(split: Split, rows: slice) -> Split:
    return Split(
        split.inputs[rows],
        split.labels[rows],
        split.difficulty[rows],
        split.puzzle_identifiers[rows],
    )
