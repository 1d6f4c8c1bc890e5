"""Whether early stopping ranks configs as the end does, from the curves that are there.

At each rung, the reports of the trials that reached it are ranked against the end: by what the
scheduler ranks by, and by every other column that it might rank by. Only the trials that were not
stopped have an end, and those are alike in what they were chosen by, which lowers a correlation
(restriction of range); so it is given as seen and corrected for that selection.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from search.config.plan import Plan, read_plan
from search.explore.enough import FEWEST
from search.ledger.book import Book, refuse_ablations
from search.ledger.files import SWEEP_FILE
from search.ledger.reader import read_book
from search.ledger.storage import Place, place
from search.ledger.trial import Row
from search.schedulers.rungs import highest
from search.schedulers.scheduler import EarlyStoppingConfig, RungConfig
from search.stability.claims import claim
from search.stats.rank_correlation import DRAWS, MOST, Correlation, correlate
from trm.errors import UserError
from trm.report import COLUMNS

USUAL_COLUMNS = ("exact_accuracy", "cell_accuracy", "lm_loss", "train_loss")
"""What a scheduler might rank by, beside what it does."""
WITHOUT_RUNGS = (0.25, 0.5, 0.75)
"""Where to look in a run whose trials were never stopped."""
LEAST_CORRELATION = 0.5
"""A rung whose correlation is surely below this is not worth stopping at."""


@dataclass(frozen=True)
class RungScores:
    """What one trial says.

    Attributes:
        config: its config's number.
        rungs: by rung, its first report at or past it.
        end: final merit (more is better), the mean over all seeds of its config; None if it was
            stopped.
    """

    config: int
    rungs: Mapping[int, Row]
    end: float | None


@dataclass(frozen=True)
class Rung:
    """A fidelity at which trials can be ranked.

    Attributes:
        share: of a full run.
        by: by column, how it ranks the end.
        best: the column with the highest correlation; empty where none is defined.
        warning: one line if what the scheduler ranks by ranks badly, else empty.
    """

    share: float
    by: dict[str, Correlation]
    best: str
    warning: str


@dataclass(frozen=True)
class Fidelity:
    """What rungs say of the end.

    Attributes:
        metric: the column that the scheduler ranks by.
        objective: the column at the end.
        stops: whether trials were stopped at the rungs, so that correlations are of survivors.
        confidence: of the intervals.
        ended: configs that ran to their end.
        rungs: those that enough of them reached.
    """

    metric: str
    objective: str
    stops: bool
    confidence: float
    ended: int
    rungs: list[Rung]

    @property
    def warnings(self) -> list[str]:
        """One line for each rung at which early stopping ranks badly."""
        return [rung.warning for rung in self.rungs if rung.warning]

    @property
    def thinning(self) -> str:
        """A sentence on how many trials take part, where not all do; else empty."""
        some = [
            f"{own.used:,} of {own.known:,} at {rung.share:.0%}"
            for rung in self.rungs
            if (own := rung.by[self.metric]).used < own.known
        ]
        if not some:
            return ""
        shares = ", ".join(some)
        return f"Of the trials that reached a rung, some take part, evenly spread: {shares}."


def fidelity(source: Place | str) -> Fidelity:
    """How the rungs of a run, finished or not, or of a recording rank its configs.

    >>> fidelity(run).metric
    'cell_accuracy'

    Raises:
        UserError: neither is there, it holds ablations, or the run breeds a population and
            stops nobody.
    """
    where = place(source)
    if not (where / SWEEP_FILE).is_file() and isinstance(where, Path) and where.is_file():
        # `trm status` warns by what is here, and should not wait for a whole simulated sweep.
        from search.simulator.recording import read_recording
        from search.simulator.simulator import plan_of

        recording = read_recording(where)
        plan = plan_of(recording)
        config, shares = _steering(plan)
        curves = []
        for (number, _), run in recording.runs.items():
            end = recording.quality(number, recording.seeds, plan.objective)
            curves.append(
                RungScores(number, _rungs_of(run.rows, config, shares), plan.objective.merit(end))
            )
        return measure(plan, curves)
    plan, book = read_plan(where), read_book(where)
    refuse_ablations(where, book.trials)
    return measure(plan, run_curves(plan, book))


def run_curves(plan: Plan, book: Book) -> list[RungScores]:
    """The curves of a run's search; ends are means over all of a config's runs that completed.

    Raises:
        UserError: the run breeds a population.
    """
    config, shares = _steering(plan)
    ends: dict[int, list[float]] = defaultdict(list)
    for trial in book.trials.values():
        # A sensitivity analysis files what it varies under the winner's number: other configs.
        same = trial.stage in ("explore", "confirm", "promise")
        if same and trial.completed and trial.score is not None:
            ends[trial.candidate].append(plan.objective.merit(trial.score))
    columns = [*_columns(plan), "progress", "step", "train_seconds", "diverged"]
    curves = []
    for number, rows in book.curves(columns):
        trial = book.trials[number]
        if not trial.explores or trial.outcome not in ("completed", "pruned"):
            continue
        mean = float(np.mean(ends[trial.candidate])) if trial.completed else None
        curves.append(RungScores(trial.candidate, _rungs_of(rows, config, shares), mean))
    return curves


def measure(
    plan: Plan,
    curves: Sequence[RungScores],
    columns: Sequence[str] = (),
    draws: int = DRAWS,
    most: int = MOST,
) -> Fidelity:
    """The correlations at every rung that enough configs reached which ran to their end.

    Args:
        columns: what to rank by, beside the scheduler's metric; none is all that might be.
        draws: bootstrap resamples.
        most: trials that take part at a rung; of more, that many do, evenly spread.
    """
    _, shares = _steering(plan)
    metric, confidence = metric_of(plan), plan.sections.stability.confidence
    wanted = list(dict.fromkeys((metric, *(columns or _columns(plan)))))
    found = []
    for index, share in enumerate(shares):
        reached = [curve for curve in curves if index in curve.rungs]
        by = {}
        for column in wanted:
            kept = [c for c in reached if _known(c, index, column) and _known(c, index, metric)]
            if _ended(kept) < FEWEST:
                continue
            by[column] = correlate(
                _values(plan, kept, index, column),
                np.array([math.nan if curve.end is None else curve.end for curve in kept]),
                _values(plan, kept, index, metric),
                np.array([curve.config for curve in kept]),
                confidence,
                draws=draws,
                most=most,
            )
        if metric in by:
            best = max(by, key=lambda column: _estimate(by[column]))
            best = best if by[best].best_estimate is not None else ""
            warning = _warning(share, metric, by, best, confidence)
            found.append(Rung(share, by, best, warning))
    stops = any(c.stopped for rung in found for c in rung.by.values())
    ended = _ended(curves)
    return Fidelity(metric, plan.objective.column, stops, confidence, ended, found)


def _ended(curves: Sequence[RungScores]) -> int:
    """Configs that ran to their end."""
    return len({curve.config for curve in curves if curve.end is not None})


def metric_of(plan: Plan) -> str:
    """The column that the scheduler ranks by."""
    config = plan.early_stopping
    if isinstance(config, RungConfig) and config.metric is not None:
        return config.metric
    return plan.objective.column


def fidelity_warning(plan: Plan, book: Book) -> str | None:
    """The worst that can be said of a run's early stopping, in one line; None if it is well."""
    if not plan.stops_early:
        return None
    if not any(trial.pruned for trial in book.trials.values()):
        return None
    warnings = measure(plan, run_curves(plan, book), draws=DRAWS // 2).warnings
    return warnings[0] if warnings else None


def _steering(plan: Plan) -> tuple[EarlyStoppingConfig, tuple[float, ...]]:
    """How trials are stopped, and the rungs below the end."""
    if plan.breeds:
        raise UserError(
            "search.scheduler", "pbt", "stops nobody, so no rung is to be checked: look at asha, "
            "halving, hyperband or median"
        )  # fmt: skip
    if not plan.stops_early:
        raise UserError(
            "search.scheduler", plan.sections.search.scheduler.name, "comes from a plug-in, which "
            "looking at a run does not import: its rungs are unknown",
        )  # fmt: skip
    return plan.early_stopping, plan.scheduler().shares[:-1] or WITHOUT_RUNGS


def _columns(plan: Plan) -> list[str]:
    return list(dict.fromkeys((metric_of(plan), plan.objective.column, *USUAL_COLUMNS)))


def _rungs_of(
    rows: Sequence[Row], config: EarlyStoppingConfig, shares: Sequence[float]
) -> dict[int, Row]:
    found: dict[int, Row] = {}
    for row in rows:
        index = highest(shares, config.share(row))
        if index > max(found, default=-1) and not row.get("diverged"):
            found[index] = row
    # A report that passes several rungs at once says what is known at each of them.
    for index in range(max(found, default=-1)):
        later = min(rung for rung in found if rung >= index)
        found.setdefault(index, found[later])
    return found


def _known(curve: RungScores, rung: int, column: str) -> bool:
    value = curve.rungs[rung].get(column)
    return value is not None and math.isfinite(value)


def _values(plan: Plan, curves: Sequence[RungScores], rung: int, column: str) -> np.ndarray:
    values = np.array([float(curve.rungs[rung][column]) for curve in curves])
    return values if _more_is_better(plan, column) else -values


def _more_is_better(plan: Plan, column: str) -> bool:
    config = plan.early_stopping
    if column == metric_of(plan) and isinstance(config, RungConfig):
        return config.ranking_mode("max" if plan.objective.maximizes else "min") == "max"
    if column == plan.objective.column:
        return plan.objective.maximizes
    return COLUMNS[column].better != "less"


def _estimate(correlation: Correlation) -> float:
    """The correlation; below all others where it is undefined."""
    found = correlation.best_estimate
    return -math.inf if found is None else found.value


def _warning(
    share: float, metric: str, by: Mapping[str, Correlation], best: str, confidence: float
) -> str:
    own = by[metric]
    seen = own.best_estimate
    # What is undefined ranks neither well nor badly.
    if seen is None or (seen.value >= 0 and seen.high >= LEAST_CORRELATION):
        return ""
    how = "the wrong way round" if seen.value < 0 else "badly"
    words = claim(
        "rung_misranks",
        share=f"{share:.0%}",
        metric=metric,
        how=how,
        value=f"{seen.value:.2f}",
        sure=f"{confidence:.0%}",
        low=f"{seen.low:.2f}",
        high=f"{seen.high:.2f}",
        trials=f"{own.trials}",
    )
    if best not in ("", metric) and _estimate(by[best]) > max(seen.value, 0.0):
        words += f"; {best} ranks best there ({_estimate(by[best]):.2f})"
    return words
