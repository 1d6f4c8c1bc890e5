"""Learning that is lost, does not carry over, hangs on an average, or never begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from trm.detectors.finding import (
    Finding,
    ReportRow,
    Severity,
    examples_of,
    latest,
    noise,
    number,
    probed_examples,
    when,
)
from trm.thresholds import DiagnosticsConfig

_EASY = 0.4
"""Mean difficulty of training examples below which a curriculum has chosen easy ones."""


@dataclass(frozen=True)
class _Fall:
    peak: float
    now: float
    allowed: float

    @property
    def lost(self) -> float:
        return self.peak - self.now


def _fall(rows: Sequence[ReportRow], least: float) -> _Fall | None:
    """How far the last report's exact accuracy is below its peak; None if by no more than noise.

    The peak is what two reports in a row held: the best of many single ones is luck in part.
    """
    counted = [(a, row) for row in rows if (a := number(row, "exact_accuracy")) is not None]
    if len(counted) < 3:
        return None
    values = [accuracy for accuracy, _ in counted]
    peak = max(min(pair) for pair in pairwise(values[:-1]))
    now, last = counted[-1]
    allowed = least + noise(peak, now, examples_of(last))
    return _Fall(peak, now, allowed) if peak - now > allowed else None


def has_collapsed(rows: Sequence[ReportRow], config: DiagnosticsConfig) -> bool:
    """Whether a run that ends with these rows has lost what it had learnt."""
    if config.collapse is None:
        return False
    fall = _fall(rows, config.drop or 0.0)
    return fall is not None and fall.lost >= config.collapse * fall.peak


def late_collapse(rows: Sequence[ReportRow], config: DiagnosticsConfig) -> Finding | None:
    """Exact accuracy that ends below a peak it held."""
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
        "late_collapse", severity, when(rows[first - 1]), fall.lost, fall.allowed, "exact accuracy",
        f"exact accuracy fell from {fall.peak:.3f} to {fall.now:.3f} and stayed down: stop "
        "earlier, or lower optimizer.lr or its floor optimizer.lr_min_ratio",
    )  # fmt: skip


def overfit_plateau(rows: Sequence[ReportRow], config: DiagnosticsConfig) -> Finding | None:
    """More training examples solved than valid ones, at the last report."""
    limit = config.overfit_gap
    if limit is None or not rows:
        return None
    last = rows[-1]
    accuracy = number(last, "exact_accuracy")
    # Training examples are counted when they halt, while they explore, and with live weights: a
    # lower bound, to be held against the live weights where those are the better ones. Those of a
    # curriculum that shows easy ones are no sample of what `valid` is one of.
    difficulty = number(last, "train_difficulty")
    easy = difficulty is not None and difficulty < _EASY
    fitted = None if easy else number(last, "train_exact_accuracy")
    probed = latest(rows, "train_gap")
    if accuracy is None:
        return None
    found = [(0.0, limit)]
    if probed is not None:
        # Both shares are of a few examples; how few, the gap itself does not say.
        solved, examples = min(accuracy + max(probed[0], 0.0), 1.0), probed_examples(last, config)
        found.append((probed[0], limit + noise(accuracy, solved, examples)))
    best = max(accuracy, number(last, "live_exact_accuracy") or 0.0)
    if fitted is not None:
        found.append((fitted - best, limit + noise(best, fitted, examples_of(last))))
    gap, allowed = max(found, key=lambda pair: pair[0] - pair[1])
    if gap <= allowed:
        return None
    return Finding(
        "overfit_plateau", "warning", when(last), gap, allowed, "exact accuracy",
        f"training examples are solved {gap:.2f} more often than valid ones ({accuracy:.2f}): "
        "more data or augmentation (task), more optimizer.weight_decay, or a shorter run",
    )  # fmt: skip


def ema_dependence(rows: Sequence[ReportRow], config: DiagnosticsConfig) -> Finding | None:
    """Averaged and live weights that differ late in the run."""
    limit = config.ema_gap
    if limit is None or not rows or when(rows[-1]) < 0.75:
        return None
    last = rows[-1]
    exact, live = number(last, "exact_accuracy"), number(last, "live_exact_accuracy")
    if exact is None or live is None:
        return None
    allowed = limit + noise(exact, live, examples_of(last))
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
        "ema_dependence",
        "warning",
        when(last),
        exact - live,
        allowed,
        "exact accuracy",
        words,
    )


def flat_line(rows: Sequence[ReportRow], config: DiagnosticsConfig) -> Finding | None:
    """Nothing solved, and cell accuracy at a standstill over the second half."""
    limit = config.flat_gain
    late = [row for row in rows if when(row) >= 0.5]
    if limit is None or len(late) < 2 or when(late[-1]) < 0.75:
        return None
    exact = [value for row in rows if (value := number(row, "exact_accuracy")) is not None]
    cells = [value for row in late if (value := number(row, "cell_accuracy")) is not None]
    if not exact or len(cells) < 2 or max(exact) > 0.02:
        return None
    gain = max(cells) - cells[0]
    if gain > limit:
        return None
    return Finding(
        "flat_line", "failure", when(late[-1]), gain, limit, "cell accuracy",
        f"nothing is solved and cells stand at {cells[-1]:.3f} for the second half: raise "
        "optimizer.lr, shorten optimizer.lr_warmup_steps, give it more compute, or start with less "
        "depth (curriculum.depth)",
    )  # fmt: skip
