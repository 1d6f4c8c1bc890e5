"""What a training run says of itself at each compute mark: one flat, typed row."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal, get_args, get_type_hints

ReportRow = Mapping[str, Any]
"""A report's columns; any may be missing."""


@dataclass(frozen=True)
class Column:
    """What is known of a column of the reports, said where the column stands.

    Attributes:
        meaning: what it holds.
        better: which values are better; None where neither end is.
        low: the least value that it can have.
        high: the greatest.
        machine: whether it differs when the same run is repeated on the same hardware.
        kind: `int`, `float` or `bool`.
        probed: whether only probed reports have it (`diagnostics.probe`); it is null in others.
        asked: whether only reports have it in which it is asked for (the section `thought`).
    """

    meaning: str
    better: Literal["more", "less"] | None = None
    low: float = -math.inf
    high: float = math.inf
    machine: bool = False
    kind: str = ""
    probed: bool = False
    asked: bool = False

    @property
    def is_share(self) -> bool:
        """Whether values are shares, in [0, 1]."""
        return (self.low, self.high) == (0.0, 1.0)


def share(meaning: str) -> Column:
    """A share of examples or cells, in [0, 1], of which more is better."""
    return Column(meaning, "more", 0.0, 1.0)


def asked_for(column: Column) -> Column:
    """The same as a column that a report has where it is asked for."""
    return replace(column, asked=True)


def cost(meaning: str, machine: bool = False) -> Column:
    """An amount from 0 on, of which less is better."""
    return Column(meaning, "less", 0.0, machine=machine)


