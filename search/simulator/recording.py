"""Learning curves of many configs over several seeds, from a run folder or one Parquet file.

A file is flat: one row a report, with `candidate`, `seed`, `params` (JSON), `outcome` and `reason`
of the run, and the report's columns. Its metadata holds the sweep's file as resolved (the space),
the floor of a failure and the number of examples that a score is a share of.

A suggestion stands for the recorded config nearest to it: the sum over parameters of squared
differences, numbers on [0, 1] by their own scale (logarithms for log ranges), 0 or 1 for options
that are equal or not, 1 for a conditional parameter that only one of the two has. Of equally near
configs the one that was recorded first; a config that the sweep has drawn before only once there
is no other, for in a continuous space a new suggestion is a new config.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from search.config.plan import read_plan
from search.explore.enough import require_enough
from search.ledger.reader import read_curves, read_trials
from search.ledger.storage import Place, readable
from search.ledger.trial import Row, Trial
from search.objectives.objective import Objective
from search.space.distributions import Choice, Distribution
from search.space.space import Space
from trm.errors import UserError
from trm.report import COLUMNS

RECORDING_VERSION = 1
MOST_MISSING = 0.25
"""Share of the configs that may lack a seed before the seed is left out instead of them."""
_KEY = b"recording"
_EXACT = ("compute",)
"""Columns of a file that need more than single precision."""


@dataclass(frozen=True)
class RecordedRun:
    """One config with one seed, from its first report to its end.

    Attributes:
        rows: its reports, by mark.
        outcome: `completed` or a failure.
        reason: one line about a failure.
    """

    rows: Sequence[Row]
    outcome: str
    reason: str = ""

    def reports(self, marks: Sequence[float]) -> list[Row]:
        """The first report at or past each share of the budget, and the last of all."""
        wanted = []
        index = 0
        for share in marks:
            while index < len(self.rows) and self.rows[index]["progress"] < share - 1e-9:
                index += 1
            wanted.append(index)
        last = len(self.rows) - 1
        return [self.rows[index] for index in sorted({min(i, last) for i in wanted}) if last >= 0]


@dataclass(frozen=True)
class Recording:
    """What was recorded.

    Attributes:
        tree: the sweep's file as resolved: its space, its budget in FLOPs.
        params: each config's drawn values; a config is known by its index here.
        seeds: every config has a run with each of them.
        runs: by (config, seed).
        floor: the task's, which a failure scores in exact accuracy.
        examples: how many examples a score is a share of; None if unknown.
        dropped: configs that were left out because a run of theirs is missing.
    """

    tree: dict[str, Any]
    params: Sequence[Mapping[str, Any]]
    seeds: tuple[int, ...]
    runs: Mapping[tuple[int, int], RecordedRun]
    floor: float
    examples: int | None
    dropped: int = 0

    @cached_property
    def space(self) -> Space:
        """The space that the configs were drawn from."""
        return Space.parse(self.tree)

    @cached_property
    def configs(self) -> list[dict[str, Any]]:
        """Each config's tree."""
        return [self.space.apply(params) for params in self.params]

    @cached_property
    def index(self) -> dict[frozenset[tuple[str, Any]], int]:
        """Each config's index by its values; of equal ones the first."""
        pairs = reversed(list(enumerate(self.params)))
        return {frozenset(params.items()): number for number, params in pairs}

    @cached_property
    def _places(self) -> np.ndarray:
        return np.array([self._place(params) for params in self.params])

    def nearest(self, params: Mapping[str, Any], drawn: Collection[int] = ()) -> int:
        """The recorded config that a suggestion stands for.

        Args:
            drawn: configs that the sweep had before. They are left out while there are others: a
                new suggestion is another config than those before it, with a luck of its own.
        """
        place, places = np.array(self._place(params)), self._places
        absent, absents = np.isnan(place), np.isnan(places)
        difference = np.where(absents, 0.0, places) - np.where(absent, 0.0, place)
        choices = [isinstance(d, Choice) for d in self.space.parameters.values()]
        difference[:, choices] = difference[:, choices] != 0
        difference[absents != absent] = 1.0
        distance = np.einsum("ij,ij->i", difference, difference)
        if 0 < len(drawn) < len(distance):
            distance[list(drawn)] = np.inf
        return int(np.argmin(distance))

    def score(self, config: int, seed: int, objective: Objective) -> float:
        """The last value of the objective; its worst for a failure."""
        run, worst = self.runs[config, seed], objective.worst(self.floor)
        value = objective.value(run.rows[-1]) if run.outcome == "completed" else worst
        return value if math.isfinite(value) else worst

    def quality(self, config: int, seeds: Sequence[int], objective: Objective) -> float:
        """A config's mean score over seeds."""
        return sum(self.score(config, seed, objective) for seed in seeds) / len(seeds)

    def _place(self, params: Mapping[str, Any]) -> list[float]:
        return [
            _scaled(distribution, params[name]) if name in params else math.nan
            for name, distribution in self.space.parameters.items()
        ]


def read_recording(path: Place) -> Recording:
    """A recording from a run folder, finished or in progress, or from a Parquet file.

    Raises:
        UserError: neither, or too few configs in it were recorded to their end.
    """
    if path.is_dir():
        return _from_run(path)
    if not path.is_file():
        raise UserError(str(path), None, "is neither a run folder nor a file: check the path")
    return _from_file(path)


