"""A first config for a user's own data: size, budget and space that fit it and the machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from trm.files.yaml12 import dump_yaml
from trm.tasks.data import DataTask

TRIAL_SECONDS = {"cpu": 60.0, "gpu": 180.0}
"""What a trial of the first sweep may take: the whole is then done within an hour or two."""
_TO_LEARN = 1000
"""Up to so many steps a trial may take `_PATIENCE` times as long. Eight digits with halves swapped,
six sorted, eight each shifted by its place: 200 steps got 0.01 to 0.04 of them right, 500 to 1,000
steps 0.87 to 0.98 (one seed each); what scores nothing cannot be searched."""
_PATIENCE = 3.0
_ROUND = (200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000, 7000, 10_000, 15_000, 20_000)
_PASSES = 200
"""Steps that visit every example more often than this learn them by heart."""
_LEAST_WARMUP = 50
"""With 15 steps, attention at this learning rate was seen to fall into one constant answer."""


@dataclass(frozen=True)
class FirstSizes:
    """The numbers of a first config.

    Attributes:
        hidden_size: of the model.
        batch_size: examples of a step.
        steps: of a trial.
        valid_examples: of one evaluation.
        warmup: steps of a rising learning rate.
    """

    hidden_size: int
    batch_size: int
    steps: int
    valid_examples: int

    @property
    def warmup(self) -> int:
        """A twentieth of the steps, and enough of them for attention to begin."""
        return max(self.steps // 20, _LEAST_WARMUP)


def first_sizes(task: DataTask, gpu: bool) -> FirstSizes:
    """FirstSizes before anything was timed."""
    train, valid = len(task.split("train")), len(task.split("valid"))
    if gpu:
        hidden, batch = (256 if train >= 10_000 else 128), 256
    else:
        hidden, batch = 64, (64 if task.seq_len <= 128 else 32)
    while batch > 8 and batch * 4 > train:
        batch //= 2
    return FirstSizes(hidden, batch, 1000, min(valid, 2000 if gpu else 500))


def timed_sizes(sizes: FirstSizes, task: DataTask, seconds: float, gpu: bool) -> FirstSizes:
    """The same with as many steps as a trial has time for.

    Args:
        seconds: that a trial with `sizes` takes.
    """
    affordable = sizes.steps * TRIAL_SECONDS["gpu" if gpu else "cpu"] / max(seconds, 1e-9)
    affordable = max(affordable, min(affordable * _PATIENCE, _TO_LEARN))
    useful = max(_PASSES * len(task.split("train")) / sizes.batch_size, _ROUND[0])
    most = min(affordable, useful)
    return replace(sizes, steps=max([n for n in _ROUND if n <= most], default=_ROUND[0]))


def first_config(
    section: dict[str, Any], name: str, task: DataTask, sizes: FirstSizes, cost: str
) -> str:
    """The text of the config.

    Args:
        section: of the task.
        name: of the experiment.
        cost: what a trial and the sweep take, in words; empty before it is known.
    """
    counts = ", ".join(f"{len(task.split(n)):,} {n}" for n in ("train", "valid", "test"))
    names = task.tokens[1:]
    some = " ".join(names[:24]) + (" ..." if len(names) > 24 else "")
    rows, columns = task.grid_shape
    shape = f"a grid of {rows} x {columns} cells" if rows > 1 else f"{task.seq_len} cells"
    kinds = task.num_puzzle_identifiers
    several = f"  # for {kinds:,} puzzle identifiers" if kinds > 1 else ""
    return f"""\
# A first config for {section["file"]}: {counts} examples.
# Any value may be a distribution instead: `trm guide spaces`; every key: `trm keys`.
{cost}name: {name}
# {shape} an example; {len(names)} tokens and padding:
#   {some}
# How the file was understood: `trm tasks check {section["file"]}`.
{dump_yaml({"task": section}).rstrip()}
model:
  mixer: attention            # mlp_t is cheaper, for examples of one length
  hidden_size: {sizes.hidden_size}
  num_heads: 4
  L_layers: 2
  expansion: 2.0
  swiglu_multiple: 32
  puzzle_emb_len: 1{several}
  # Depth of the recursion: the harder the step from input to answer, the more it pays.
  H_cycles: {{int: {{low: 1, high: 3, default: 2}}}}
  L_cycles: {{int: {{low: 1, high: 4, default: 2}}}}
  halt_max_steps: 4           # supervision steps; more for tasks that are solved step by step
  halt_exploration_prob: 0.1
loss:
  halt_weight: {{uniform: {{low: 0.1, high: 1.0, default: 0.5}}}}
optimizer:
  name: adamw
  lr: {{loguniform: {{low: 5.0e-4, high: 1.0e-2, default: 3.0e-3}}}}
  weight_decay: {{loguniform: {{low: 0.01, high: 1.0, default: 0.1}}}}
  lr_warmup_steps: {sizes.warmup}
  lr_min_ratio: 0.1
train:
  batch_size: {sizes.batch_size}
  budget: {{steps: {sizes.steps}}}        # of each trial; the first thing to raise
  reports: 4
  ema: null                   # averaging pays in runs of many thousand steps
  valid_examples: {sizes.valid_examples}
search:
  trials: 16
  scheduler: {{name: asha, min_share: 0.5, eta: 3}}
  sampler: {{name: tpe, n_startup_trials: 6}}
# The best two are run again over fresh seeds, and the winner over three more for its promise.
stability: {{candidates: 2, seeds: 2, promise_seeds: 3}}
"""
