"""The confirm stage: the best candidates over fresh seeds, the winner, and what it promises."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from search.book import Book
from search.candidates import Explored, best_first, explored, merits
from search.constraint import violations
from search.objective import Direction, Objective
from search.pareto import front, spread_out
from search.parts import StageName, Trial
from search.place import Place
from search.plan import Plan, write_atomically
from search.statistics import prediction_interval, robust_scores

RESULT_FILE = "result.json"
RESULT_VERSION = 2
REFERENCE = -1
"""The candidate number of the reference recipe: the file's default values."""
CONFIRM_SEEDS, PROMISE_SEEDS = 1, 1001
"""Offsets from the explore stage's seed; the stages never share one (at most 1,000 seeds each)."""


class Replicates:
    """A source of given trials for the engine: never stopped early."""

    def __init__(self, trials: Sequence[Trial], objective: Objective, floor: float) -> None:
        self.floor = floor
        self._objective = objective
        self._waiting = deque(trial for trial in trials if trial.outcome is None)

    def next(self) -> Trial | None:
        """The next trial to start or to go on with."""
        return self._waiting.popleft() if self._waiting else None

    def exhausted(self) -> bool:
        """Whether `next` will never give a trial again."""
        return not self._waiting

    def score(self, row: Mapping[str, Any]) -> float:
        """The objective of a report."""
        return self._objective.value(row)

    def on_report(self, trial: Trial, row: Mapping[str, Any]) -> Literal["continue", "stop"]:
        """Replicates always go on."""
        return "continue"

    def on_end(self, trial: Trial) -> None:
        """Nobody needs to be told."""


@dataclass(frozen=True)
class Candidate:
    """A config of the explore stage over the confirm seeds.

    Attributes:
        trial: the explore trial whose config it is.
        explored: its score there, by which it was chosen and therefore optimistic.
        robust: confidence bound of the mean on the bad side, the robust score.
        mean: mean over the confirm seeds.
        scores: one a seed; failures stand at the floor.
        failures: how many of the seeds failed.
        values: mean of every objective over the confirm seeds; for others than the first, over
            the seeds that did not fail.
        violations: by constraint, above 0 where the mean over the seeds breaks it.
    """

    trial: int
    explored: float
    robust: float
    mean: float
    scores: list[float]
    failures: int
    values: dict[str, float] = field(default_factory=dict)
    violations: dict[str, float] = field(default_factory=dict)

    @property
    def feasible(self) -> bool:
        """Whether it keeps every constraint."""
        return all(violation <= 0 for violation in self.violations.values())


@dataclass(frozen=True)
class Promise:
    """A config over seeds that took no part in choosing it.

    Attributes:
        seeds: the seeds.
        scores: the objective on `valid`, one a seed.
        mean: their mean.
        low: lower end of the prediction interval for one fresh seed.
        high: its upper end.
        test: exact accuracy on `test`, one a seed; looked at once.
        values: mean of every objective, as a candidate has them.
    """

    seeds: list[int]
    scores: list[float]
    mean: float
    low: float
    high: float
    test: list[float]
    values: dict[str, float] = field(default_factory=dict)

    @property
    def test_mean(self) -> float:
        """Mean exact accuracy on `test`."""
        return sum(self.test) / len(self.test)


@dataclass(frozen=True)
class Result:
    """What a sweep found.

    Attributes:
        winner: the explore trial whose config won.
        objective: the column that the scores are, the first objective.
        direction: of the first objective.
        confidence: of the robust scores and of the intervals.
        candidates: best robust score first.
        promise: the winner's.
        reference: the reference recipe's, over the same seeds.
        front: with several objectives, the confirmed candidates that none dominates, by the mean
            over their seeds; the best in the first objective first.
    """

    winner: int
    objective: str
    confidence: float
    candidates: list[Candidate]
    promise: Promise
    reference: Promise
    direction: Direction = "maximize"
    front: list[int] = field(default_factory=list)

    def save(self, folder: Place) -> None:
        """Write `result.json`."""
        tree = {"schema_version": RESULT_VERSION, **asdict(self)}
        write_atomically(folder / RESULT_FILE, json.dumps(tree, indent=1) + "\n")


def read_result(folder: Place) -> Result | None:
    """The result of a run folder; None while there is none."""
    path = folder / RESULT_FILE
    if not path.is_file():
        return None
    tree = json.loads(path.read_text(encoding="utf-8"))
    return Result(
        winner=tree["winner"],
        objective=tree["objective"],
        confidence=tree["confidence"],
        candidates=[Candidate(**candidate) for candidate in tree["candidates"]],
        promise=Promise(**tree["promise"]),
        reference=Promise(**tree["reference"]),
        direction=tree.get("direction", "maximize"),
        front=tree.get("front", []),
    )


def finalists(plan: Plan, ledger: Book) -> list[Trial]:
    """The best configs of the search that keep the constraints, each config once.

    By the first objective; with several, the fronts in order, each spread out along itself.
    """
    chosen: dict[str, Explored] = {}
    for candidate in best_first(plan, explored(plan, ledger)):
        if candidate.feasible:
            chosen.setdefault(_without_seed(candidate.trial), candidate)
    most = plan.sections.stability.candidates
    if len(plan.objectives) == 1:
        return [candidate.trial for candidate in chosen.values()][:most]
    known = {candidate.trial.id: candidate for candidate in chosen.values()}
    order = spread_out({key: merits(plan, candidate) for key, candidate in known.items()}, most)
    return [known[number].trial for number in order]


