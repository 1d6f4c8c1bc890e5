"""What a report is made of: everything that a run folder says, read once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from search.analysis.at_work import Work, at_work
from search.config.plan import Plan, read_plan
from search.config.seeds import REFERENCE
from search.explore.candidates import Explored, best_first, explored, runs_by_config
from search.ledger.book import Book
from search.ledger.files import RUN_FILE, read_json
from search.ledger.lineage import PARENT
from search.ledger.reader import read_book, read_curves
from search.ledger.storage import Place
from search.ledger.trial import Trial
from search.objectives.objective import Objective
from search.space.distributions import Distribution
from search.stability.result import Result, read_result

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """Every learning curve as arrays.

    Attributes:
        columns: by name, `[rows]`, sorted by trial and mark; what is missing is NaN.
        spans: each trial's rows.
    """

    columns: Mapping[str, Values]
    spans: Mapping[int, slice]

    def of(self, trial: int, column: str) -> Values:
        """A trial's values of a column, `[reports]`; empty where there are none."""
        if trial not in self.spans or column not in self.columns:
            return np.empty(0)
        return self.columns[column][self.spans[trial]]

    def last(self, trial: int, column: str) -> float:
        """The column in a trial's last report; NaN where there is none."""
        values = self.of(trial, column)
        return float(values[-1]) if len(values) else math.nan

    def has(self, column: str) -> bool:
        """Whether any report has a number there."""
        return column in self.columns and bool(np.isfinite(self.columns[column]).any())


@dataclass(frozen=True)
class ConfigPoint:
    """A config of the search as figures show it.

    Attributes:
        trial: its number.
        params: the drawn values.
        outcome: `completed`, `pruned` or `failed`.
        score: over all its seeds; of a pruned one, the last before it was stopped; of a failed
            one, the floor. NaN where there is none.
        share: the share of the budget that it has had.
    """

    trial: int
    params: Mapping[str, Any]
    outcome: str
    score: float
    share: float


@dataclass(frozen=True)
class Facts:
    """A run, finished or not.

    Attributes:
        folder: where it lies.
        plan: its space and sections.
        book: its trials, as the ledger has them.
        curves: every report.
        explored: the configs of the search that ran in whole, the best first.
        result: what its confirm stage found; None while it has not ended.
        head: `run.json`.
        work: what a driver was doing when the page was written; None if there was none.
    """

    folder: Place
    plan: Plan
    book: Book
    curves: Curves
    explored: Sequence[Explored]
    result: Result | None
    head: Mapping[str, Any]
    work: Work | None = None

    @property
    def named(self) -> str:
        """The run folder's own name: the page is for others, who have other folders."""
        return self.folder.name or "RUN"

    @property
    def trials(self) -> Mapping[int, Trial]:
        """Every trial, by id."""
        return self.book.trials

    @property
    def objective(self) -> Objective:
        """What a config wins by."""
        return self.plan.objective

    @property
    def best(self) -> Trial | None:
        """The winner; before there is one, the best explored config."""
        if self.result is not None:
            return self.trials[self.result.winner]
        return self.explored[0].trial if self.explored else None

    @cached_property
    def points(self) -> list[ConfigPoint]:
        """The configs of the search that say something about their parameters, by number."""
        whole = {one.trial.id: one for one in self.explored}
        found = []
        for number, seeds in runs_by_config(self.trials).items():
            first = seeds[0]
            share = first.compute / self.plan.budget
            if number in whole:
                found.append(
                    ConfigPoint(number, first.params, "completed", whole[number].score, share)
                )
            elif first.failed and first.score is not None:
                found.append(ConfigPoint(number, first.params, "failed", first.score, share))
            elif first.outcome in ("pruned", "stopped"):
                score = math.nan if first.score is None else first.score
                found.append(ConfigPoint(number, first.params, "pruned", score, share))
        return found

    @property
    def parameters(self) -> dict[str, Distribution]:
        """The parameters that have more than one value."""
        return {name: d for name, d in self.plan.space.parameters.items() if d.count > 1}

    def of_stage(self, stage: str, candidate: int | None = None) -> list[Trial]:
        """The trials of a stage, of one candidate if given."""
        return [
            trial
            for trial in self.trials.values()
            if trial.stage == stage and candidate in (None, trial.candidate)
        ]

    def parent(self, trial: int) -> int | None:
        """In a population, whose weights a stretch goes on from."""
        found = self.trials[trial]
        parent = found.params.get(PARENT) if found.breeds else None
        return parent if parent in self.trials else None

    def whole(self, trial: int, column: str) -> Values:
        """A column over the training of a trial's weights, `[reports]`.

        In a population that is also what the stretches reported that it goes on from.
        """
        line: list[int] = [trial]
        while (parent := self.parent(line[-1])) is not None:
            line.append(parent)
        return np.concatenate([self.curves.of(each, column) for each in reversed(line)])

    def promised(self, candidate: int) -> list[Trial]:
        """A candidate's runs over the promise seeds; the defaults' where it is those."""
        if found := self.of_stage("promise", candidate):
            return found
        own, default = self.trials.get(candidate), self.plan.space.default()[0]
        same = candidate == REFERENCE or (own is not None and own.params == default)
        return self.of_stage("reference", REFERENCE) if same else []

    def replicates(self, candidate: int) -> list[Trial]:
        """A candidate's runs over fresh seeds; the promise seeds if it has any."""
        return self.promised(candidate) or self.of_stage("confirm", candidate)


def read_facts(folder: Place) -> Facts:
    """Read a run folder, also while a driver is writing.

    Raises:
        UserError: the folder holds no run.
    """
    plan, book, result = read_plan(folder), read_book(folder), read_result(folder)
    if result is not None and result.winner not in book.trials:
        result = None
    return Facts(
        folder=folder,
        plan=plan,
        book=book,
        curves=_curves(read_curves(folder), book.trials),
        explored=best_first(plan, explored(plan, book)),
        result=result,
        head=read_json(folder / RUN_FILE),
        work=at_work(folder, plan, book),
    )


def _curves(table: pa.Table, trials: Mapping[int, Trial]) -> Curves:
    table = table.sort_by([("trial", "ascending"), ("mark", "ascending")])
    columns = {
        name: table[name].cast(pa.float64()).to_numpy()
        if not pa.types.is_boolean(table[name].type)
        else table[name].cast(pa.int8()).cast(pa.float64()).to_numpy()
        for name in table.column_names
    }
    whose = columns.pop("trial")
    numbers, starts = np.unique(whose, return_index=True)
    ends = [*starts[1:], len(whose)][: len(starts)]
    spans = {
        int(number): slice(int(start), int(end))
        for number, start, end in zip(numbers, starts, ends, strict=True)
        if int(number) in trials
    }
    return Curves(columns, spans)