@dataclass(frozen=True)
class Report:
    """One row of a learning curve. Metrics are shares in [0, 1] on `valid`, with EMA weights if on.

    A column is one field: objectives, constraints, the ledger, the report page and the guide read
    its type, meaning, direction and bounds here, as `COLUMNS`.

    >>> COLUMNS["halt_auc"].meaning
    'area under the ROC curve of q against correctness, all steps; 0.5 if one class'
    """

    mark: Annotated[int, Column("index of the compute mark that caused the report, from 1")]
    step: Annotated[int, cost("supervision steps trained, which is optimiser steps")]
    compute: Annotated[float, cost("training FLOPs spent (analytic; evaluation not counted)")]
    progress: Annotated[float, Column("share of the compute budget that is spent")]
    seconds: Annotated[
        float, cost("seconds spent training and evaluating, all attempts together", machine=True)
    ]
    train_seconds: Annotated[float, cost("seconds spent training alone", machine=True)]
    examples: Annotated[int, cost("training examples begun")]
    exact_accuracy: Annotated[
        float,
        share(
            "share of examples that are right at the last step: in every labelled cell, or by the "
            "rules where a task has several right answers"
        ),
    ]
    cell_accuracy: Annotated[float, share("share of labelled cells that are right")]
    blank_accuracy: Annotated[
        float, share("share of the cells not given in the input that are right")
    ]
    valid_rate: Annotated[float, share("share of answers that the task's verifier accepts")]
    lm_loss: Annotated[float, cost("mean token loss per example")]
    halt_loss: Annotated[float, cost("mean halting loss per example")]
    train_loss: Annotated[
        float, cost("mean training loss per example since the last report, as optimised")
    ]
    train_exact_accuracy: Annotated[
        float, share("share of the training examples that were right when they halted")
    ]
    train_steps: Annotated[
        float, cost("mean supervision steps of the training examples that halted")
    ]
    halt_accuracy: Annotated[
        float, share("share of final halting decisions (q > 0) that match correctness")
    ]
    halt_auc: Annotated[
        float,
        share("area under the ROC curve of q against correctness, all steps; 0.5 if one class"),
    ]
    mean_steps: Annotated[
        float, cost("mean first step at which the model would halt (the maximum if it never would)")
    ]
    early_exact_accuracy: Annotated[
        float, share("exact accuracy when every example stops at its first halt")
    ]
    live_exact_accuracy: Annotated[
        float, share("exact accuracy of the weights without EMA (equal when EMA is off)")
    ]
    learning_rate: Annotated[float, Column("the learning rate of the last step")]
    grad_norm: Annotated[float, Column("global gradient norm of the last step, before clipping")]
    H_cycles: Annotated[int, Column("H cycles of the last training step")]
    L_cycles: Annotated[int, Column("L cycles of the last training step")]
    supervision_steps: Annotated[
        int, Column("step at which an example halted at the latest, at the last training step")
    ] = 0
    halt_weight: Annotated[
        float, Column("weight of the halting loss at the last training step")
    ] = 0.0
    exploration: Annotated[float, Column("exploration probability at the last training step")] = 0.0
    latent_noise: Annotated[
        float, Column("standard deviation of the latent noise at the last training step")
    ] = 0.0
    lr_factor: Annotated[
        float, Column("the curriculum's factor on the learning rate at the last training step")
    ] = 1.0
    train_difficulty: Annotated[
        float,
        Column(
            "mean place in the order of difficulty, in [0, 1), of the training examples "
            "begun since the last report (0.5 where all are alike)"
        ),
    ] = 0.5
    parameters: Annotated[int, cost("trainable parameters of the model, embeddings included")] = 0
    latency: Annotated[
        float,
        cost(
            "seconds per example of the last evaluation: all supervision steps, in batches "
            "of `train.eval_batch_size`",
            machine=True,
        ),
    ] = field(default=0.0, compare=False)
    latency_ms: Annotated[
        float,
        cost(
            "milliseconds in which one puzzle alone is answered, all supervision steps, on the "
            "device of the run and without compilation: the median of some",
            machine=True,
        ),
    ] = field(default=0.0, compare=False)
    memory: Annotated[
        float,
        cost(
            "peak bytes since training began or was resumed: what torch's allocator handed "
            "out on CUDA, the process's resident set on a CPU",
            machine=True,
        ),
    ] = field(default=0.0, compare=False)
    diverged: Annotated[
        bool, Column("training met a non-finite loss, gradient or state and stopped")
    ] = False
    collapsed: Annotated[
        bool,
        Column(
            "training ended as a failure: at the last report its accuracy had collapsed "
            "(`diagnostics.collapse`), or a detector of `diagnostics.stop_on` had fired"
        ),
    ] = False
    evaluated: Annotated[int, Column("examples of `valid` that the shares are shares of")] = 0
    best_q_accuracy: Annotated[
        float,
        share(
            "exact accuracy when each example's answer is that of the step with the highest "
            "halting logit"
        ),
    ] = 0.0
    halt_ece: Annotated[
        float,
        cost(
            "expected calibration error of the halting probability at the last step, in 15 bins "
            "of equal width: the mean gap between a stated chance and the share that is right"
        ),
    ] = 1.0
    coverage_99: Annotated[
        float,
        share(
            "share of examples that are answered, by the halting logit at the last step, where "
            "a threshold on it makes 99 % of the answers right; the others abstain"
        ),
    ] = 0.0
    loss_spikes: Annotated[
        int,
        cost(
            "steps since the last report with a loss above `diagnostics.spike_factor` "
            "rolling medians"
        ),
    ] = 0
    loss_spike_ratio: Annotated[
        float, cost("the highest loss since the last report, in rolling medians")
    ] = 1.0
    grad_norm_max: Annotated[
        float, cost("the highest gradient norm since the last report, before clipping")
    ] = 0.0
    grad_spike_ratio: Annotated[
        float, cost("the highest gradient norm since the last report, in rolling medians")
    ] = 1.0
    update_ratio: Annotated[
        float, cost("norm of the last optimiser step over the norm of the weights before it")
    ] = 0.0
    q_min: Annotated[float, Column("the least halting logit on `valid`, all steps")] = 0.0
    q_max: Annotated[float, Column("the greatest halting logit on `valid`, all steps")] = 0.0
    ema_gap: Annotated[
        float, Column("exact accuracy with EMA weights minus that of the live weights")
    ] = 0.0
    drop_from_peak: Annotated[
        float, cost("highest exact accuracy of any report so far minus this one's")
    ] = 0.0
    findings: Annotated[int, cost("failure detectors that have fired so far")] = 0
    trainset_exact_accuracy: Annotated[
        float | None,
        share(
            "exact accuracy at full depth on the first `diagnostics.examples` training "
            "examples as they stand in the data"
        ),
    ] = None
    train_gap: Annotated[
        float | None, Column("`trainset_exact_accuracy` minus that of as many examples of `valid`")
    ] = None
    residual_H: Annotated[
        float | None,
        cost("||z' - z|| / ||z|| of the answer state at the last step, mean over examples"),
    ] = None
    residual_L: Annotated[
        float | None,
        cost("||z' - z|| / ||z|| of the latent state, mean over examples"),
    ] = None
    late_residual: Annotated[
        float | None, cost("`residual_H` at `diagnostics.beyond` times the trained depth")
    ] = None
    settled: Annotated[
        float | None,
        share("share of examples with a late residual below `diagnostics.settle_below`"),
    ] = None
    exact_accuracy_2x: Annotated[
        float | None,
        share("exact accuracy at twice the trained supervision steps, on the probe's examples"),
    ] = None
    exact_accuracy_4x: Annotated[
        float | None,
        share("exact accuracy at four times the trained steps, on the same examples"),
    ] = None
    exact_accuracy_8x: Annotated[
        float | None,
        share("exact accuracy at eight times the trained steps, on the same examples"),
    ] = None
    depth_drop: Annotated[
        float | None,
        Column(
            "exact accuracy at the trained depth minus that at `diagnostics.beyond` times "
            "it, on the same examples: those of `thought` where it measures that depth, else the "
            "probe's"
        ),
    ] = None
    accuracy_x4: Annotated[
        float | None,
        asked_for(share("exact accuracy at four times the trained steps, on `thought.examples`")),
    ] = None
    accuracy_x16: Annotated[
        float | None,
        asked_for(share("exact accuracy at sixteen times the trained steps, on the same examples")),
    ] = None
    accuracy_k8: Annotated[
        float | None,
        asked_for(
            share(
                "exact accuracy of what `thought.pick` picks from 8 rollouts at the trained depth, "
                "on the same examples"
            )
        ),
    ] = None
    thought_accuracy: Annotated[
        float | None,
        asked_for(
            share(
                "exact accuracy of what `thought.pick` picks from `thought.breadth` rollouts of "
                "`thought.depth` times the trained steps, on the same examples"
            )
        ),
    ] = None
    depth_drop_x16: Annotated[
        float | None,
        asked_for(
            Column(
                "exact accuracy at the trained depth minus `accuracy_x16`, on the same examples: "
                "depth stability"
            )
        ),
    ] = None
    spectral_radius: Annotated[
        float | None,
        cost(
            "spectral radius of the Jacobian of one supervision step's map of the state, after "
            "the last step, median over examples; estimated by power iteration, to 10-20 %"
        ),
    ] = None

    def row(self) -> dict[str, Any]:
        """The report as a flat dictionary, column name to value."""
        return asdict(self)


