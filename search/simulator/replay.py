"""The draws of a sweep again, each from what was known when it was made.

What was known is on record (`search.explore.asks`): for each draw the explore stage is set up as a
resume at that moment would have set it up, and asked for its next config. The sweep's own sampler
gives the same config, also where several workers ended in an order of their own; another one gives
what it would have tried there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from search.config.plan import Plan, read_plan
from search.explore.asks import BookThen, Standing, noted
from search.explore.candidates import explored
from search.explore.explore import Explore
from search.explore.warm_start import Warm, read_start
from search.ledger.book import Book
from search.ledger.reader import read_book
from search.ledger.storage import Place
from search.objectives.outcome import FAILURES
from search.simulator.recording import Recording
from trm.errors import UserError


@dataclass(frozen=True)
class Replayed:
    """A config that was drawn, and what is drawn now from what was known then.

    Attributes:
        trial: of its first seed.
        drawn: its parameters.
        again: those that are drawn now.
    """

    trial: int
    drawn: Mapping[str, Any]
    again: Mapping[str, Any]

    @property
    def same(self) -> bool:
        """Whether the draw is the same."""
        return self.drawn == self.again


@dataclass(frozen=True)
class Replay:
    """The draws of a sweep again.

    Attributes:
        draws: of every config that was drawn and whose ask is on record, in order.
        given: configs that were first points, which nobody drew.
        unknown: configs of an older version of this program, which noted nothing.
    """

    draws: tuple[Replayed, ...]
    given: int
    unknown: int

    @property
    def same(self) -> int:
        """How many draws are the same."""
        return sum(draw.same for draw in self.draws)


def replay(
    folder: Place,
    change: Callable[[Plan], Plan] = lambda plan: plan,
    show: Callable[[float], None] = lambda share: None,
) -> Replay:
    """Draw the configs of a run folder again; nothing in it is changed.

    Args:
        change: gives the plan to draw with, from the run's own.
        show: is told what share is done.

    Raises:
        UserError: the folder holds no sweep, or one whose order of asks is not on record.
    """
    plan = read_plan(folder)
    if plan.breeds:
        raise UserError(
            "--replay", str(folder), "has a population, which no sampler draws: replay another run"
        )
    return replayed(change(plan), read_book(folder), read_start(folder, plan), str(folder), show)


def replayed(
    plan: Plan,
    book: Book,
    start: Warm | None = None,
    name: str = "the run",
    show: Callable[[float], None] = lambda share: None,
) -> Replay:
    """Draw the configs of a book again.

    Args:
        plan: to draw with.
        start: what the sweep started from; None is the default alone.
        name: of the run, for errors.

    Raises:
        UserError: no config notes what was known when it was asked for.
    """
    configs = [t for t in book.trials.values() if t.explores and t.candidate == t.id]
    floor = next((t.score for t in configs if t.outcome in FAILURES and t.score is not None), 0.0)
    curves = dict(book.curves())
    known: dict[int, Standing] = {}
    draws = []
    given = unknown = 0
    for count, trial in enumerate(configs):
        show(count / len(configs))
        if not trial.asked:
            unknown += 1
            continue
        known |= noted(trial)
        then = BookThen(book, trial, known, curves, floor)
        explore = Explore(_planned(plan, trial.asked["planned"]), then, floor, start=start)
        (params, _), drawn = explore.proposal()
        if drawn:
            draws.append(Replayed(trial.id, trial.params, dict(params)))
        else:
            given += 1
    if unknown == len(configs):
        raise UserError(
            f"{name}: the order in which configs were asked for and told of is not on record: "
            "an older version of this program made it; one worker's sweep repeats itself from its "
            "sweep.yaml"
        )
    return Replay(tuple(draws), given, unknown)


@dataclass(frozen=True)
class OtherChoice:
    """What another way to draw would have tried, beside what was.

    Attributes:
        trial: of the config that was drawn.
        again: parameters of the other.
        nearest: the run's config that trained in whole and is nearest to the other.
        score: of that one.
        drawn: the score of the config that was drawn; None if it did not train in whole.
    """

    trial: int
    again: Mapping[str, Any]
    nearest: int
    score: float
    drawn: float | None


def choices(found: Replay, plan: Plan, book: Book) -> list[OtherChoice]:
    """What draws that differ would have come to, by the run's own scores: the nearest config's.

    Raises:
        UserError: no config has trained in whole.
    """
    whole = {one.trial.id: one for one in explored(plan, book)}
    if not whole:
        raise UserError("the run has no config that trained in whole: let the sweep go on")
    numbers = list(whole)
    params = [one.trial.params for one in whole.values()]
    table = Recording(plan.tree, params, seeds=(), runs={}, floor=0.0, examples=None)
    made = []
    for draw in found.draws:
        nearest = whole[numbers[table.nearest(draw.again)]]
        own = whole.get(draw.trial)
        made.append(
            OtherChoice(
                draw.trial, draw.again, nearest.trial.id, nearest.score,
                None if own is None else own.score,
            )
        )  # fmt: skip
    return made


def _planned(plan: Plan, configs: int) -> Plan:
    """The plan with another number of configs: an extended sweep had fewer at first."""
    search = plan.sections.search.model_copy(update={"trials": configs})
    return replace(plan, sections=plan.sections.model_copy(update={"search": search}))
