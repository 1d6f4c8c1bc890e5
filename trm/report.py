"""What a training run says of itself at each compute mark: one flat, typed row."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Report:
    """One row of a learning curve. Metrics are shares in [0, 1] on `valid`, with EMA weights if on.

    Attributes:
        mark: index of the compute mark that caused the report, from 1.
        step: supervision steps trained, which is optimiser steps.
        compute: training FLOPs spent (analytic; evaluation not counted).
        progress: share of the compute budget that is spent.
        seconds: seconds spent training and evaluating, all attempts together.
        train_seconds: seconds spent training alone.
        examples: training examples begun.
        exact_accuracy: share of examples with every labelled cell right at the last step.
        cell_accuracy: share of labelled cells that are right.
        blank_accuracy: share of the cells not given in the input that are right.
        valid_rate: share of answers that the task's verifier accepts.
        lm_loss: mean token loss per example.
        halt_loss: mean halting loss per example.
        train_loss: mean training loss per example since the last report, as optimised.
        train_exact_accuracy: share of the training examples that were right when they halted.
        train_steps: mean supervision steps of the training examples that halted.
        halt_accuracy: share of final halting decisions (q > 0) that match correctness.
        halt_auc: area under the ROC curve of q against correctness, all steps; 0.5 if one class.
        mean_steps: mean first step at which the model would halt (the maximum if it never would).
        early_exact_accuracy: exact accuracy when every example stops at its first halt.
        live_exact_accuracy: exact accuracy of the weights without EMA (equal when EMA is off).
        learning_rate: the learning rate of the last step.
        grad_norm: global gradient norm of the last step, before clipping.
        H_cycles: H cycles of the last training step.
        L_cycles: L cycles of the last training step.
        supervision_steps: step at which an example halted at the latest, at the last training step.
        halt_weight: weight of the halting loss at the last training step.
        exploration: exploration probability at the last training step.
        latent_noise: standard deviation of the latent noise at the last training step.
        lr_factor: the curriculum's factor on the learning rate at the last training step.
        train_difficulty: mean place in the order of difficulty, in [0, 1), of the training
            examples begun since the last report (0.5 where all are alike).
        parameters: trainable parameters of the model, embeddings included.
        latency: seconds per example of the last evaluation: all supervision steps, in batches of
            `train.eval_batch_size`.
        memory: peak bytes since training began or was resumed: what torch's allocator handed out
            on CUDA, the process's resident set on a CPU.
        diverged: training met a non-finite loss, gradient or state and stopped.
    """

    mark: int
    step: int
    compute: float
    progress: float
    seconds: float
    train_seconds: float
    examples: int
    exact_accuracy: float
    cell_accuracy: float
    blank_accuracy: float
    valid_rate: float
    lm_loss: float
    halt_loss: float
    train_loss: float
    train_exact_accuracy: float
    train_steps: float
    halt_accuracy: float
    halt_auc: float
    mean_steps: float
    early_exact_accuracy: float
    live_exact_accuracy: float
    learning_rate: float
    grad_norm: float
    H_cycles: int
    L_cycles: int
    supervision_steps: int = 0
    halt_weight: float = 0.0
    exploration: float = 0.0
    latent_noise: float = 0.0
    lr_factor: float = 1.0
    train_difficulty: float = 0.5
    parameters: int = 0
    latency: float = field(default=0.0, compare=False)
    memory: float = field(default=0.0, compare=False)
    diverged: bool = False

    def row(self) -> dict[str, Any]:
        """The report as a flat dictionary, column name to value."""
        return asdict(self)


COLUMNS: dict[str, str] = {column.name: str(column.type) for column in fields(Report)}
"""Every column and its type (`int`, `float` or `bool`), in order."""

MACHINE_COLUMNS = ("seconds", "train_seconds", "latency", "memory")
"""Columns that differ when the same run is repeated on the same hardware."""