def _columns() -> dict[str, Column]:
    found = {}
    for name, hint in get_type_hints(Report, include_extras=True).items():
        values, column = get_args(hint)
        kinds = [kind.__name__ for kind in get_args(values) or (values,) if kind is not type(None)]
        optional = type(None) in get_args(values)
        found[name] = replace(column, kind=kinds[0], probed=optional and not column.asked)
    return found


def report_json(report: Report) -> str:
    """One report as a line of JSON, which knows no NaN and no infinity: they become null."""
    row = report.row()
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }
    return json.dumps(finite, allow_nan=False)


COLUMNS: dict[str, Column] = _columns()
"""Every column, in order.

>>> COLUMNS["mean_steps"].kind, COLUMNS["mean_steps"].better
('float', 'less')
"""

PROBED = tuple(name for name, column in COLUMNS.items() if column.probed)
"""Columns that only probed reports have."""

MACHINE_COLUMNS = tuple(name for name, column in COLUMNS.items() if column.machine)
"""Columns that differ when the same run is repeated on the same hardware."""


def even_marks(reports: int) -> tuple[float, ...]:
    """Shares of the compute budget at which a run reports, the last at 1.

    >>> even_marks(4)
    (0.25, 0.5, 0.75, 1.0)
    """
    return tuple((index + 1) / reports for index in range(reports))
