"""The confirm stage: the best candidates over fresh seeds, the winner, and what it promises."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

from search.config.measured import confirmed_tree
from search.config.plan import Plan
from search.config.seeds import CONFIRM_SEEDS, PROMISE_SEEDS, REFERENCE
from search.engine.source import FixedTrials, replicate
from search.explore.candidates import Explored, best_first, explored, merits
from search.explore.leaders import believed
from search.ledger.book import Book
from search.ledger.trial import Trial
from search.objectives.constraint import violations
from search.objectives.objective import Objective
from search.stability.confirm_race import ConfirmRace, rules
from search.stability.deeper import depth_loss, thought_promise
from search.stability.reserve import granted
from search.stability.result import (
    RESULT_FILE,
    RESULT_VERSION,
    Finalist,
    Improvement,
    Optimism,
    Promise,
    Result,
    read_result,
)
from search.stats.averages import failure_rate, interquartile_mean, mean_interval, mean_of
from search.stats.intervals import Interval, for_each, prediction_interval, robust_scores
from search.stats.odds import probability_of_best, probability_of_improvement
from search.stats.pareto import front, spread_out
from search.stats.spreads import cautious_spreads, joined_spread
from trm.errors import UserError

__all__ = [
    "CONFIRM_SEEDS",
    "RESULT_FILE",
    "RESULT_VERSION",
    "Finalist",
    "FixedTrials",
    "Promise",
    "Result",
    "read_result",
]


def finalists(plan: Plan, book: Book) -> list[Trial]:
    """The best configs of the search that keep the constraints, each config once.

    By the first objective, or what the search believes of it where it learns from every seed and
    curve, cautiously; with several, the fronts in order, each spread out along itself. Where
    `stability.trials` names trials, those.

    Raises:
        UserError: a named trial is none of the search, or no model could be built from it.
    """
    named = plan.sections.stability.trials
    if named is not None:
        # Two numbers may be seeds of one config.
        return list({trial.id: trial for trial in (_named(book, n) for n in named)}.values())
    chosen: dict[str, Explored] = {}
    ordered, worth = best_first(plan, explored(plan, book)), believed(plan, book)
    if worth:
        ordered.sort(key=lambda c: -worth.get(c.trial.id, -math.inf))
    for candidate in ordered:
        if candidate.feasible:
            chosen.setdefault(_without_seed(candidate.trial), candidate)
    most = granted(plan, book.trials).candidates
    if len(plan.objectives) == 1:
        return [candidate.trial for candidate in chosen.values()][:most]
    known = {candidate.trial.id: candidate for candidate in chosen.values()}
    order = spread_out({key: merits(plan, candidate) for key, candidate in known.items()}, most)
    return [known[number].trial for number in order]


def promise_trials(plan: Plan, book: Book, winner: Trial) -> tuple[list[Trial], list[Trial]]:
    """The winner's and the reference recipe's trials over the promise seeds, the same if they are
    one config.
    """
    seeds = range(plan.sections.stability.promise_seeds)
    base = plan.seed + PROMISE_SEEDS
    same = winner.params == plan.space.default()[0]
    if same and any(trial.stage == "reference" for trial in book.trials.values()):
        reference = [reference_trial(plan, book, index) for index in seeds]
        return reference, reference
    tree = confirmed_tree(plan.sections.stability, winner.config)
    promised = [
        replicate(book, "promise", winner.id, base + index, winner.params, tree) for index in seeds
    ]
    return promised, promised if same else [reference_trial(plan, book, i) for i in seeds]


def reference_trial(plan: Plan, book: Book, index: int) -> Trial:
    """The reference recipe's trial with a promise seed: the one that is there, or a new one."""
    params, tree = plan.space.default()
    seed, tree = plan.seed + PROMISE_SEEDS + index, confirmed_tree(plan.sections.stability, tree)
    return replicate(book, "reference", REFERENCE, seed, params, tree)


