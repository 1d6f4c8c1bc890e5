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
        collapsed: training ended as a failure: at the last report its accuracy had collapsed
            (`diagnostics.collapse`), or a detector of `diagnostics.stop_on` had fired.
        evaluated: examples of `valid` that the shares are shares of.
        loss_spikes: steps since the last report with a loss above `diagnostics.spike_factor`
            rolling medians.
        loss_spike_ratio: the highest loss since the last report, in rolling medians.
        grad_norm_max: the highest gradient norm since the last report, before clipping.
        grad_spike_ratio: the highest gradient norm since the last report, in rolling medians.
        update_ratio: norm of the last optimiser step over the norm of the weights before it.
        q_min: the least halting logit on `valid`, all steps.
        q_max: the greatest.
        ema_gap: exact accuracy with EMA weights minus that of the live weights.
        drop_from_peak: highest exact accuracy of any report so far minus this one's.
        findings: failure detectors that have fired so far.
        trainset_exact_accuracy: exact accuracy at full depth on the first `diagnostics.examples`
            training examples as they stand in the data. This and what follows, up to
            `spectral_radius`, is measured at probed reports alone, else null.
        train_gap: `trainset_exact_accuracy` minus that of as many examples of `valid`.
        residual_H: ||z' - z|| / ||z|| of the answer state at the last step, mean over examples.
        residual_L: the same of the latent state.
        late_residual: `residual_H` at `diagnostics.beyond` times the trained depth.
        settled: share of examples with a late residual below `diagnostics.settle_below`.
        exact_accuracy_2x: exact accuracy at twice the trained supervision steps, on the probe's
            examples.
        exact_accuracy_4x: at four times.
        exact_accuracy_8x: at eight times.
        depth_drop: exact accuracy at the trained depth minus that at `diagnostics.beyond` times
            it, on the same examples.
        spectral_radius: of the Jacobian of one supervision step's map of the state, after the last
            step, median over examples; estimated by power iteration, to 10-20 %.
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
    collapsed: bool = False
    evaluated: int = 0
    loss_spikes: int = 0
    loss_spike_ratio: float = 1.0
    grad_norm_max: float = 0.0
    grad_spike_ratio: float = 1.0
    update_ratio: float = 0.0
    q_min: float = 0.0
    q_max: float = 0.0
    ema_gap: float = 0.0
    drop_from_peak: float = 0.0
    findings: int = 0
    trainset_exact_accuracy: float | None = None
    train_gap: float | None = None
    residual_H: float | None = None
    residual_L: float | None = None
    late_residual: float | None = None
    settled: float | None = None
    exact_accuracy_2x: float | None = None
    exact_accuracy_4x: float | None = None
    exact_accuracy_8x: float | None = None
    depth_drop: float | None = None
    spectral_radius: float | None = None

    def row(self) -> dict[str, Any]:
        """The report as a flat dictionary, column name to value."""
        return asdict(self)


COLUMNS: dict[str, str] = {
    column.name: str(column.type).removesuffix(" | None") for column in fields(Report)
}
"""Every column and its type (`int`, `float` or `bool`), in order."""

PROBED = tuple(column.name for column in fields(Report) if str(column.type).endswith("None"))
"""Columns that only probed reports have."""

MACHINE_COLUMNS = ("seconds", "train_seconds", "latency", "memory")
"""Columns that differ when the same run is repeated on the same hardware."""
