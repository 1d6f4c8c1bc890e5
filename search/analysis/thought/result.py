"""Accuracy against the compute of inference, for depth and for breadth, as `thought.json` has it.

One model's shares have Wilson's interval over puzzles; those of several, which are seeds of one
config, the interval of their mean over seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from search.ledger.files import fields_of, read_json, write_json
from search.ledger.storage import Place
from search.stats.averages import mean_interval
from search.stats.intervals import share_interval

if TYPE_CHECKING:
    from trm.thought.points import Point

THOUGHT_FILE = "thought.json"
THOUGHT_VERSION = 1
MOST_LEVELS = 10
"""Difficulties that are told apart; of more, five groups of equally many puzzles are made."""
_GROUPS = 5


@dataclass(frozen=True)
class MeasuredShare:
    """A share of puzzles.

    Attributes:
        mean: over the models.
        low: lower end of its confidence interval.
        high: its upper end.
        each: a model's own.
    """

    mean: float
    low: float
    high: float
    each: list[float]


@dataclass(frozen=True)
class Level:
    """One difficulty.

    Attributes:
        difficulty: its value, or the range of several.
        examples: puzzles that have it.
        passed: the share of which some rollout's last answer is right.
        picked: by selector, the share of which its answer is right.
    """

    difficulty: str
    examples: int
    passed: float
    picked: dict[str, float]


@dataclass(frozen=True)
class ThoughtPoint:
    """One depth with one breadth.

    Attributes:
        depth: in multiples of the trained supervision steps.
        breadth: rollouts.
        steps: supervision steps of a rollout at most.
        mean_steps: of all rollouts of a puzzle together, as they were taken.
        flops: of inference, a puzzle.
        passed: pass@K: some rollout's last answer is right.
        passed_anywhere: some rollout's answer after some step is.
        picked: by selector, its answer is.
        gaps: by selector, what it loses of what there was to pick from.
        by_difficulty: the easiest first.
    """

    depth: int
    breadth: int
    steps: int
    mean_steps: float
    flops: float
    passed: MeasuredShare
    passed_anywhere: MeasuredShare
    picked: dict[str, MeasuredShare]
    gaps: dict[str, float]
    by_difficulty: list[Level]


@dataclass(frozen=True)
class Thought:
    """What was found.

    Attributes:
        models: what was evaluated, a name each.
        source: of the puzzles.
        examples: how many there were.
        trained_steps: supervision steps of the trained depth.
        step_flops: of one supervision step of one puzzle.
        noise: deviations of the rollouts' noise.
        seed: of the noise.
        halting: the rule by which rollouts ended; empty where each took all its steps.
        picks: selectors, the one that pictures show first.
        confidence: of the intervals.
        points: depth at the least breadth, then breadth at the least depth; or every pair.
    """

    models: list[str]
    source: str
    examples: int
    trained_steps: int
    step_flops: float
    noise: dict[str, float]
    seed: int
    halting: str
    picks: list[str]
    confidence: float
    points: list[ThoughtPoint]

    @property
    def by_depth(self) -> list[ThoughtPoint]:
        """The points at the least breadth."""
        narrow = min(point.breadth for point in self.points)
        return [point for point in self.points if point.breadth == narrow]

    @property
    def by_breadth(self) -> list[ThoughtPoint]:
        """The points at the least depth."""
        shallow = min(point.depth for point in self.points)
        return [point for point in self.points if point.depth == shallow]

    def as_tree(self) -> dict[str, Any]:
        """The whole as plain values."""
        return {"schema_version": THOUGHT_VERSION, **asdict(self)}


def thought_point(
    found: Sequence[Point],
    depth: int,
    difficulty: NDArray[np.float32],
    step_flops: float,
    confidence: float = 0.9,
) -> ThoughtPoint:
    """What the models come to at one depth and breadth.

    Args:
        found: a model's each, on the same puzzles.
        depth: in multiples of the trained one.
        difficulty: of the puzzles, `[n]`.
        step_flops: of one supervision step of one puzzle.
    """
    names = list(found[0].picked)
    mean_steps = float(np.mean([one.spent.mean() for one in found]))

    def share(rights: Sequence[NDArray[np.bool_]]) -> MeasuredShare:
        return _share([float(right.mean()) for right in rights], len(difficulty), confidence)

    def within(rights: Sequence[NDArray[np.bool_]], rows: NDArray[np.bool_]) -> float:
        return float(np.mean([right[rows].mean() for right in rights]))

    return ThoughtPoint(
        depth=depth,
        breadth=found[0].breadth,
        steps=found[0].steps,
        mean_steps=mean_steps,
        flops=mean_steps * step_flops,
        passed=share([one.passed for one in found]),
        passed_anywhere=share([one.passed_anywhere for one in found]),
        picked={name: share([one.picked[name] for one in found]) for name in names},
        gaps={name: float(np.mean([one.gap(name) for one in found])) for name in names},
        by_difficulty=[
            Level(
                difficulty=label,
                examples=int(rows.sum()),
                passed=within([one.passed for one in found], rows),
                picked={name: within([one.picked[name] for one in found], rows) for name in names},
            )
            for label, rows in _levels(difficulty)
        ],
    )


def _share(each: list[float], examples: int, confidence: float) -> MeasuredShare:
    mean = math.fsum(each) / len(each)
    if len(each) == 1:
        interval = share_interval(mean, examples, confidence)
    else:
        interval = mean_interval(each, confidence, examples=examples)
    return MeasuredShare(mean, interval.low, interval.high, each)


def _levels(difficulty: NDArray[np.float32]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Which puzzles have each difficulty, the easiest first; one of its own says nothing."""
    values = np.unique(difficulty)
    if len(values) < 2:
        return []
    if len(values) <= MOST_LEVELS:
        return [(f"{value:g}", difficulty == value) for value in values]
    edges = np.unique(np.quantile(difficulty, np.linspace(0.0, 1.0, _GROUPS + 1)))
    groups = np.clip(np.searchsorted(edges, difficulty, side="right") - 1, 0, len(edges) - 2)
    found = []
    for group in np.unique(groups):
        rows = groups == group
        own = difficulty[rows]
        found.append((f"{own.min():g} to {own.max():g}", rows))
    return found


def save_thought(folder: Place, found: Thought) -> None:
    """Write `thought.json` into a run folder."""
    write_json(folder / THOUGHT_FILE, found.as_tree(), own=True, spare=False)


def read_thought(folder: Place) -> Thought | None:
    """What a run folder's `thought.json` holds; None while there is none.

    Raises:
        UserError: the file is damaged.
    """
    path, mend = folder / THOUGHT_FILE, "`trm eval RUN --depth ...` writes it again"
    if not path.is_file():
        return None
    tree = read_json(path, mend, own=True)
    with fields_of(path, mend):
        return _thought(tree)


def _thought(tree: Mapping[str, Any]) -> Thought:
    values = {name: tree[name] for name in Thought.__dataclass_fields__}
    return Thought(**{**values, "points": [_point(point) for point in tree["points"]]})


def _point(tree: Mapping[str, Any]) -> ThoughtPoint:
    values = dict(tree)
    for name in ("passed", "passed_anywhere"):
        values[name] = MeasuredShare(**tree[name])
    values["picked"] = {name: MeasuredShare(**share) for name, share in tree["picked"].items()}
    values["by_difficulty"] = [Level(**level) for level in tree["by_difficulty"]]
    return ThoughtPoint(**values)
