"""What a sweep found, as `result.json` holds it: the confirmed candidates and the promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from search.ledger.files import fields_of, read_json, require_unlost, write_json
from search.ledger.storage import Place
from search.objectives.objective import Direction
from search.stats.race_rules import Ending

RESULT_FILE = "result.json"
_MEND = "`trm stability RUN` writes it again from the runs that are there"
RESULT_VERSION = 6
"""2 added directions, fronts and values; 3 the race and the statistics over seeds; 4 what the race
foresees, and bounds that hold for all candidates at once; 5 depth stability, and accuracy at a
depth and breadth; 6 makes the promise's spread of the race's seeds too. A field that an older file
lacks has its default."""


@dataclass(frozen=True)
class DepthLoss:
    """Depth stability: exact accuracy that is lost at 16 times the trained depth.

    Attributes:
        mean: over the seeds that did not fail and were evaluated there.
        worst: of those seeds.
        seeds: how many.
    """

    mean: float
    worst: float
    seeds: int

    @property
    def words(self) -> str:
        """What the mean says.

        >>> DepthLoss(0.31, 0.45, 3).words, DepthLoss(-0.003, 0.005, 3).words
        ('loses 0.310', 'gains 0.003')
        """
        return f"{'gains' if self.mean < 0 else 'loses'} {abs(self.mean):.3f}"


@dataclass(frozen=True)
class ThoughtPromise:
    """Accuracy at a depth and breadth, over seeds that took no part in choosing the config.

    Attributes:
        depth: in multiples of the trained one.
        breadth: rollouts.
        scores: one a seed; failures stand at the floor.
        mean: their mean.
        low: lower end of the prediction interval for one fresh seed.
        high: its upper end.
    """

    depth: int
    breadth: int
    scores: list[float]
    mean: float
    low: float
    high: float

    @property
    def where(self) -> str:
        """Depth and breadth in words."""
        rollouts = "one rollout" if self.breadth == 1 else f"{self.breadth} rollouts"
        return f"{self.depth}x depth, {rollouts}"


@dataclass(frozen=True)
class Finalist:
    """A config of the explore stage over the confirm seeds.

    Attributes:
        trial: the explore trial whose config it is.
        explored: its score there, by which it was chosen and therefore optimistic.
        robust: confidence bound of the mean on the bad side, the robust score; it holds for all
            candidates at once, and so for the one that is chosen.
        mean: mean over the confirm seeds.
        scores: one a seed; failures stand at the floor.
        failures: how many of the seeds failed.
        values: mean of every objective over the confirm seeds; for others than the first, over
            the seeds that did not fail.
        violations: by constraint, above 0 where the mean over the seeds breaks it.
        seeds: the seeds, in the order of the scores.
        iqm: interquartile mean of the scores.
        mean_low: lower end of the confidence interval of the mean, for all candidates at once; None
            where that is unknown.
        mean_high: its upper end.
        failure_low: lower end of the confidence interval of the probability that a seed fails.
        failure_high: its upper end.
        best: probability that its true mean is the best of those that keep the constraints; 0 for
            one that does not, None where no spread is known, as after one seed each.
        foreseen: with that confidence, again for all at once, the mean of as many further seeds as
            make the promise is not worse than this; None where that is unknown.
        learned: whether any seed scored better than the worst that the column can be; an older
            file does not say, and is taken to say yes.
        deeper: what it loses at 16 times the trained depth; None where that was not measured.
    """

    trial: int
    explored: float
    robust: float
    mean: float
    scores: list[float]
    failures: int
    values: dict[str, float] = field(default_factory=dict)
    violations: dict[str, float] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=list)
    iqm: float | None = None
    mean_low: float | None = None
    mean_high: float | None = None
    failure_low: float | None = None
    failure_high: float | None = None
    best: float | None = None
    foreseen: float | None = None
    learned: bool = True
    deeper: DepthLoss | None = None

    @property
    def feasible(self) -> bool:
        """Whether it keeps every constraint."""
        return all(violation <= 0 for violation in self.violations.values())

    @property
    def works(self) -> bool:
        """Whether any seed did not fail."""
        return self.failures < len(self.scores)

    @property
    def reservation(self) -> str:
        """Why nobody should use it, though it may rank first among its like; empty if nothing."""
        if not self.works:
            return "every seed failed"
        if not self.learned:
            return f"every seed scored {self.scores[0]:.3f}, the worst that there is"
        broken = [name for name, violation in self.violations.items() if violation > 0]
        return f"over fresh seeds breaks {', '.join(broken)}" if broken else ""


@dataclass(frozen=True)
class Promise:
    """A config over seeds that took no part in choosing it.

    Attributes:
        seeds: the seeds.
        scores: the objective on `valid`, one a seed.
        mean: their mean.
        low: lower end of the prediction interval for one fresh seed; its spread is of the race's
            seeds too (before version 6, of these seeds alone).
        high: its upper end.
        test: exact accuracy on `test`, one a seed; looked at once.
        values: mean of every objective, as a candidate has them.
        failures: how many of the seeds failed.
        iqm: interquartile mean of the scores.
        mean_low: lower end of the confidence interval of the mean.
        mean_high: its upper end.
        failure_low: lower end of the confidence interval of the probability that a seed fails.
        failure_high: its upper end.
        deeper: what it loses at 16 times the trained depth; None where that was not measured.
        thought: its accuracy at the depth and breadth of `stability`; None where none is asked for.
    """

    seeds: list[int]
    scores: list[float]
    mean: float
    low: float
    high: float
    test: list[float]
    values: dict[str, float] = field(default_factory=dict)
    failures: int | None = None
    iqm: float | None = None
    mean_low: float | None = None
    mean_high: float | None = None
    failure_low: float | None = None
    failure_high: float | None = None
    deeper: DepthLoss | None = None
    thought: ThoughtPromise | None = None

    @property
    def test_mean(self) -> float:
        """Mean exact accuracy on `test`."""
        return sum(self.test) / len(self.test)

    @property
    def undefined(self) -> str:
        """Why the seeds promise nothing of a fresh one; empty where they do."""
        count, ends = len(self.scores), (self.low, self.high)
        if count and self.failures == count:
            return f"all {count} seeds failed"
        # Without a spread the interval is a point, or the whole of a share's scale.
        if len(set(self.scores)) == 1 and (self.low == self.high or ends == (0.0, 1.0)):
            return f"all {count} seeds have exactly {self.scores[0]:.4g}, which shows no spread"
        return ""


@dataclass(frozen=True)
class RaceSummary:
    """How the winner was found among the candidates.

    Attributes:
        racing: whether seeds went where they mattered; else every candidate had as many.
        runs: runs over fresh seeds, of all candidates.
        budget: the most that they could be.
        ending: `separated`, the winner is ahead by more than seeds explain; `budget`, the runs are
            spent; `seeds`, those that are left have all the seeds that they may have.
    """

    racing: bool
    runs: int
    budget: int
    ending: Ending


@dataclass(frozen=True)
class Improvement:
    """Probability that a seed of the winner beats one of the reference recipe, ties half."""

    probability: float
    low: float
    high: float


@dataclass(frozen=True)
class Optimism:
    """How much better the search's own score was than fresh seeds say.

    Attributes:
        mean: over the candidates, the explored score less the mean over the fresh seeds, turned so
            that more is more optimistic.
        low: lower end of its confidence interval over the candidates; None for a single one.
        high: its upper end.
        winner: the winner's explored score less its mean over the promise seeds, likewise.
    """

    mean: float
    low: float | None
    high: float | None
    winner: float


@dataclass(frozen=True)
class Result:
    """What a sweep found.

    Attributes:
        winner: the explore trial whose config won.
        objective: the column that the scores are, the first objective.
        direction: of the first objective.
        confidence: of the robust scores and of the intervals.
        candidates: best robust score first, after those that are left the ones that the race has
            dropped.
        promise: the winner's.
        reference: the reference recipe's, over the same seeds.
        front: with several objectives, the confirmed candidates that none dominates, by the mean
            over their seeds; the best in the first objective first.
        race: how the winner was found; None in a file of an older version, as are the others.
        improvement: of the winner over the reference recipe, over the promise seeds; None if the
            reference recipe has won.
        optimism: of the search's own scores.
    """

    winner: int
    objective: str
    confidence: float
    candidates: list[Finalist]
    promise: Promise
    reference: Promise
    direction: Direction = "maximize"
    front: list[int] = field(default_factory=list)
    race: RaceSummary | None = None
    improvement: Improvement | None = None
    optimism: Optimism | None = None

    @property
    def winning(self) -> Finalist:
        """The winner among the candidates."""
        return next(c for c in self.candidates if c.trial == self.winner)

    def save(self, folder: Place) -> None:
        """Write `result.json`."""
        tree = {"schema_version": RESULT_VERSION, **asdict(self)}
        write_json(folder / RESULT_FILE, tree, own=True)


def read_result(folder: Place) -> Result | None:
    """The result of a run folder; None while there is none.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / RESULT_FILE
    if not path.is_file():
        require_unlost(path)
        return None
    tree = read_json(path, _MEND, own=True)
    with fields_of(path, _MEND):
        return _result(tree)


def _result(tree: Mapping[str, Any]) -> Result:
    race, improvement, optimism = (tree.get(key) for key in ("race", "improvement", "optimism"))
    return Result(
        winner=tree["winner"],
        objective=tree["objective"],
        confidence=tree["confidence"],
        candidates=[_finalist(candidate) for candidate in tree["candidates"]],
        promise=_promise(tree["promise"]),
        reference=_promise(tree["reference"]),
        direction=tree.get("direction", "maximize"),
        front=tree.get("front", []),
        race=RaceSummary(**race) if race else None,
        improvement=Improvement(**improvement) if improvement else None,
        optimism=Optimism(**optimism) if optimism else None,
    )


def _finalist(tree: Mapping[str, Any]) -> Finalist:
    return Finalist(**{**tree, "deeper": _deeper(tree)})


def _promise(tree: Mapping[str, Any]) -> Promise:
    thought = tree.get("thought")
    found = None if thought is None else ThoughtPromise(**thought)
    return Promise(**{**tree, "deeper": _deeper(tree), "thought": found})


def _deeper(tree: Mapping[str, Any]) -> DepthLoss | None:
    found = tree.get("deeper")
    return None if found is None else DepthLoss(**found)
