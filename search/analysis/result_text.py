"""What the confirm stage found, as a table for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.analysis.explained import (
    BRIEFLY,
    bound_words,
    explanation,
    one_seed_each,
)
from search.config.plan import Plan
from search.ledger.book import Book
from search.ledger.lineage import PLACE, SETTING, learned_history
from search.ledger.trial import Trial
from search.stability.claims import claim, odds
from search.stability.recursion import effective, still
from search.stability.result import DepthLoss, Finalist, Promise, RaceSummary, Result
from search.stability.standing import beats_words, defaults_words, is_default, lead_words


def result_text(plan: Plan, result: Result, book: Book, *, explain: bool = False) -> str:
    """The ranking, the winner's values, what it promises, and how lucky the search's scores were.

    Args:
        explain: a line for each number says what it is.
    """
    trials = book.trials
    winner, sure = trials[result.winner], f"{result.confidence:.0%}"
    lines = [f"confirmed over fresh seeds, by robust score ({bound_words(result)}):"]
    lines += _candidates(result.candidates, sure, several=len(plan.objectives) > 1)
    if not explain:
        lines.append(BRIEFLY)
    if result.race is not None:
        lines.append(race_line(result.race, [len(c.scores) for c in result.candidates]))
    if result.front:
        lines.append(f"Pareto front of the confirmed: trials {', '.join(map(str, result.front))}")
    lines += [
        f"winner: trial {result.winner}"
        + (f", but {reservation}" if (reservation := result.winning.reservation) else ""),
        *_winner_lines(plan, winner, trials),
        *([f"  {still(winner.config)}"] if still(winner.config) else []),
        f"  {lead_words(plan, result, book)}",
        f"promised {result.objective} of one fresh seed: {promised_text(result)}",
        _promise_line("winner", result.promise, result.objective) + _foreseen(plan, result),
        *_promise_details(result.promise, sure),
        *_default_lines(result, sure, same=is_default(plan, result, book)),
        f"  {defaults_words(plan, result, book)}",
        *_luck_lines(result, sure),
        *(explanation(result, plan.objective) if explain else []),
    ]
    return "\n".join(lines)


def values_text(values: Mapping[str, float]) -> str:
    """Objectives and their values on one line."""
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


def _candidates(candidates: Sequence[Finalist], sure: str, *, several: bool) -> list[str]:
    head = ["trial", "robust", "mean", f"{sure} of mean", "IQM", "failed", "best", "explored"]
    deep = any(candidate.deeper is not None for candidate in candidates)
    rows = [
        [
            str(c.trial),
            f"{c.robust:.3f}",
            f"{c.mean:.3f}",
            "" if c.mean_low is None else f"{c.mean_low:.3f} to {c.mean_high:.3f}",
            "" if c.iqm is None else f"{c.iqm:.3f}",
            f"{c.failures} of {len(c.scores)}",
            "" if c.best is None else odds(c.best),
            f"{c.explored:.3f}",
            *([_lost(c.deeper)] if deep else []),
        ]
        for c in candidates
    ]
    head += ["lost16x"] if deep else []
    if one_seed_each(candidates):
        for row in rows:
            row[1] = row[6] = "-"
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ["  " + "  ".join(map(str.rjust, head, widths)) + "  seeds"]
    for candidate, row in zip(candidates, rows, strict=True):
        scores = " ".join(f"{score:.3f}" for score in candidate.scores)
        notes = f"  {candidate.reservation}" if candidate.reservation else ""
        notes += f"  {values_text(candidate.values)}" if several else ""
        lines.append("  " + "  ".join(map(str.rjust, row, widths)) + f"  {scores}{notes}")
    if one_seed_each(candidates):
        lines.append(
            "  robust, the range of the mean and best are undefined: one seed each says nothing of "
            "the spread between seeds; `trm stability RUN --seeds 2` runs more"
        )
    return lines


def race_line(race: RaceSummary, seeds: Sequence[int]) -> str:
    """How the race went.

    Args:
        seeds: how many each candidate has.
    """
    runs = _count(race.runs, "trial")
    if len(seeds) == 1:
        return f"no race, there is one candidate: {runs}"
    if not race.racing:
        # An earlier race may have given some more than others.
        equal = len(set(seeds)) == 1
        return f"as many seeds for each: {runs}" if equal else f"no race now: {runs} so far"
    # What ran under an earlier, larger budget counts.
    within = race.runs <= race.budget
    of = f"of a budget of {race.budget}" if within else f"so far, budget {race.budget}"
    return f"race: {runs} {of}; {claim(f'race_{race.ending}')}"


def _winner_lines(plan: Plan, winner: Trial, trials: Mapping[int, Trial]) -> list[str]:
    """What was drawn for the winner; what its curriculum learned, if a population did."""
    known = effective(winner.params, winner.config)
    drawn = [(name, value) for name, value in known.items() if name not in PLACE]
    lines = [f"  {name} = {_short(value)}" for name, value in drawn if not name.startswith(SETTING)]
    if plan.breeds:
        before = None
        for start, settings in learned_history(
            trials, winner, plan.population.marks(slow_start=False)
        ):
            if settings != before:
                words = ", ".join(f"{name} {_short(value)}" for name, value in settings.items())
                lines.append(f"  from {start:.0%}: {words}")
            before = settings
    return lines


def _default_lines(result: Result, sure: str, *, same: bool) -> list[str]:
    """What the file's default values did; nothing where they are the winner."""
    if same:
        return []
    return [
        _promise_line("your defaults", result.reference, result.objective),
        *_promise_details(result.reference, sure),
    ]


