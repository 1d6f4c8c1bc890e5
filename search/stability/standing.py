"""How the winner stands among the finalists and against the file's default values, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from search.config.plan import Plan
from search.ledger.book import Book
from search.stability.claims import claim, measured
from search.stability.confirm_race import rules
from search.stability.result import Improvement, Result
from search.stats.intervals import Difference, difference


@dataclass(frozen=True)
class Lead:
    """How the winner stands among the finalists.

    Attributes:
        others: the further finalists that may win.
        level: those of them that it is not ahead of.
    """

    others: tuple[int, ...]
    level: tuple[int, ...]

    @property
    def ahead(self) -> bool:
        """Whether it is ahead of all of them; False where there is none."""
        return bool(self.others) and not self.level


def lead(plan: Plan, result: Result, book: Book) -> Lead:
    """How sure the winner's place among the finalists is.

    The race's own test with half of what its confidence leaves: the race tells the best from those
    behind it, and is wrong twice as often where there is no best.
    """
    able = [c for c in result.candidates if c.feasible and c.works] or list(result.candidates)
    others = tuple(c.trial for c in able if c.trial != result.winner)
    if not others or result.winner not in {c.trial for c in able}:
        return Lead(others, others)
    merit = plan.objective.merit
    samples = {c.trial: [merit(score) for score in c.scores] for c in able}
    granted = rules(plan, len(result.candidates), book.trials)
    strict = replace(granted, confidence=(1 + granted.confidence) / 2)
    left = strict.left(samples, plan.counted(_examples(plan, book)))
    return Lead(others, tuple(trial for trial in left if trial != result.winner))


def against_defaults(plan: Plan, result: Result, book: Book) -> Difference | None:
    """The winner less the defaults over the promise seeds; None where they are one config, or
    where a single seed of either says nothing."""
    if is_default(plan, result, book) or len(result.reference.scores) < 2:
        return None
    return difference(
        result.promise.scores,
        result.reference.scores,
        result.confidence,
        maximize=plan.objective.maximizes,
        examples=plan.counted(plan.examples),
    )


def is_default(plan: Plan, result: Result, book: Book) -> bool:
    """Whether the file's default values won."""
    return book.trials[result.winner].params == plan.space.default()[0]


def little(plan: Plan, result: Result, book: Book) -> bool:
    """Whether the winner reaches less than half of an accuracy and is not ahead of the defaults:
    then nothing was found, however narrow the promise is."""
    promise, objective = result.promise, plan.objective
    if promise.undefined or not objective.maximizes or "accuracy" not in objective.column:
        return False
    found = against_defaults(plan, result, book)
    ahead = found is not None and found.settled and found.low > 0
    return promise.high < 0.5 and not ahead


def lead_words(plan: Plan, result: Result, book: Book) -> str:
    """The winner among the finalists, in a clause."""
    found = lead(plan, result, book)
    if not found.others:
        why = "is there" if len(result.candidates) == 1 else "may win"
        return claim("no_rival", why=why)
    if found.ahead:
        n = len(found.others)
        others = "the other finalist" if n == 1 else f"the {n} other finalists"
        others += " that may win" if n + 1 < len(result.candidates) else ""
        return claim("finalists_ahead", others=others, sure=f"{result.confidence:.0%}")
    names = [f"trial {trial}" for trial in found.level[:3]]
    if len(found.level) > 3:
        names.append(f"{len(found.level) - 3} more")
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    them = "it" if len(found.level) == 1 else "one of them"
    return claim("finalists_open", others=listed, them=them)


def defaults_words(plan: Plan, result: Result, book: Book) -> str:
    """The winner against the file's default values, in a clause."""
    if is_default(plan, result, book):
        return claim("defaults_won")
    found = against_defaults(plan, result, book)
    if found is None or found.df == 0:
        return claim("defaults_unknown")
    sure, low, high = f"{result.confidence:.0%}", found.low, found.high
    if not found.settled:
        return claim("defaults_open", low=measured(low), high=measured(high), sure=sure)
    if low > 0:
        return claim("defaults_ahead", low=measured(low), high=measured(high), sure=sure)
    return claim("defaults_behind", low=measured(-high), high=measured(-low), sure=sure)


def beats_words(found: Improvement | None, confidence: float) -> str:
    """How probable it is that a seed of the winner beats one of the defaults; empty if unknown."""
    if found is None:
        return ""
    return claim(
        "beats_defaults",
        low=f"{found.low:.2f}",
        high=f"{found.high:.2f}",
        sure=f"{confidence:.0%}",
        share=f"{found.probability:.0%}",
    )


def promised_words(result: Result) -> str:
    """What the winner promises of one fresh seed."""
    promise = result.promise
    if promise.undefined:
        return f"what a fresh seed of it reaches is undefined: {promise.undefined}"
    return claim(
        "promised",
        objective=result.objective,
        low=measured(promise.low),
        high=measured(promise.high),
        sure=f"{result.confidence:.0%}",
    )


def _examples(plan: Plan, book: Book) -> int | None:
    """How many examples a score of the race is a share of, if that is known."""
    for trial in book.trials.values():
        if trial.stage == "confirm" and trial.completed:
            rows = book.curve(trial.id)
            evaluated = rows[-1].get("evaluated") if rows else None
            if evaluated and math.isfinite(evaluated):
                return int(evaluated)
    return plan.examples
