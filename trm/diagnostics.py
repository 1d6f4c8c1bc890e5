"""Failure detectors: pure functions from the reports of a run to findings in words.

What each looks at is in `EVIDENCE`; a column that is missing or null, as in runs of older
versions, is no evidence. The failures and their signals are those that reports on TRM training
name: numeric divergence (issue #28 of the reference repository), late collapse (issue #26),
overfitting (issues #9 and #19), halting collapse, dependence on EMA (arXiv 2510.04871, table 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from trm.thresholds import DETECTORS, DiagnosticsConfig

Row = Mapping[str, Any]
"""A report's columns; any may be missing."""

Severity = Literal["failure", "warning"]

EVIDENCE = (
    "progress", "step", "exact_accuracy", "cell_accuracy", "early_exact_accuracy", "train_loss",
    "train_exact_accuracy", "halt_auc", "mean_steps", "live_exact_accuracy", "supervision_steps",
    "diverged", "evaluated", "loss_spikes", "loss_spike_ratio", "grad_spike_ratio",
    "update_ratio", "q_min", "q_max", "train_gap", "late_residual", "settled", "depth_drop",
    "spectral_radius", "train_difficulty",
)  # fmt: skip
"""The columns that detectors read."""

_EXAMPLES = 500
"""Evaluated examples where a row does not say how many."""

_EASY = 0.4
"""Mean difficulty of training examples below which a curriculum has chosen easy ones."""


@dataclass(frozen=True)
class Finding:
    """A failure, or what may become one.

    Attributes:
        detector: its name in `REGISTRY`.
        severity: `failure` spoils the run; `warning` may.
        at: share of the compute budget at which it was first seen.
        value: what was measured.
        threshold: what it was held against.
        unit: of both.
        words: one line: what happened, and what the evidence suggests to try.
    """

    detector: str
    severity: Severity
    at: float
    value: float
    threshold: float
    unit: str
    words: str


@dataclass(frozen=True)
class Detector:
    """What a detector looks for.

    Attributes:
        find: the first finding in rows by mark, or None.
        definition: what counts as the failure.
        unit: of the value and the threshold.
        keys: keys of the `diagnostics` section that change it, the one that null turns off first;
            none for what cannot be turned off.
    """

    find: Callable[[Sequence[Row], DiagnosticsConfig], Finding | None]
    definition: str
    unit: str
    keys: tuple[str, ...]


def diagnose(rows: Sequence[Row], config: DiagnosticsConfig | None = None) -> list[Finding]:
    """All findings in the reports of one run, by mark; at most one a detector.

    >>> rows = [{"progress": 1.0, "exact_accuracy": 0.4, "mean_steps": 1.0, "diverged": True}]
    >>> [finding.detector for finding in diagnose(rows)]
    ['numeric_divergence']
    """
    config = config or DiagnosticsConfig()
    # What a model with a non-finite gradient or weight scores says nothing else.
    sound = [row for row in rows if not row.get("diverged")]
    found = (
        REGISTRY[name].find(rows if name == "numeric_divergence" else sound, config)
        for name in DETECTORS
    )
    return [finding for finding in found if finding is not None]


def has_collapsed(rows: Sequence[Row], config: DiagnosticsConfig) -> bool:
    """Whether a run that ends with these rows has lost what it had learnt."""
    if config.collapse is None:
        return False
    fall = _fall(rows, config.drop or 0.0)
    return fall is not None and fall.lost >= config.collapse * fall.peak


def noise(a: float, b: float, examples: float, deviations: float = 2.0) -> float:
    """How far two shares of `examples` may differ by chance: standard deviations of the difference.

    Binomial, the two taken as independent; a share of 0 or 1 counts as half an example off it.
    """
    least = 0.5 / examples
    a, b = (min(max(share, least), 1.0 - least) for share in (a, b))
    return deviations * math.sqrt((a * (1.0 - a) + b * (1.0 - b)) / examples)


def _number(row: Row, column: str) -> float | None:
    value = row.get(column)
    return None if value is None or not math.isfinite(value) else float(value)


def _examples(row: Row) -> float:
    return row.get("evaluated") or _EXAMPLES


def _probed_examples(row: Row, config: DiagnosticsConfig) -> float:
    # A probe is of the first of those that are evaluated.
    return min(config.examples, _examples(row))


def _at(row: Row) -> float:
    return float(row.get("progress") or 0.0)


def _numeric_divergence(rows: Sequence[Row], config: DiagnosticsConfig) -> Finding | None:
    for row in rows:
        if row.get("diverged"):
            return Finding(
                "numeric_divergence", "failure", _at(row), 1.0, 0.0, "steps",
                f"a loss or gradient was not finite after step {row.get('step', '?')}: lower "
                "optimizer.lr, or lengthen optimizer.lr_warmup_steps",
            )  # fmt: skip
    return None


