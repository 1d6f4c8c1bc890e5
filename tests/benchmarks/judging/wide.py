"""Worlds made of the wide recordings, whose truth is known for any config.

What a config's runs are on average, a surrogate says (`surrogate.py`). A run differs from it as the
two runs of a recorded config that is about as good differ from their mean, by a normal factor: so
noise depends on the mean and goes along with the whole curve. Where one of the two has learned and
the other has not, luck goes no farther than the better of them. The true mean is the exact mean
over all that can happen. Every run costs the same compute; seconds are the surrogate's.

No recorded run failed, but a tenth of them had gradients far beyond the others' and learned next to
nothing. In a world a run whose gradients peak as high has diverged there.

Of `sudoku6` the first half of every run is the whole: later, a tenth of the space is near 1.
"""

from __future__ import annotations

import zlib
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from search.config.plan import Plan
from search.simulator.recording import RecordedRun, Recording, read_recording
from search.simulator.simulator import plan_of
from search.simulator.world import Params
from search.space.space import Space
from tests.benchmarks.judging.curves import COLUMNS, solved
from tests.benchmarks.judging.features import encoded
from tests.benchmarks.judging.problem import Problem
from tests.benchmarks.judging.surrogate import Predict, Runs, fit

FOLDER = Path(__file__).parents[2] / "data" / "recordings"
RECORDINGS = {"arrows4": 8, "sudoku6": 4}
"""By the name of the task, how many of the reports are a run."""
DRAWN = 20_000
"""Random configs among which the best of a world is sought first."""
PARENTS = 100
ROUNDS = 8
DONORS = 6
"""Recorded configs, the nearest in quality, whose runs' differences a config can have."""
FACTORS = ndtri((np.arange(33) + 0.5) / 33)
FACTORS = FACTORS / FACTORS.std()
"""What a difference is multiplied by: a normal distribution in steps of equal probability."""
MOST_LUCK = 1.5
"""Logits that luck may add where two runs differ by less."""
DIVERGED = 0.1
"""Share of the recorded runs whose greatest gradients are those of runs that diverge."""


@dataclass(frozen=True)
class Recorded:
    """A wide recording, ready to make worlds of it.

    Attributes:
        plan: its space and our defaults.
        runs: in numbers.
        pool: [DRAWN, inputs], of random configs.
        levels: [configs], the recorded configs' mean logit at the end, ascending.
        differences: [configs, columns * marks], of a config's two runs over the root of 2, the
            better first, in the same order.
        too_much: the logarithm of a gradient that diverges.
    """

    plan: Plan
    runs: Runs
    pool: np.ndarray
    levels: np.ndarray
    differences: np.ndarray
    too_much: float


@cache
def recorded(name: str) -> Recorded:
    """A recording by the name of its task."""
    recording = shortened(read_recording(FOLDER / f"wide-{name}.parquet"), RECORDINGS[name])
    plan = plan_of(recording)
    runs = Runs.of(recording, RECORDINGS[name], plan.budget)
    rng = np.random.default_rng(0)
    pool = np.array([encoded(plan.space, plan.space.sample(rng)[0]) for _ in range(DRAWN)])
    last = runs.points[:, :, runs.curves.marks - 1]
    levels = last.mean(axis=1)
    order = np.argsort(levels, kind="stable")
    signs = np.where(last[:, 0] >= last[:, 1], 1.0, -1.0)[:, None]
    differences = signs * (runs.points[:, 0] - runs.points[:, 1]) / np.sqrt(2)
    peaks = runs.points[..., _peaks(runs)].max(axis=-1)
    too_much = float(np.quantile(peaks, 1 - DIVERGED))
    return Recorded(plan, runs, pool, levels[order], differences[order], too_much)


def shortened(recording: Recording, marks: int) -> Recording:
    """A recording as if every run had ended with one of its reports."""
    tree = deepcopy(recording.tree)
    train = tree["train"]
    train["budget"] = {"flops": train["budget"]["flops"] * marks / train["reports"]}
    train["reports"], whole = marks, train["reports"]
    runs = {
        key: RecordedRun(
            [{**row, "progress": row["progress"] * whole / marks} for row in run.rows[:marks]],
            run.outcome if len(run.rows) < marks or marks == whole else "completed",
        )
        for key, run in recording.runs.items()
    }
    return replace(recording, tree=tree, runs=runs)