def _promise_line(who: str, promise: Promise, objective: str) -> str:
    scores = " ".join(f"{score:.3f}" for score in promise.scores)
    # `test` is looked at for exact accuracy alone, whatever the search was for.
    test = "test" if objective == "exact_accuracy" else "exact accuracy on test"
    return (
        f"  {who:<17} valid {promise.mean:.3f} over {len(promise.scores)} more seeds ({scores}), "
        f"{test} {promise.test_mean:.3f}"
    )


def promised_text(result: Result) -> str:
    """The promised interval, or why there is none."""
    if result.promise.undefined:
        return f"undefined: {result.promise.undefined}"
    return f"{result.promise.low:.3f} to {result.promise.high:.3f} ({result.confidence:.0%})"


def _foreseen(plan: Plan, result: Result) -> str:
    """What the race foresaw of the mean of the promise seeds."""
    foreseen = result.winning.foreseen
    if foreseen is None:
        return ""
    at_least = "at least" if plan.objective.maximizes else "at most"
    return f"; foreseen: {at_least} {foreseen:.3f}"


def _lost(found: DepthLoss | None) -> str:
    return "" if found is None else f"{found.mean:.3f}"


def _deeper(promise: Promise, sure: str) -> list[str]:
    """What the promise seeds say of more depth and breadth than in training."""
    lines = []
    if (lost := promise.deeper) is not None:
        lines.append(
            f"  {'':<17} at 16 times the trained depth it {lost.words} of exact accuracy, "
            f"the worst of {_count(lost.seeds, 'seed')} {lost.worst:.3f}"
        )
    if (thought := promise.thought) is not None:
        lines.append(
            f"  {'':<17} exact accuracy at {thought.where}: {thought.mean:.3f}, promised "
            f"{thought.low:.3f} to {thought.high:.3f} of one fresh seed ({sure})"
        )
    return lines


def _promise_details(promise: Promise, sure: str) -> list[str]:
    if promise.iqm is None or promise.failure_low is None:
        return _deeper(promise, sure)
    return [
        f"  {'':<17} mean {promise.mean_low:.3f} to {promise.mean_high:.3f}, IQM "
        f"{promise.iqm:.3f}; {promise.failures} of {len(promise.scores)} seeds failed, a rate of "
        f"{promise.failure_low:.0%} to {promise.failure_high:.0%} ({sure})",
        *_deeper(promise, sure),
    ]


def _luck_lines(result: Result, sure: str) -> list[str]:
    lines = []
    if words := beats_words(result.improvement, result.confidence):
        lines.append(words)
    if result.optimism is not None:
        luck = result.optimism
        words = (
            f"explored scores less fresh seeds: {luck.mean:+.3f} on average (range undefined: one "
            "candidate, or all alike)"
        )
        if luck.low is not None and luck.high is not None:
            ends = {"low": f"{luck.low:+.3f}", "high": f"{luck.high:+.3f}"}
            words = claim("luck", mean=f"{luck.mean:+.3f}", sure=sure, **ends)
        several = _count(len(result.candidates), "candidate")
        lines.append(f"{words} over {several}, {luck.winner:+.3f} for the winner")
    return lines


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
