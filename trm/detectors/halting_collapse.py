"""Halting that blows up, or that does not depend on the puzzle."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from curricula.component import Component
from trm.detectors.detector import Detector, Finding
from trm.detectors.evidence import number, when
from trm.report import ReportRow


class HaltingCollapseConfig(Component):
    """Settings of `halting_collapse`.

    Attributes:
        q_limit: magnitude of a halting logit that is blown up.
        auc_limit: halting AUC at or below which halting is blind to what is right.
    """

    q_limit: float | None = Field(default=50.0, gt=0.0)
    auc_limit: float | None = Field(default=0.53, ge=0.0, le=1.0)


def halting_collapse(rows: Sequence[ReportRow], config: HaltingCollapseConfig) -> Finding | None:
    """Logits that blow up, or halting that does not depend on the puzzle."""
    limit = config.q_limit
    for row in rows:
        q = max((abs(v) for c in ("q_min", "q_max") if (v := number(row, c)) is not None),
                default=0.0)  # fmt: skip
        if limit is not None and q > limit:
            return Finding(
                "halting_collapse", "warning", when(row), q, limit, "logits",
                f"a halting logit has grown to {q:.0f}: lower loss.halt_weight or optimizer.lr",
            )  # fmt: skip
    if not rows or when(rows[-1]) < 0.75 or config.auc_limit is None:
        return None
    return _blind_halting(rows[-1], config.auc_limit)


def _blind_halting(row: ReportRow, auc_limit: float) -> Finding | None:
    """Halting that has stopped to depend on the puzzle, late in a run."""
    names = ("exact_accuracy", "early_exact_accuracy", "mean_steps", "halt_auc")
    exact, early, mean, auc = (number(row, name) for name in names)
    steps = number(row, "supervision_steps")
    if exact is None or mean is None or auc is None or steps is None or steps <= 1:
        return None
    at = when(row)
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


HALTING_COLLAPSE = Detector(
    halting_collapse,
    HaltingCollapseConfig,
    "halting at step 1 with little solved, at the last step with much solved, blindly (AUC), or "
    "with blown-up logits",
    "steps; AUC; logits",
)