@dataclass
class WideWorld:
    """One fit to a recording."""

    source: Recorded
    predict: Predict
    number: int
    floor: float = 0.0
    seeds: None = None
    _known: dict[bytes, np.ndarray] = field(default_factory=dict)

    @property
    def examples(self) -> int:
        return int(self.source.runs.curves.counts[-1])

    def stands_for(self, params: Params) -> Params:
        return params

    def run(self, params: Params, seed: int) -> RecordedRun:
        inputs, runs = self._inputs(params), self.source.runs
        key = inputs.tobytes()
        if key not in self._known:
            self._known[key] = self.predict(inputs[None])[0]
        point = runs.expand(self._known[key])
        rng = np.random.default_rng([self.number, zlib.crc32(key), seed])
        end = runs.curves.marks - 1
        donor = self._donors(point[None, end])[0, rng.integers(DONORS)]
        difference = self.source.differences[donor]
        point = point + _luck(difference[end], rng.choice(FACTORS)) * difference
        rows = runs.curves.rows(point)
        beyond = np.flatnonzero(point[_peaks(runs)] > self.source.too_much)
        if not len(beyond):
            return RecordedRun(rows, "completed")
        rows = rows[: beyond[0] + 1]
        rows[-1] |= {"diverged": True}
        return RecordedRun(rows, "diverged", "its gradients are those of runs that diverge")

    def truth(self, params: Params) -> float:
        return float(self.truths(self._inputs(params)[None])[0])

    def truths(self, inputs: np.ndarray) -> np.ndarray:
        """True means of [configs, inputs]."""
        runs, end = self.source.runs, self.source.runs.curves.marks - 1
        scores = self.predict(inputs)
        last = runs.centre[end] + scores @ runs.basis[:, end]
        donors = self._donors(last)
        differences = self.source.differences[donors, end][:, :, None]
        luck = _luck(differences, FACTORS)
        means = solved(last[:, None, None] + luck * differences, runs.curves.counts[-1])
        low, high = self._whole(scores, donors)
        whole = (luck >= low[:, :, None]) & (luck <= high[:, :, None])
        return np.asarray(np.where(whole, means, self.floor).mean(axis=(1, 2)))

    def _whole(self, scores: np.ndarray, donors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Between which luck a run does not diverge: two of [configs, DONORS]."""
        runs, columns = self.source.runs, _peaks(self.source.runs)
        room = self.source.too_much - runs.centre[columns] - scores @ runs.basis[:, columns]
        slope = self.source.differences[donors][:, :, columns]
        slope = np.where(slope == 0, 1e-300, slope)
        ends = room[:, None] / slope
        return (
            np.where(slope < 0, ends, -np.inf).max(axis=2),
            np.where(slope > 0, ends, np.inf).min(axis=2),
        )

    def _donors(self, last: np.ndarray) -> np.ndarray:
        """The recorded configs about as good as each: [configs, DONORS], by mean logit."""
        levels = self.source.levels
        first = np.searchsorted(levels, last) - DONORS // 2
        return np.clip(first, 0, len(levels) - DONORS)[:, None] + np.arange(DONORS)

    def _inputs(self, params: Params) -> np.ndarray:
        return np.array(encoded(self.source.plan.space, params))


def _peaks(runs: Runs) -> slice:
    """The columns of a point that are its greatest gradients."""
    first = COLUMNS.index("grad_norm_max") * runs.curves.marks
    return slice(first, first + runs.curves.marks)


def _luck(difference: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """The factor of a difference, of which the logit at the end is given, at least 0."""
    most = np.maximum(0.5**0.5, MOST_LUCK / np.maximum(difference, 1e-9))
    return np.minimum(factor, most)


def best_of(world: WideWorld) -> float:
    """The greatest true mean found: the best of many random configs, and of crossings of the best.

    A crossing has each parameter from one of two configs, the second from those drawn at random
    half of the time.
    """
    rng = np.random.default_rng(world.number)
    pool = world.source.pool
    truths = world.truths(pool)
    parts = _parts(world.source.plan.space)
    order = np.argsort(-truths)[:PARENTS]
    parents, merits = pool[order], truths[order]
    for _ in range(ROUNDS):
        size = 20 * PARENTS
        first = parents[rng.integers(len(parents), size=size)]
        fresh = pool[rng.integers(len(pool), size=size)]
        second = np.where(
            rng.random((size, 1)) < 0.5, fresh, parents[rng.integers(len(parents), size=size)]
        )
        share = np.where(rng.random((size, 1)) < 0.5, 0.15, 0.5)
        taken = (rng.random((size, parts.max() + 1)) < share)[:, parts]
        children = np.where(taken, second, first)
        everyone = np.concatenate([parents, children])
        merits = np.concatenate([merits, world.truths(children)])
        order = np.argsort(-merits)[:PARENTS]
        parents, merits = everyone[order], merits[order]
    return float(merits[0])


def wide(kind: str, number: int) -> Problem:
    """World `number` of a kind of surrogate: the recordings take turns."""
    name = list(RECORDINGS)[number % len(RECORDINGS)]
    source = recorded(name)
    predict = fit(source.runs, kind, number, source.pool)
    best = best_of(WideWorld(source, predict, number))
    return Problem(lambda: WideWorld(source, predict, number), source.plan, best, name)


def _parts(space: Space) -> np.ndarray:
    """To which parameter each input belongs."""
    sizes = [len(getattr(found, "options", "1")) for found in space.parameters.values()]
    return np.repeat(np.arange(len(sizes)), sizes)
