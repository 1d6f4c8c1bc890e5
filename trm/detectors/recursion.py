"""A recursion that halts wrongly, does not settle, or falls apart when run deeper."""

from __future__ import annotations

from collections.abc import Sequence

from trm.detectors.finding import Finding, ReportRow, latest, noise, number, probed_examples, when
from trm.thresholds import DiagnosticsConfig


def halting_collapse(rows: Sequence[ReportRow], config: DiagnosticsConfig) -> Finding | None:
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


def wandering_latent(rows: Sequence[ReportRow], config: DiagnosticsConfig) -> Finding | None:
    """An answer state that still moves at the deepest step of a probe."""
    limit, found, settled = config.wander, latest(rows, "late_residual"), latest(rows, "settled")
    if limit is None or found is None or when(found[1]) < 0.5:
        return None
    value, row = found
    share = settled[0] if settled else 0.0
    # A model that has learnt nothing yet has nowhere to settle.
    if value <= limit or (number(row, "exact_accuracy") or 0.0) < 0.1:
        return None
    return Finding(
        "wandering_latent", "warning", when(row), value, limit, "norm of the state",
        f"the answer state still moves by {value:.0%} a step when run deeper, and settles for "
        f"{share:.0%} of puzzles: raise model.halt_max_steps or optimizer.weight_decay, or add "
        "latent noise (curriculum.latent_noise)",
    )  # fmt: skip


def depth_divergence(rows: Sequence[ReportRow], config: DiagnosticsConfig) -> Finding | None:
    """Accuracy that falls beyond the trained depth, or a radius that has grown."""
    found, limit = latest(rows, "depth_drop"), config.depth_drop
    remedy = "lower optimizer.lr, or train with more model.halt_max_steps"
    if found is not None and limit is not None:
        drop, row = found
        exact = number(row, "exact_accuracy") or 0.0
        allowed = limit + noise(exact, max(exact - drop, 0.0), probed_examples(row, config))
        if drop > allowed:
            return Finding(
                "depth_divergence", "warning", when(row), drop, allowed, "exact accuracy",
                f"run deeper than trained it loses {drop:.2f} of exact accuracy: {remedy}",
            )  # fmt: skip
    radii = [(v, row) for row in rows if (v := number(row, "spectral_radius")) is not None]
    if config.radius_limit is None or len(radii) < 2:
        return None
    (first, _), (last, row) = radii[0], radii[-1]
    if last <= config.radius_limit or last <= 1.5 * first or when(row) < 0.5:
        return None
    return Finding(
        "depth_divergence", "warning", when(row), last, config.radius_limit, "spectral radius",
        f"the recursion expands ever more (spectral radius {first:.2f}, then {last:.2f}): {remedy}",
    )  # fmt: skip
