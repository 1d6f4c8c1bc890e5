"""The verdict on a run: use its winner, use it with care, or not yet; why, and what to do next."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from search.config.plan import Plan
from search.ledger.book import Book
from search.ledger.lineage import spent
from search.ledger.trial import Trial
from search.logs.console import duration
from search.stability.claims import claim, measured
from search.stability.failings import OFTEN, Failing, failings, own_trials
from search.stability.next_steps import FEWEST_SEEDS, MOST_LOST, WIDE, NextStep, next_steps
from search.stability.recursion import still
from search.stability.result import Promise, Result
from search.stability.standing import (
    against_defaults,
    defaults_words,
    is_default,
    lead,
    lead_words,
    little,
    promised_words,
)
from search.stats.averages import failure_rate

UseLevel = Literal["use it", "use it with care", "not yet"]


@dataclass(frozen=True)
class Reason:
    """One line of a verdict.

    Attributes:
        words: without a full stop.
        weight: `for` using it, `care`, `against`, or `so`, which speaks for neither.
    """

    words: str
    weight: Literal["for", "care", "against", "so"]


@dataclass(frozen=True)
class RunVerdict:
    """What a reader should do with a run.

    Attributes:
        level: the verdict.
        subject: whom it is on.
        reasons: the most important first.
        cost: of one training of it and of the whole run, in a line; empty before there is any.
        steps: what to do next, at least one.
    """

    level: UseLevel
    subject: str
    reasons: tuple[Reason, ...]
    cost: str
    steps: tuple[NextStep, ...]

    @property
    def title(self) -> str:
        """
        >>> RunVerdict("not yet", "no winner", (), "", ()).title
        'Not yet: no winner'
        """
        return f"{self.level[0].upper()}{self.level[1:]}: {self.subject}"


def verdict(plan: Plan, result: Result | None, book: Book, run: str = "RUN") -> RunVerdict:
    """The verdict on a run in any state.

    Args:
        run: the run's folder, as its commands are to name it.
    """
    run = shlex.quote(run)
    if result is None or result.winner not in book.trials:
        return _unfinished(plan, book, run)
    winner = book.trials[result.winner]
    own = own_trials(plan, book, winner)
    promise = result.promise
    found = failings(book, own)
    reasons = [
        *_unfit(result),
        _promised(plan, result, book),
        *_among_finalists(plan, result, book),
        *_against_defaults(plan, result, book),
        *_little(plan, result, book),
        *_failed(result, own),
        *(_failing(one) for one in found),
        *_deeper(promise),
        *([Reason(still(winner.config), "so")] if still(winner.config) else []),
    ]
    weights = {reason.weight for reason in reasons}
    level: UseLevel = "use it"
    if "against" in weights:
        level = "not yet"
    elif "care" in weights:
        level = "use it with care"
    return RunVerdict(
        level,
        f"trial {result.winner}",
        tuple(sorted(reasons, key=lambda reason: reason.weight != "against")),
        _cost(plan, book, own),
        tuple(next_steps(plan, result, book, found, run)),
    )


def verdict_on_other(trial: Trial, result: Result | None, run: str = "RUN") -> RunVerdict:
    """The verdict on a config of the search that is not the winner.

    Args:
        run: the run's folder, as its commands are to name it.
    """
    raced = result is not None and trial.id in {c.trial for c in result.candidates}
    words = (
        "it raced over fresh seeds, and another config won: its seeds took part in the choice"
        if raced
        else "it is not confirmed over fresh seeds: its score is of the search, and optimistic"
    )
    step = NextStep(
        f"trm stability {shlex.quote(run)} --trials {trial.id}", "confirms it over fresh seeds"
    )
    return RunVerdict("not yet", f"trial {trial.id}", (Reason(words, "against"),), "", (step,))


def hopeless(plan: Plan, book: Book) -> bool:
    """Whether a search has ended without a trial that did not fail: to go on brings nothing."""
    searched = [trial for trial in book.trials.values() if trial.searches]
    ended = len(searched) >= plan.wanted * plan.seeds
    return ended and all(trial.failed or trial.infeasible for trial in searched)


def _unfinished(plan: Plan, book: Book, run: str) -> RunVerdict:
    trials = book.trials.values()
    searched = [trial for trial in trials if trial.searches]
    whole = [trial for trial in searched if trial.completed]
    reasons = []
    if not searched:
        reasons.append(Reason("nothing has run yet", "against"))
    elif not whole:
        reasons.append(Reason("no trial of the search has run to its end", "against"))
    else:
        words = "the best is not confirmed over fresh seeds: its score is of one seed, and chosen"
        reasons.append(Reason(words, "against"))
    wanted = plan.wanted * plan.seeds
    drawn = f"{len(searched):,} of {wanted:,} trials are drawn, {len(whole):,} ran to their end"
    reasons.append(Reason(drawn, "so"))
    failed = [trial for trial in searched if trial.failed]
    if failed:
        reasons.append(Reason(f"{len(failed):,} of {len(searched):,} trials failed", "so"))
    if failed and hopeless(plan, book):
        return RunVerdict(
            "not yet",
            "no winner",
            tuple(reasons),
            _cost(plan, book, []),
            (
                NextStep(f"trm diagnose {run}", "says why trials failed"),
                NextStep(f"trm logs {run} {failed[0].id}", "has what the first of them wrote"),
            ),
        )
    steps = [
        NextStep(f"trm sweep {run}/sweep.yaml --out {run} --resume", "goes on where it stands"),
        NextStep(f"trm status {run}", "says who is at work"),
    ]
    if failed and len(failed) * 2 > len(searched):
        steps.insert(0, NextStep(f"trm diagnose {run}", "says why trials failed"))
    return RunVerdict("not yet", "no winner", tuple(reasons), _cost(plan, book, []), tuple(steps))


def _unfit(result: Result) -> list[Reason]:
    why = result.winning.reservation
    if why:
        return [Reason(f"it ranks first, and is not fit for use: {why}", "against")]
    return []


def _promised(plan: Plan, result: Result, book: Book) -> Reason:
    promise, words = result.promise, promised_words(result)
    seeds = len(promise.scores)
    if promise.failures == seeds:
        return Reason(words, "against")
    if promise.undefined:
        return Reason(words, "care")
    wide = plan.objective.is_share and promise.high - promise.low > WIDE
    if seeds < FEWEST_SEEDS or wide:
        few = f"{seeds} seed{'' if seeds == 1 else 's'}"
        return Reason(f"{words}, which is wide, from {few}" if wide else f"{words}, from {few}",
                      "care")  # fmt: skip
    return Reason(words, "so" if little(plan, result, book) else "for")


def _among_finalists(plan: Plan, result: Result, book: Book) -> list[Reason]:
    found = lead(plan, result, book)
    weight: Literal["for", "care"] = "for" if found.ahead else "care"
    words = lead_words(plan, result, book)
    return [Reason(words, weight if found.others else "so")]


def _against_defaults(plan: Plan, result: Result, book: Book) -> list[Reason]:
    words = defaults_words(plan, result, book)
    found = against_defaults(plan, result, book)
    if is_default(plan, result, book):
        return [Reason(words, "so")]
    if found is not None and found.settled:
        return [Reason(words, "for" if found.low > 0 else "against")]
    return [Reason(words, "care")]


def _little(plan: Plan, result: Result, book: Book) -> list[Reason]:
    if not little(plan, result, book):
        return []
    high = measured(result.promise.high)
    return [Reason(claim("little", high=high, objective=result.objective), "against")]


def _failed(result: Result, own: Sequence[Trial]) -> list[Reason]:
    if not own:
        return []
    failed = sum(trial.failed for trial in own)
    rate = failure_rate(failed, len(own), result.confidence)
    words = claim(
        "failure_rate",
        failed=f"{failed}",
        trials=f"{len(own)}",
        low=f"{rate.low:.0%}",
        high=f"{rate.high:.0%}",
        sure=f"{result.confidence:.0%}",
    )
    return [Reason(words, "care" if failed else "for")]


def _failing(one: Failing) -> Reason:
    serious = one.severity == "failure" or one.trials >= OFTEN * one.of
    return Reason(one.words, "care" if serious else "so")


def _deeper(promise: Promise) -> list[Reason]:
    lost = promise.deeper
    if lost is None:
        return []
    seeds = f"the worst of {lost.seeds} seed{'' if lost.seeds == 1 else 's'} {measured(lost.worst)}"
    words = f"run 16 times deeper than trained it {lost.words} of exact accuracy"
    if lost.mean <= 0 and lost.worst <= MOST_LOST:
        return [Reason("run 16 times deeper than trained it loses no exact accuracy", "for")]
    bad = lost.mean > MOST_LOST or lost.worst > 2 * MOST_LOST
    return [Reason(f"{words}, {seeds}", "care" if bad else "so")]


def _cost(plan: Plan, book: Book, own: Sequence[Trial]) -> str:
    compute, seconds = spent(book.trials)
    if not compute:
        return ""
    whole = [trial.seconds for trial in own if trial.completed and trial.seconds > 0]
    parts = []
    if whole:
        mean = math.fsum(whole) / len(whole)
        parts.append(f"one training of it {duration(mean)} of a worker")
    parts.append(f"the run {duration(seconds)} of workers, {compute / plan.budget:.3g} trainings")
    return "; ".join(parts)
