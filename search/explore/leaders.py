"""How good the configs of a search are believed to be, all seeds and curves taken together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from search.config.plan import Plan
from search.explore.candidates import last_rows, past_trial, runs_by_config
from search.explore.evidence import Evidence
from search.explore.guide import MOST
from search.ledger.book import Book
from search.samplers.gaussian.belief import Belief, belief_of
from search.samplers.history import History

CAUTION = 0.5
"""Deviations by which what is believed of a config is lowered."""


def cautious(belief: Belief, numbers: Sequence[int]) -> list[float]:
    """What candidates are believed to be worth, on the belief's scale, less where it is unsure."""
    places = [belief.place(number) for number in numbers]
    return [float(belief.mean[p] - CAUTION * belief.deviation[p]) for p in places]


def believed(plan: Plan, book: Book) -> Mapping[int, float]:
    """By the trial of its first seed, what each config that has completed is believed to be worth;
    more is better. Empty where the search learns nothing from single runs.
    """
    if not plan.learns_from_runs or len(plan.objectives) > 1 or plan.breeds:
        return {}
    history, firsts = searched(plan, book)
    whole = completed(history)
    if not whole:
        return {}
    found = cautious(belief_of(history, plan.space, MOST), whole)
    return {firsts[n]: value for n, value in zip(whole, found, strict=True)}


def searched(plan: Plan, book: Book) -> tuple[History, list[int]]:
    """A search with all its seeds and curves as its sampler would know it, and the trial of the
    first seed of each config; of one objective.
    """
    groups = list(runs_by_config(book.trials).values())
    evidence, explored = Evidence(plan), {t.id for seeds in groups for t in seeds}
    for trial_id, rows in book.curves():
        for row in rows if trial_id in explored else ():
            evidence.note(trial_id, row)
    last = last_rows(plan, book, [trial for seeds in groups for trial in seeds])
    floor = min((t.score for s in groups for t in s if t.failed and t.score is not None), default=0)
    records = [
        past_trial(
            plan, number, seeds, last,
            complete=seeds[0].ended, floor=floor, rungs={}, runs=evidence.runs(seeds),
        )
        for number, seeds in enumerate(groups)
    ]  # fmt: skip
    directions = [objective.resolved_direction for objective in plan.objectives]
    history = History(directions, (), records, plan.objective.bounds)
    return history, [seeds[0].id for seeds in groups]


def completed(history: History) -> list[int]:
    """The candidates that may be picked."""
    return [record.number for record in history.records if record.outcome == "completed"]