def rank(plan: Plan, book: Book, examples: int | None) -> list[Finalist]:
    """The finalists by robust score over the runs that have ended, those that the race has dropped
    after those that are left; after those that keep the constraints come those that break one, and
    last those of which every seed failed.

    Bounds and intervals of means hold for all finalists at once, and so for the winner.

    Args:
        examples: how many examples a share is a share of, if that is known.
    """
    objective, confidence = plan.objective, plan.sections.stability.confidence
    examples = plan.counted(examples)
    replicates: dict[int, list[Trial]] = {}
    chosen = finalists(plan, book)
    for trial in ConfirmRace(plan, book, chosen, examples).trials():
        if trial.ended:
            replicates.setdefault(trial.candidate, []).append(trial)
    samples = {
        key: [objective.merit(_score(trial)) for trial in trials]
        for key, trials in replicates.items()
    }
    bounds = _merit_bounds(objective, min(min(scores) for scores in samples.values()))
    further = plan.sections.stability.promise_seeds
    scores = robust_scores(samples, confidence, bounds, examples, further)
    spreads, level = cautious_spreads(samples, examples), for_each(confidence, len(samples))
    before = _explored_scores(plan, book, chosen)
    bottom = objective.bounds[0 if objective.maximizes else 1]
    found = []
    for key, trials in replicates.items():
        values, broken = _means(plan, book, trials)
        own = [_score(trial) for trial in trials]
        mean = objective.merit(scores[key].mean)
        interval = mean_interval(own, level, objective.bounds, spreads[key], examples)
        failures = sum(not trial.completed for trial in trials)
        failing = failure_rate(failures, len(trials), confidence)
        # A single seed of a column without ends says nothing of how well its mean is known.
        known = spreads[key].df > 0 or math.isfinite(interval.width)
        found.append(
            Finalist(
                trial=key,
                explored=before[key],
                robust=objective.merit(scores[key].lower),
                mean=mean,
                scores=own,
                failures=failures,
                values=values,
                violations=broken,
                seeds=[trial.seed for trial in trials],
                iqm=interquartile_mean(own),
                mean_low=_finite(interval, mean).low if known else None,
                mean_high=_finite(interval, mean).high if known else None,
                failure_low=failing.low,
                failure_high=failing.high,
                best=0.0,
                foreseen=objective.merit(scores[key].foreseen) if spreads[key].df > 0 else None,
                learned=any(score != bottom for score in own),
                deeper=depth_loss(book, trials),
            )
        )
    able = [candidate.trial for candidate in found if candidate.feasible]
    odds: dict[int, float | None] = dict.fromkeys(samples, 0.0)
    if able and any(len(samples[key]) > 1 for key in able):
        odds |= probability_of_best({key: samples[key] for key in able}, examples)
    elif len(able) > 1:
        odds |= dict.fromkeys(able)
    else:
        odds |= dict.fromkeys(able, 1.0)
    race = rules(plan, len(chosen), book.trials)
    left = race.left({key: samples[key] for key in able}, examples) if able else []
    # A steadier one that is behind may have the better bound.
    behind = set(able) - set(left) if race.racing else set()
    return sorted(
        (replace(candidate, best=odds[candidate.trial]) for candidate in found),
        key=lambda c: (
            not c.works,
            not c.feasible,
            c.trial in behind,
            -objective.merit(c.robust),
            -objective.merit(c.mean),
            c.trial,
        ),
    )


def confirmed_front(plan: Plan, candidates: Sequence[Finalist]) -> list[int]:
    """The candidates on the front of several objectives; empty with one."""
    if len(plan.objectives) == 1:
        return []
    return front(
        {
            candidate.trial: [o.merit(candidate.values[o.column]) for o in plan.objectives]
            for candidate in candidates
            if candidate.feasible and candidate.works
        }
    )


