"""Learning curves as points of a linear space, and back.

A share is a logit and a positive number a logarithm, so that means and sums of curves are curves.
Most runs of a wide space end with an exact accuracy of 0 although some are far nearer to the first
solved puzzle than others: there the logit is what losses and cell accuracies say, by a linear fit
over the reports that have solved some, and at most that of half a puzzle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.ledger.trial import Row

SOLVED = (
    "exact_accuracy",
    "early_exact_accuracy",
    "live_exact_accuracy",
    "train_exact_accuracy",
)
"""Shares of puzzles that are often 0."""
SHARES = ("cell_accuracy", "blank_accuracy", "halt_accuracy", "halt_auc")
POSITIVE = (
    "lm_loss",
    "train_loss",
    "halt_loss",
    "grad_norm",
    "grad_norm_max",
    "update_ratio",
    "mean_steps",
    "latency",
)
RISING = ("step", "seconds", "train_seconds")
COLUMNS = (*SOLVED, *SHARES, *POSITIVE, *RISING)
_SAYS_MORE = ("lm_loss", "cell_accuracy", "blank_accuracy")
"""What an exact accuracy of 0 is placed by."""
_LEAST_SHARE = 1e-3
_LEAST = 1e-9
_FARTHEST = -14.0
"""The least logit of solved puzzles that is told apart."""


@dataclass(frozen=True)
class Curves:
    """How runs of one recording are turned into points.

    Attributes:
        counts: [marks], examples of an evaluation; most runs' at that report.
        budget: FLOPs of a run.
        placing: for each of `SOLVED` the coefficients of `_SAYS_MORE`, a constant first.
    """

    counts: np.ndarray
    budget: float
    placing: np.ndarray

    @property
    def marks(self) -> int:
        """Reports of a run."""
        return len(self.counts)

    @classmethod
    def of(cls, runs: Sequence[Sequence[Row]], budget: float) -> Curves:
        """Fitted to a recording's runs that have all reports."""
        rows = [row for run in runs for row in run]
        reasons = np.array([[1.0, *_reasons(row)] for row in rows])
        found = []
        for name in SOLVED:
            some = np.array([row[name] > 0 for row in rows])
            logits = np.array([_logit(row[name], row["evaluated"]) for row in rows])
            found.append(np.linalg.lstsq(reasons[some], logits[some], rcond=None)[0])
        counts = np.median([[row["evaluated"] for row in run] for run in runs], axis=0)
        return cls(counts, budget, np.array(found))

    def point(self, run: Sequence[Row]) -> np.ndarray:
        """A whole run's point: [columns * marks], columns as in `COLUMNS`."""
        assert len(run) == self.marks, len(run)
        return np.array([self._of(row) for row in run]).T.ravel()

    def rows(self, point: np.ndarray) -> list[Row]:
        """The reports of a point."""
        values = self.values(point)
        return [
            {
                "mark": mark,
                "progress": mark / self.marks,
                "compute": self.budget * mark / self.marks,
                "diverged": False,
                "collapsed": False,
                "evaluated": int(self.counts[mark - 1]),
                **{name: float(values[name][mark - 1]) for name in COLUMNS},
            }
            for mark in range(1, self.marks + 1)
        ]

    def values(self, point: np.ndarray) -> Mapping[str, np.ndarray]:
        """Each column's values at the marks, of a point."""
        grid = point.reshape(len(COLUMNS), self.marks)
        found = {}
        for name, line in zip(COLUMNS, grid, strict=True):
            if name in SOLVED:
                found[name] = solved(line, self.counts)
            elif name in SHARES:
                found[name] = 1 / (1 + np.exp(-line))
            else:
                found[name] = np.exp(line)
            if name in RISING:
                found[name] = np.maximum.accumulate(found[name])
        return found

    def _of(self, row: Row) -> list[float]:
        reasons = np.array([1.0, *_reasons(row)])
        found = []
        for name, placing in zip(SOLVED, self.placing, strict=True):
            logit = _logit(row[name], row["evaluated"])
            if row[name] <= 0:
                logit = max(min(logit, float(reasons @ placing)), _FARTHEST)
            found.append(logit)
        found += [_share(row[name]) for name in SHARES]
        return found + [_log(row[name]) for name in (*POSITIVE, *RISING)]


def solved(logits: np.ndarray, counts: Any) -> np.ndarray:
    """The share of solved puzzles, a multiple of one of so many."""
    return np.round(counts / (1 + np.exp(-logits))) / counts


def final(curves: Curves, points: np.ndarray) -> np.ndarray:
    """The exact accuracy at the end of each point's run."""
    return solved(points[..., curves.marks - 1], curves.counts[-1])


def _reasons(row: Row) -> list[float]:
    return [_log(row[n]) if n in POSITIVE else _share(row[n]) for n in _SAYS_MORE]


def _logit(share: float, count: int) -> float:
    """Of a count with half a one added to either side."""
    right = share * count
    return float(np.log((right + 0.5) / (count - right + 0.5)))


def _share(value: float) -> float:
    kept = min(max(value, _LEAST_SHARE), 1 - _LEAST_SHARE)
    return float(np.log(kept / (1 - kept)))


def _log(value: float) -> float:
    return float(np.log(max(value, _LEAST)))