def confirm_trials(plan: Plan, ledger: Book) -> list[Trial]:
    """The confirm stage's trials, seed by seed: those that are there, and new ones."""
    base, chosen = plan.default.train.seed + CONFIRM_SEEDS, finalists(plan, ledger)
    return [
        _replicate(ledger, "confirm", trial.id, base + index, trial.params, trial.config)
        for index in range(plan.sections.stability.seeds)
        for trial in chosen
    ]


def promise_trials(plan: Plan, ledger: Book, winner: Trial) -> tuple[list[Trial], list[Trial]]:
    """The winner's and the reference recipe's trials over the promise seeds."""
    base = plan.default.train.seed + PROMISE_SEEDS
    params, tree = plan.space.default()
    promised, reference = [], []
    for index in range(plan.sections.stability.promise_seeds):
        seed = base + index
        promised.append(
            _replicate(ledger, "promise", winner.id, seed, winner.params, winner.config)
        )
        reference.append(
            promised[-1]
            if winner.params == params
            else _replicate(ledger, "reference", REFERENCE, seed, params, tree)
        )
    return promised, reference


def rank(plan: Plan, ledger: Book, examples: int | None) -> list[Candidate]:
    """The finalists by robust score, those that break a constraint last.

    Args:
        examples: how many examples a share is a share of, if that is known.
    """
    objective = plan.objective
    replicates: dict[int, list[Trial]] = {}
    for trial in confirm_trials(plan, ledger):
        replicates.setdefault(trial.candidate, []).append(trial)
    samples = {
        key: [objective.merit(_score(trial)) for trial in trials]
        for key, trials in replicates.items()
    }
    worst = min(min(scores) for scores in samples.values())
    scores = robust_scores(
        samples,
        plan.sections.stability.confidence,
        bounds=_merit_bounds(objective, worst),
        examples=examples if objective.is_share else None,
    )
    whole = {candidate.trial.id: candidate for candidate in explored(plan, ledger)}
    found = []
    for key, trials in replicates.items():
        values, broken = _means(plan, ledger, trials)
        found.append(
            Candidate(
                trial=key,
                explored=whole[key].score,
                robust=objective.merit(scores[key].lower),
                mean=objective.merit(scores[key].mean),
                scores=[_score(trial) for trial in trials],
                failures=sum(trial.outcome != "completed" for trial in trials),
                values=values,
                violations=broken,
            )
        )
    return sorted(
        found,
        key=lambda c: (
            not c.feasible,
            -objective.merit(c.robust),
            -objective.merit(c.mean),
            c.trial,
        ),
    )


def confirmed_front(plan: Plan, candidates: Sequence[Candidate]) -> list[int]:
    """The candidates on the front of several objectives; empty with one."""
    if len(plan.objectives) == 1:
        return []
    return front(
        {
            candidate.trial: [o.merit(candidate.values[o.column]) for o in plan.objectives]
            for candidate in candidates
            if candidate.feasible and candidate.failures < len(candidate.scores)
        }
    )


def promise(
    plan: Plan, ledger: Book, trials: Sequence[Trial], test: list[float], examples: int
) -> Promise:
    """What the promise seeds say of one fresh seed."""
    objective, confidence = plan.objective, plan.sections.stability.confidence
    scores = [_score(trial) for trial in trials]
    interval = prediction_interval(
        scores,
        confidence,
        bounds=objective.bounds,
        examples=examples if objective.is_share else None,
    )
    mean = math.fsum(scores) / len(scores)
    # A column without ends whose seeds agree exactly, such as the parameters, is no accident.
    low, high = (end if math.isfinite(end) else mean for end in (interval.low, interval.high))
    return Promise(
        seeds=[trial.seed for trial in trials],
        scores=scores,
        mean=mean,
        low=low,
        high=high,
        test=test,
        values=_means(plan, ledger, trials)[0],
    )


def _means(
    plan: Plan, ledger: Book, trials: Sequence[Trial]
) -> tuple[dict[str, float], dict[str, float]]:
    """The mean of every objective over a config's seeds, and the violation of every constraint."""
    first, *others = plan.objectives
    scores = [_score(trial) for trial in trials]
    values = {first.column: math.fsum(scores) / len(scores)}
    if not plan.needs_rows:
        return values, {}
    rows = [ledger.curve(trial.id)[-1] for trial in trials if trial.outcome == "completed"]
    for objective in others:
        own = [objective.value(row) for row in rows] or [objective.worst(0.0)]
        values[objective.column] = math.fsum(own) / len(own)
    return values, violations(plan.constraints, rows) if rows else {}


def _merit_bounds(objective: Objective, worst: float) -> tuple[float, float]:
    """The ends of the first objective's merit; the worst one seen where the column has none."""
    low, high = sorted(objective.merit(end) for end in objective.bounds)
    return (low if math.isfinite(low) else worst), high


def _without_seed(trial: Trial) -> str:
    train = {key: value for key, value in trial.config["train"].items() if key != "seed"}
    return json.dumps({**trial.config, "train": train}, sort_keys=True)


def _replicate(
    ledger: Book,
    stage: StageName,
    candidate: int,
    seed: int,
    params: dict[str, Any],
    config: dict[str, Any],
) -> Trial:
    for trial in ledger.trials.values():
        if (trial.stage, trial.candidate, trial.seed) == (stage, candidate, seed):
            return trial
    train = {**config["train"], "seed": seed}
    return ledger.add_trial(
        stage=stage,
        candidate=candidate,
        seed=seed,
        params=params,
        config={**config, "train": train},
    )


def _score(trial: Trial) -> float:
    assert trial.score is not None, trial
    return trial.score