def _loss_spike(rows: Sequence[Row], config: DiagnosticsConfig) -> Finding | None:
    if config.spike_factor is None:
        return None
    for row in rows:
        spikes, ratio = _number(row, "loss_spikes"), _number(row, "loss_spike_ratio")
        if spikes is None or ratio is None or spikes < config.spike_steps:
            continue
        if ratio > config.spike_factor:
            return Finding(
                "loss_spike", "warning", _at(row), ratio, config.spike_factor, "rolling medians",
                f"the loss rose to {ratio:.1f} times its recent median, in {spikes:.0f} steps: "
                "lower optimizer.lr, set optimizer.grad_clip to 1, or re-warm after a change of "
                "depth (curriculum.rewarm_steps)",
            )  # fmt: skip
    return None


def _gradient_explosion(rows: Sequence[Row], config: DiagnosticsConfig) -> Finding | None:
    remedy = "lower optimizer.lr, or set optimizer.grad_clip to 1"
    for row in rows:
        ratio, limit = _number(row, "grad_spike_ratio"), config.gradient_factor
        if ratio is not None and limit is not None and ratio > limit:
            return Finding(
                "gradient_explosion", "warning", _at(row), ratio, limit, "rolling medians",
                f"the gradient grew to {ratio:.0f} times its recent median: {remedy}",
            )  # fmt: skip
        step, limit = _number(row, "update_ratio"), config.update_limit
        if step is not None and limit is not None and step > limit:
            return Finding(
                "gradient_explosion", "warning", _at(row), step, limit, "norm of the weights",
                f"one optimiser step moved the weights by {step:.0%} of their norm: {remedy}",
            )  # fmt: skip
    return None


@dataclass(frozen=True)
class _Fall:
    peak: float
    now: float
    allowed: float

    @property
    def lost(self) -> float:
        return self.peak - self.now


def _fall(rows: Sequence[Row], least: float) -> _Fall | None:
    """How far the last report's exact accuracy is below its peak; None if by no more than noise.

    The peak is what two reports in a row held: the best of many single ones is luck in part.
    """
    counted = [(a, row) for row in rows if (a := _number(row, "exact_accuracy")) is not None]
    if len(counted) < 3:
        return None
    values = [accuracy for accuracy, _ in counted]
    peak = max(min(pair) for pair in pairwise(values[:-1]))
    now, last = counted[-1]
    allowed = least + noise(peak, now, _examples(last))
    return _Fall(peak, now, allowed) if peak - now > allowed else None


def _late_collapse(rows: Sequence[Row], config: DiagnosticsConfig) -> Finding | None:
    if config.drop is None:
        return None
    # A fall that was made up for by the end is not one: what counts is where the run stands.
    fall = _fall(rows, config.drop)
    if fall is None:
        return None
    first = len(rows)
    while first > 3 and _fall(rows[: first - 1], config.drop) is not None:
        first -= 1
    severity: Severity = "failure" if has_collapsed(rows, config) else "warning"
    return Finding(
        "late_collapse", severity, _at(rows[first - 1]), fall.lost, fall.allowed, "exact accuracy",
        f"exact accuracy fell from {fall.peak:.3f} to {fall.now:.3f} and stayed down: stop "
        "earlier, or lower optimizer.lr or its floor optimizer.lr_min_ratio",
    )  # fmt: skip


def _overfit_plateau(rows: Sequence[Row], config: DiagnosticsConfig) -> Finding | None:
    limit = config.overfit_gap
    if limit is None or not rows:
        return None
    last = rows[-1]
    accuracy = _number(last, "exact_accuracy")
    # Training examples are counted when they halt, while they explore, and with live weights: a
    # lower bound, to be held against the live weights where those are the better ones. Those of a
    # curriculum that shows easy ones are no sample of what `valid` is one of.
    difficulty = _number(last, "train_difficulty")
    easy = difficulty is not None and difficulty < _EASY
    fitted = None if easy else _number(last, "train_exact_accuracy")
    probed = _latest(rows, "train_gap")
    if accuracy is None:
        return None
    found = [(0.0, limit)]
    if probed is not None:
        # Both shares are of a few examples; how few, the gap itself does not say.
        solved, examples = min(accuracy + max(probed[0], 0.0), 1.0), _probed_examples(last, config)
        found.append((probed[0], limit + noise(accuracy, solved, examples)))
    best = max(accuracy, _number(last, "live_exact_accuracy") or 0.0)
    if fitted is not None:
        found.append((fitted - best, limit + noise(best, fitted, _examples(last))))
    gap, allowed = max(found, key=lambda pair: pair[0] - pair[1])
    if gap <= allowed:
        return None
    return Finding(
        "overfit_plateau", "warning", _at(last), gap, allowed, "exact accuracy",
        f"training examples are solved {gap:.2f} more often than valid ones ({accuracy:.2f}): "
        "more data or augmentation (task), more optimizer.weight_decay, or a shorter run",
    )  # fmt: skip


