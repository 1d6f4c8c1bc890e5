"""Training examples that are solved more often than valid ones."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from trm.detectors.detector import Detector, Finding
from trm.detectors.evidence import examples_of, latest, noise, number, probed_examples, when
from trm.detectors.probing import ProbeConfig
from trm.report import ReportRow

_EASY = 0.4
"""Mean difficulty of training examples below which a curriculum has chosen easy ones."""


class OverfitConfig(ProbeConfig):
    """Settings of `overfit_plateau`.

    Attributes:
        overfit_gap: exact accuracy on `train` minus that on `valid`.
    """

    overfit_gap: float | None = Field(default=0.2, gt=0.0, le=1.0)


def overfit_plateau(rows: Sequence[ReportRow], config: OverfitConfig) -> Finding | None:
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


OVERFIT_PLATEAU = Detector(
    overfit_plateau,
    OverfitConfig,
    "training examples are solved more often than valid ones, beyond noise",
    "exact accuracy",
)
