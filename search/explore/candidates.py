"""The configs of a search with what all their seeds came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.config.plan import Plan
from search.ledger.book import Book
from search.ledger.trial import Trial
from search.objectives.constraint import violations
from search.objectives.objective import aggregate
from search.objectives.outcome import FAILURES
from search.samplers.history import PastRun, PastTrial
from search.stats.pareto import front
from trm.report import ReportRow


@dataclass(frozen=True)
class Explored:
    """A config of the search whose seeds have all ended.

    Attributes:
        trial: the trial of the first seed, after which the config is numbered.
        seeds: the trials of all its seeds.
        score: its value in the first objective, over all seeds; failures stand at the floor.
        values: by objective, the same; for other objectives than the first, over the seeds that
            did not fail.
        violations: by constraint, above 0 where it is broken.
    """

    trial: Trial
    seeds: tuple[Trial, ...]
    score: float
    values: dict[str, float]
    violations: dict[str, float]

    @property
    def feasible(self) -> bool:
        """Whether it keeps every constraint."""
        return all(violation <= 0 for violation in self.violations.values())


def is_whole(trial: Trial, generations: int = 0) -> bool:
    """Whether a trial of the search has trained a whole config.

    Args:
        generations: of the population, if there is one; only its last has whole runs.
    """
    if not trial.completed or trial.score is None:
        return False
    return trial.explores or (trial.breeds and trial.params["generation"] == generations - 1)


def runs_by_config(trials: Mapping[int, Trial]) -> dict[int, list[Trial]]:
    """The explore trials of each config, by the number of its first one, in order of seeds."""
    found: dict[int, list[Trial]] = {}
    for trial in trials.values():
        if trial.explores:
            found.setdefault(trial.candidate, []).append(trial)
    return found


def explored(plan: Plan, book: Book) -> list[Explored]:
    """Every config that has trained in whole over all its seeds, one of them without failure."""
    groups: list[list[Trial]] = [
        [trial]
        for trial in book.trials.values()
        if trial.breeds and is_whole(trial, plan.generations)
    ]
    for seeds in runs_by_config(book.trials).values():
        ended = all(t.outcome not in (None, "pruned", "stopped", "infeasible") for t in seeds)
        if ended and len(seeds) >= plan.seeds and any(map(is_whole, seeds)):
            groups.append(seeds)
    last = last_rows(plan, book, [trial for seeds in groups for trial in seeds])
    return [explored_one(plan, seeds, last) for seeds in groups]


def explored_one(plan: Plan, seeds: Sequence[Trial], last: Mapping[int, ReportRow]) -> Explored:
    """What a config's seeds come to.

    Args:
        last: the last report of each trial, if the objectives and constraints need any.
    """
    values = aggregated(plan, seeds, last)
    rows = [last[trial.id] for trial in seeds if trial.id in last and trial.completed]
    broken = violations(plan.constraints, rows) if plan.constraints else {}
    return Explored(seeds[0], tuple(seeds), values[plan.objective.column], values, broken)


def aggregated(
    plan: Plan, seeds: Sequence[Trial], last: Mapping[int, ReportRow]
) -> dict[str, float]:
    """By objective, one value for ended trials of one config."""
    how = plan.sections.search.aggregate
    confidence = plan.sections.stability.confidence
    scores = [trial.score for trial in seeds if trial.score is not None]
    first, *others = plan.objectives
    values = {first.column: aggregate(scores, first, how, confidence, plan.counted(plan.examples))}
    rows = [last[trial.id] for trial in seeds if trial.id in last and trial.completed]
    for objective in others:
        own = [objective.value(row) for row in rows] or [objective.worst(0.0)]
        examples = plan.counted(plan.examples, objective)
        values[objective.column] = aggregate(own, objective, how, confidence, examples)
    return values


def last_rows(plan: Plan, book: Book, trials: Sequence[Trial]) -> dict[int, ReportRow]:
    """The last report of each trial, where the sweep needs more of it than its score."""
    if not plan.needs_rows:
        return {}
    wanted = {trial.id for trial in trials if trial.mark}
    return {number: rows[-1] for number, rows in book.curves() if number in wanted and rows}


def merits(plan: Plan, candidate: Explored) -> tuple[float, ...]:
    """A config's objectives, each turned so that more is better."""
    return tuple(o.merit(candidate.values[o.column]) for o in plan.objectives)


def best_first(plan: Plan, candidates: Sequence[Explored]) -> list[Explored]:
    """The configs that keep the constraints first, then by the first objective."""
    return sorted(
        candidates,
        key=lambda c: (not c.feasible, -plan.objective.merit(c.score), c.trial.id),
    )


def pareto_front(plan: Plan, candidates: Sequence[Explored]) -> list[Explored]:
    """The configs that keep the constraints and that no other such one dominates."""
    known = {candidate.trial.id: candidate for candidate in candidates if candidate.feasible}
    order = front({number: merits(plan, candidate) for number, candidate in known.items()})
    return [known[number] for number in order]


def past_trial(
    plan: Plan,
    number: int,
    seeds: Sequence[Trial],
    last: Mapping[int, ReportRow],
    *,
    complete: bool,
    floor: float,
    rungs: Mapping[int, float],
    runs: tuple[PastRun, ...],
) -> PastTrial:
    """A config as samplers know it.

    Args:
        number: the config's, from 0 without gaps.
        seeds: its trials, that of the first seed first.
        last: the last report of each trial, if the objectives and constraints need any.
        complete: whether it has ended with all seeds that were planned; further ones may run.
        floor: the first objective of a failure.
        rungs: as in `PastTrial`.
        runs: likewise.
    """
    trial = seeds[0]
    outcome = trial.outcome if complete else None
    values: tuple[float, ...] = ()
    broken: Mapping[str, float] = {}
    if outcome == "completed":
        found = explored_one(plan, [seed for seed in seeds if seed.ended], last)
        values, broken = tuple(found.values.values()), found.violations
    elif outcome in FAILURES:
        values = tuple(objective.worst(floor) for objective in plan.objectives)
    elif outcome in ("pruned", "stopped") and trial.score is not None:
        values = tuple(aggregated(plan, seeds, last).values())
    return PastTrial(
        number=number,
        params=trial.params,
        outcome=outcome,
        values=values,
        rungs=rungs,
        violations=broken,
        progress=trial.compute / plan.budget,
        runs=runs,
    )