def _latest(rows: Sequence[Row], column: str) -> tuple[float, Row] | None:
    for row in reversed(rows):
        value = _number(row, column)
        if value is not None:
            return value, row
    return None


def _halting_collapse(rows: Sequence[Row], config: DiagnosticsConfig) -> Finding | None:
    limit = config.q_limit
    for row in rows:
        q = max((abs(v) for c in ("q_min", "q_max") if (v := _number(row, c)) is not None),
                default=0.0)  # fmt: skip
        if limit is not None and q > limit:
            return Finding(
                "halting_collapse", "warning", _at(row), q, limit, "logits",
                f"a halting logit has grown to {q:.0f}: lower loss.halt_weight or optimizer.lr",
            )  # fmt: skip
    if not rows or _at(rows[-1]) < 0.75 or config.auc_limit is None:
        return None
    return _blind_halting(rows[-1], config.auc_limit)


def _blind_halting(row: Row, auc_limit: float) -> Finding | None:
    """Halting that has stopped to depend on the puzzle, late in a run."""
    names = ("exact_accuracy", "early_exact_accuracy", "mean_steps", "halt_auc")
    exact, early, mean, auc = (_number(row, name) for name in names)
    steps = _number(row, "supervision_steps")
    if exact is None or mean is None or auc is None or steps is None or steps <= 1:
        return None
    at = _at(row)
    if mean <= 1.0 + 0.02 * (steps - 1) and (exact if early is None else early) < 0.5:
        return Finding(
            "halting_collapse", "failure", at, mean, 1.0, "steps",
            f"it halts at step {mean:.2f} of {steps:.0f} on average although little is solved "
            "then: raise loss.halt_weight or model.halt_exploration_prob",
        )  # fmt: skip
    # Evaluation goes on to `model.halt_max_steps`, where a curriculum may have trained fewer.
    if steps - 0.02 * (steps - 1) <= mean <= steps and exact >= 0.5:
        return Finding(
            "halting_collapse", "warning", at, mean, steps, "steps",
            f"it never halts before step {steps:.0f} although {exact:.0%} is solved: raise "
            "loss.halt_weight",
        )  # fmt: skip
    if auc <= auc_limit and 0.1 <= exact <= 0.9:
        return Finding(
            "halting_collapse", "warning", at, auc, auc_limit, "AUC",
            f"halting does not tell right from wrong (AUC {auc:.2f}): raise loss.halt_weight",
        )  # fmt: skip
    return None


def _ema_dependence(rows: Sequence[Row], config: DiagnosticsConfig) -> Finding | None:
    limit = config.ema_gap
    if limit is None or not rows or _at(rows[-1]) < 0.75:
        return None
    last = rows[-1]
    exact, live = _number(last, "exact_accuracy"), _number(last, "live_exact_accuracy")
    if exact is None or live is None:
        return None
    allowed = limit + noise(exact, live, _examples(last))
    if abs(exact - live) <= allowed:
        return None
    words = (
        f"averaged weights reach {exact:.3f}, live ones {live:.3f}: without EMA the run swings; "
        "keep train.ema, and lower optimizer.lr_min_ratio"
        if exact > live
        else f"averaged weights reach {exact:.3f}, live ones {live:.3f}: the average lags behind; "
        "turn train.ema off (null) or make it shorter"
    )
    return Finding(
        "ema_dependence", "warning", _at(last), exact - live, allowed, "exact accuracy", words
    )


def _flat_line(rows: Sequence[Row], config: DiagnosticsConfig) -> Finding | None:
    limit = config.flat_gain
    late = [row for row in rows if _at(row) >= 0.5]
    if limit is None or len(late) < 2 or _at(late[-1]) < 0.75:
        return None
    exact = [value for row in rows if (value := _number(row, "exact_accuracy")) is not None]
    cells = [value for row in late if (value := _number(row, "cell_accuracy")) is not None]
    if not exact or len(cells) < 2 or max(exact) > 0.02:
        return None
    gain = max(cells) - cells[0]
    if gain > limit:
        return None
    return Finding(
        "flat_line", "failure", _at(late[-1]), gain, limit, "cell accuracy",
        f"nothing is solved and cells stand at {cells[-1]:.3f} for the second half: raise "
        "optimizer.lr, give it more compute, or start with less depth (curriculum.depth)",
    )  # fmt: skip