def write_recording(path: Path, recording: Recording) -> None:
    """Store a recording as one Parquet file, metrics in single precision.

    Raises:
        UserError: the file cannot be written.
    """
    rows: list[dict[str, Any]] = []
    for (config, seed), run in sorted(recording.runs.items()):
        head = {
            "candidate": config,
            "seed": seed,
            "params": json.dumps(recording.params[config], sort_keys=True),
            "outcome": run.outcome,
            "reason": run.reason,
        }
        rows += [{**head, **row} for row in run.rows]
    present = [name for name in COLUMNS if any(row.get(name) is not None for row in rows)]
    schema = pa.schema([*_HEAD, *((name, _type(name)) for name in present)])
    head = {
        "schema_version": RECORDING_VERSION,
        "tree": recording.tree,
        "floor": recording.floor,
        "examples": recording.examples,
    }
    table = pa.Table.from_pylist(rows, schema=schema)
    table = table.replace_schema_metadata({_KEY: json.dumps(head).encode()})
    try:
        pq.write_table(
            table, path, compression="zstd", compression_level=19,
            use_dictionary=[name for name, _ in _HEAD], use_byte_stream_split=_floats(present),
        )  # fmt: skip
    except OSError as error:
        raise UserError(str(path), None, f"cannot be written: {error}") from error


_HEAD = [
    ("candidate", pa.int32()),
    ("seed", pa.int32()),
    ("params", pa.string()),
    ("outcome", pa.string()),
    ("reason", pa.string()),
]


def _floats(names: Sequence[str]) -> list[str]:
    return [name for name in names if COLUMNS[name].kind == "float"]


def _type(name: str) -> pa.DataType:
    single = pa.float64() if name in _EXACT else pa.float32()
    return {"int": pa.int64(), "float": single, "bool": pa.bool_()}[COLUMNS[name].kind]


def _scaled(distribution: Distribution, value: Any) -> float:
    """A choice's option by its index; a number's place between the ends of its range."""
    if isinstance(distribution, Choice):
        return float(distribution.options.index(value))
    low, high, at = distribution.low, distribution.high, float(value)
    if low == high:
        return 0.0
    if distribution.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return (at - low) / (high - low)


def _from_file(path: Place) -> Recording:
    try:
        table = pq.read_table(readable(path))
        head = json.loads((table.schema.metadata or {})[_KEY])
    except PermissionError as error:
        raise UserError(str(path), None, "may not be read: check who owns it") from error
    except (pa.ArrowInvalid, KeyError) as error:
        raise UserError(
            str(path), None, "is no recording: make one with `trm simulate RUN --save FILE`"
        ) from error
    if head["schema_version"] > RECORDING_VERSION:
        raise UserError(f"{path}: schema_version", head["schema_version"], "is newer than this")
    params: dict[int, dict[str, Any]] = {}
    rows: dict[tuple[int, int], list[Row]] = defaultdict(list)
    ends: dict[tuple[int, int], tuple[str, str]] = {}
    for row in table.to_pylist():
        key = row.pop("candidate"), row.pop("seed")
        text = row.pop("params")
        if key[0] not in params:
            params[key[0]] = json.loads(text)
        ends[key] = row.pop("outcome"), row.pop("reason")
        rows[key].append(row)
    runs = {key: RecordedRun(found, *ends[key]) for key, found in rows.items()}
    return _usable(head["tree"], params, runs, head["floor"], head["examples"], str(path))


def _from_run(folder: Place) -> Recording:
    plan, trials = read_plan(folder), read_trials(folder)
    rows: dict[int, list[Row]] = defaultdict(list)
    for row in (
        read_curves(folder).sort_by([("trial", "ascending"), ("mark", "ascending")]).to_pylist()
    ):
        rows[row["trial"]].append({name: row[name] for name in COLUMNS})
    params = {t.id: t.params for t in trials.values() if t.explores}
    runs = {
        (trial.candidate, trial.seed): RecordedRun(rows[trial.id], str(trial.outcome), trial.reason)
        for trial in trials.values()
        if trial.candidate in params and trial.ran and trial.mark
    }
    return _usable(plan.tree, params, runs, _floor(trials), plan.examples, str(folder), plan.wanted)


def _floor(trials: Mapping[int, Trial]) -> float:
    scores = [t.score for t in trials.values() if t.failed and t.score is not None]
    return scores[0] if scores else 0.0


def _usable(
    tree: dict[str, Any],
    params: Mapping[int, Mapping[str, Any]],
    runs: Mapping[tuple[int, int], RecordedRun],
    floor: float,
    examples: int | None,
    where: str,
    wanted: int | None = None,
) -> Recording:
    """The seeds that most configs have, and the configs that have all of them."""
    have: dict[int, set[int]] = defaultdict(set)
    for config, seed in runs:
        have[seed].add(config)
    most = max((len(configs) for configs in have.values()), default=0)
    seeds = tuple(s for s in sorted(have) if len(have[s]) >= (1 - MOST_MISSING) * most)
    kept = sorted(set.intersection(*(have[seed] for seed in seeds))) if seeds else []
    require_enough(len(kept), where, "recorded curves", wanted)
    index = {config: number for number, config in enumerate(kept)}
    return Recording(
        tree=tree,
        params=[params[config] for config in kept],
        seeds=seeds,
        runs={
            (index[config], seed): run
            for (config, seed), run in runs.items()
            if config in index and seed in seeds
        },
        floor=floor,
        examples=examples,
        dropped=len({config for config, _ in runs}) - len(kept),
    )