def promise(
    plan: Plan,
    book: Book,
    trials: Sequence[Trial],
    test: list[float],
    examples: int,
    raced: Sequence[Finalist] = (),
) -> Promise:
    """What the promise seeds say of one fresh seed: their mean, and how far seeds fall apart.

    Args:
        raced: the finalists, the one of these trials first: how far apart its seeds fell in the
            race counts too, for these took part in the choice by their mean.
    """
    objective, confidence = plan.objective, plan.sections.stability.confidence
    scores = [_score(trial) for trial in trials]
    share = plan.counted(examples)
    own = raced[0].scores if raced else []
    others = {candidate.trial: candidate.scores for candidate in raced[1:] if candidate.works}
    spread = joined_spread(scores, own, others)
    interval = prediction_interval(scores, confidence, objective.bounds, spread, share)
    mean = math.fsum(scores) / len(scores)
    fresh = _finite(interval, mean)
    known = _finite(mean_interval(scores, confidence, objective.bounds, spread, share), mean)
    failures = sum(not trial.completed for trial in trials)
    failing = failure_rate(failures, len(trials), confidence)
    return Promise(
        seeds=[trial.seed for trial in trials],
        scores=scores,
        mean=mean,
        low=fresh.low,
        high=fresh.high,
        test=test,
        values=_means(plan, book, trials)[0],
        failures=failures,
        iqm=interquartile_mean(scores),
        mean_low=known.low,
        mean_high=known.high,
        failure_low=failing.low,
        failure_high=failing.high,
        deeper=depth_loss(book, trials),
        thought=thought_promise(plan, book, trials),
    )


def improvement(plan: Plan, winner: Promise, reference: Promise) -> Improvement:
    """Of the winner over the reference recipe, over the promise seeds."""
    merit = plan.objective.merit
    probability, interval = probability_of_improvement(
        [merit(score) for score in winner.scores],
        [merit(score) for score in reference.scores],
        plan.sections.stability.confidence,
    )
    return Improvement(probability, interval.low, interval.high)


def optimism(plan: Plan, candidates: Sequence[Finalist], promised: Promise) -> Optimism:
    """How much better the search's own scores were than fresh seeds say; `candidates[0]` won."""
    merit = plan.objective.merit
    gaps = [merit(c.explored) - merit(c.mean) for c in candidates]
    mean, interval = mean_of(gaps, plan.sections.stability.confidence)
    return Optimism(
        mean=mean,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        winner=merit(candidates[0].explored) - merit(promised.mean),
    )


def _finite(interval: Interval, mean: float) -> Interval:
    """The mean alone where an end is unknown.

    A column without ends whose seeds agree exactly, such as the parameters, is no accident.
    """
    return interval if math.isfinite(interval.width) else Interval(mean, mean)


def _named(book: Book, number: int) -> Trial:
    """The first seed's trial of the config of a trial that a user names."""
    trial = book.trials.get(number)
    if trial is None or not trial.searches:
        raise UserError(
            "stability.trials", number, "is no trial of the search: see `trm status RUN`"
        )
    if trial.infeasible:
        raise UserError("stability.trials", number, f"is infeasible: {trial.reason}")
    return book.trials[trial.candidate]


def _explored_scores(plan: Plan, book: Book, chosen: Sequence[Trial]) -> dict[int, float]:
    """What the search made of each finalist; of one that it stopped early, where it stood then."""
    whole = {candidate.trial.id: candidate.score for candidate in explored(plan, book)}
    worst = plan.objective.worst(0.0)
    return {
        trial.id: whole.get(trial.id, worst if trial.score is None else trial.score)
        for trial in chosen
    }


def _means(
    plan: Plan, book: Book, trials: Sequence[Trial]
) -> tuple[dict[str, float], dict[str, float]]:
    """The mean of every objective over a config's seeds, and the violation of every constraint."""
    first, *others = plan.objectives
    scores = [_score(trial) for trial in trials]
    values = {first.column: math.fsum(scores) / len(scores)}
    if not plan.needs_rows:
        return values, {}
    rows = [book.curve(trial.id)[-1] for trial in trials if trial.completed]
    for objective in others:
        own = [objective.value(row) for row in rows] or [objective.worst(0.0)]
        values[objective.column] = math.fsum(own) / len(own)
    return values, violations(plan.constraints, rows) if rows else {}


def _merit_bounds(objective: Objective, worst: float) -> tuple[float, float]:
    """The ends of the first objective's merit; the worst one seen where the column has none."""
    low, high = sorted(objective.merit(end) for end in objective.bounds)
    return (low if math.isfinite(low) else worst), high


def _without_seed(trial: Trial) -> str:
    train = {key: value for key, value in trial.config["train"].items() if key != "seed"}
    return json.dumps({**trial.config, "train": train}, sort_keys=True)


def _score(trial: Trial) -> float:
    assert trial.score is not None, trial
    return trial.score