def _wandering_latent(rows: Sequence[Row], config: DiagnosticsConfig) -> Finding | None:
    limit, found, settled = config.wander, _latest(rows, "late_residual"), _latest(rows, "settled")
    if limit is None or found is None or _at(found[1]) < 0.5:
        return None
    value, row = found
    share = settled[0] if settled else 0.0
    # A model that has learnt nothing yet has nowhere to settle.
    if value <= limit or (_number(row, "exact_accuracy") or 0.0) < 0.1:
        return None
    return Finding(
        "wandering_latent", "warning", _at(row), value, limit, "norm of the state",
        f"the answer state still moves by {value:.0%} a step when run deeper, and settles for "
        f"{share:.0%} of puzzles: raise model.halt_max_steps or optimizer.weight_decay, or add "
        "latent noise (curriculum.latent_noise)",
    )  # fmt: skip


def _depth_divergence(rows: Sequence[Row], config: DiagnosticsConfig) -> Finding | None:
    found, limit = _latest(rows, "depth_drop"), config.depth_drop
    remedy = "lower optimizer.lr, or train with more model.halt_max_steps"
    if found is not None and limit is not None:
        drop, row = found
        exact = _number(row, "exact_accuracy") or 0.0
        allowed = limit + noise(exact, max(exact - drop, 0.0), _probed_examples(row, config))
        if drop > allowed:
            return Finding(
                "depth_divergence", "warning", _at(row), drop, allowed, "exact accuracy",
                f"run deeper than trained it loses {drop:.2f} of exact accuracy: {remedy}",
            )  # fmt: skip
    radii = [(v, row) for row in rows if (v := _number(row, "spectral_radius")) is not None]
    if config.radius_limit is None or len(radii) < 2:
        return None
    (first, _), (last, row) = radii[0], radii[-1]
    if last <= config.radius_limit or last <= 1.5 * first or _at(row) < 0.5:
        return None
    return Finding(
        "depth_divergence", "warning", _at(row), last, config.radius_limit, "spectral radius",
        f"the recursion expands ever more (spectral radius {first:.2f}, then {last:.2f}): {remedy}",
    )  # fmt: skip


REGISTRY: dict[str, Detector] = {
    "numeric_divergence": Detector(
        _numeric_divergence, "a loss or gradient is not finite", "steps", ()
    ),
    "loss_spike": Detector(
        _loss_spike,
        "several steps between two reports have a loss far above the rolling median",
        "rolling medians", ("spike_factor", "spike_steps", "spike_window", "spike_floor"),
    ),
    "gradient_explosion": Detector(
        _gradient_explosion,
        "a gradient norm far above its rolling median, or a step large against the weights",
        "rolling medians; norm of the weights",
        ("gradient_factor", "update_limit", "spike_window"),
    ),
    "late_collapse": Detector(
        _late_collapse, "exact accuracy ends below a peak that two reports held, beyond noise",
        "exact accuracy", ("drop", "collapse"),
    ),
    "overfit_plateau": Detector(
        _overfit_plateau, "training examples are solved more often than valid ones, beyond noise",
        "exact accuracy", ("overfit_gap", "examples"),
    ),
    "halting_collapse": Detector(
        _halting_collapse,
        "halting at step 1 with little solved, at the last step with much solved, blindly "
        "(AUC), or with blown-up logits",
        "steps; AUC; logits", ("auc_limit", "q_limit"),
    ),
    "ema_dependence": Detector(
        _ema_dependence, "averaged and live weights differ late in the run, beyond noise",
        "exact accuracy", ("ema_gap",),
    ),
    "flat_line": Detector(
        _flat_line, "nothing is solved and cell accuracy stands still in the second half",
        "cell accuracy", ("flat_gain",),
    ),
    "wandering_latent": Detector(
        _wandering_latent, "the answer state still moves at the deepest step of a probe",
        "norm of the state", ("wander", "settle_below", "beyond"),
    ),
    "depth_divergence": Detector(
        _depth_divergence,
        "accuracy falls beyond the trained depth, or the spectral radius has grown past its limit",
        "exact accuracy; spectral radius", ("depth_drop", "radius_limit", "beyond"),
    ),
}  # fmt: skip
"""Every detector by name; a plug-in may replace one."""


def describe(findings: Sequence[Finding]) -> str:
    """The diagnosis in words, one line a finding; one line too if there is none."""
    if not findings:
        return "no failure found"
    return "\n".join(
        f"{finding.severity} at {finding.at:.0%}: {finding.detector.replace('_', ' ')}: "
        f"{finding.words}"
        for finding in findings
    )
