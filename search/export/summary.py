"""What a run knows of one trial's config: its scores and how far to trust them, cost and origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from search.config.plan import Plan
from search.explore.candidates import is_whole
from search.ledger.trial import Trial
from search.stability.result import Finalist, Improvement, Promise, Result

Rank = Literal["winner", "candidate", "explored"]


@dataclass(frozen=True)
class Summary:
    """One trial's config, as its sweep knows it.

    Attributes:
        trial: the trial's number.
        study: the sweep's name.
        standing: `winner`, over seeds that took no part in choosing it; `candidate`, over the
            seeds of the race, among which it was compared; `explored`, its own run alone.
        objective: the column that scores are of.
        confidence: of the intervals.
        expected: the mean score; of a candidate that is not the winner it is from the race; None
            for a trial without a score.
        seeds: those that the mean is over.
        scores: one a seed; failures stand at the floor.
        mean_low: lower end of the confidence interval of the mean; None where it is unknown, as are
            all that follow.
        mean_high: its upper end.
        fresh_low: lower end of the interval promised for one fresh seed; None where it is
            undefined.
        fresh_high: its upper end.
        failures: how many of the seeds failed.
        failure_low: lower end of the confidence interval of the probability that a seed fails.
        failure_high: its upper end.
        candidate: what the race says of it.
        promise: what the seeds after it say.
        improvement: of the winner over the reference recipe.
        reference: the reference recipe over the same seeds.
        flops: training FLOPs of one run.
        seconds: of training and evaluation, a mean over the config's whole runs.
        data_hash: of the task's data.
        versions: of what the numbers depend on, and the revision.
        machine: the decisions that the machine made, such as the precision.
    """

    trial: int
    study: str
    standing: Rank
    objective: str
    confidence: float
    expected: float | None
    seeds: list[int]
    scores: list[float]
    mean_low: float | None
    mean_high: float | None
    fresh_low: float | None
    fresh_high: float | None
    failures: int | None
    failure_low: float | None
    failure_high: float | None
    candidate: Finalist | None
    promise: Promise | None
    improvement: Improvement | None
    reference: Promise | None
    flops: float
    seconds: float | None
    data_hash: str
    versions: dict[str, str]
    machine: dict[str, Any]


_APART = ("data_hash", "vocabulary", "resolved", "host", "node", "platform")
"""Of a provenance, what says which machine it was, or has a field of its own."""


def findings(
    plan: Plan, trials: Mapping[int, Trial], result: Result | None, trial: Trial
) -> Summary:
    """All that the ledger and the result say of a trial's config.

    Args:
        trials: of the run, by number.
        trial: of the search.
    """
    # A sensitivity analysis files what it varies under the winner's number: other configs.
    own = [
        t
        for t in trials.values()
        if t.id == trial.id or (t.candidate == trial.id and t.stage != "sensitivity")
    ]
    whole = [t.seconds for t in own if t.completed and not t.breeds]
    if not whole and is_whole(trial, plan.generations):
        whole = [trial.seconds]
    origin = next((t.provenance for t in reversed(own) if t.provenance), {})
    candidate = promise = None
    if result is not None:
        candidate = next((c for c in result.candidates if c.trial == trial.id), None)
        promise = result.promise if trial.id == result.winner else None
    over = promise or candidate
    scores = [] if trial.score is None else [trial.score]
    return Summary(
        trial=trial.id,
        study=plan.run_id,
        standing="winner" if promise else "candidate" if candidate else "explored",
        objective=plan.objective.column,
        confidence=plan.sections.stability.confidence if result is None else result.confidence,
        expected=over.mean if over else trial.score,
        seeds=over.seeds if over else [trial.seed],
        scores=over.scores if over else scores,
        mean_low=over.mean_low if over else None,
        mean_high=over.mean_high if over else None,
        fresh_low=promise.low if promise and not promise.undefined else None,
        fresh_high=promise.high if promise and not promise.undefined else None,
        failures=over.failures if over else None,
        failure_low=over.failure_low if over else None,
        failure_high=over.failure_high if over else None,
        candidate=candidate,
        promise=promise,
        improvement=result.improvement if result and promise else None,
        reference=result.reference if result and promise else None,
        flops=plan.budget,
        seconds=sum(whole) / len(whole) if whole else None,
        data_hash=str(origin.get("data_hash", "")),
        versions={k: str(v) for k, v in origin.items() if k not in _APART and v},
        machine=dict(origin.get("resolved", {})),
    )
