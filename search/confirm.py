"""The confirm stage: the best candidates over fresh seeds, the winner, and what it promises."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from search.book import Book
from search.parts import StageName, Trial
from search.plan import Plan, write_atomically
from search.statistics import prediction_interval, robust_scores

RESULT_FILE = "result.json"
RESULT_VERSION = 1
REFERENCE = -1
"""The candidate number of the reference recipe: the file's default values."""
CONFIRM_SEEDS, PROMISE_SEEDS = 1, 1001
"""Offsets from the explore stage's seed; the stages never share one (at most 1,000 seeds each)."""


class Replicates:
    """A source of given trials for the engine: never stopped early."""

    def __init__(self, trials: Sequence[Trial], objective: str, floor: float) -> None:
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
        return float(row[self._objective])

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
        explored: its score there, from one seed and therefore optimistic.
        robust: lower confidence bound of the mean, the robust score.
        mean: mean over the confirm seeds.
        scores: one a seed; failures stand at the floor.
        failures: how many of the seeds failed.
    """

    trial: int
    explored: float
    robust: float
    mean: float
    scores: list[float]
    failures: int


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
    """

    seeds: list[int]
    scores: list[float]
    mean: float
    low: float
    high: float
    test: list[float]

    @property
    def test_mean(self) -> float:
        """Mean exact accuracy on `test`."""
        return sum(self.test) / len(self.test)


@dataclass(frozen=True)
class Result:
    """What a sweep found.

    Attributes:
        winner: the explore trial whose config won.
        objective: the column that the scores are.
        confidence: of the robust scores and of the intervals.
        candidates: best robust score first.
        promise: the winner's.
        reference: the reference recipe's, over the same seeds.
    """

    winner: int
    objective: str
    confidence: float
    candidates: list[Candidate]
    promise: Promise
    reference: Promise

    def save(self, folder: Path) -> None:
        """Write `result.json`."""
        tree = {"schema_version": RESULT_VERSION, **asdict(self)}
        write_atomically(folder / RESULT_FILE, json.dumps(tree, indent=1) + "\n")


def read_result(folder: Path) -> Result | None:
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
    )


def is_candidate(trial: Trial, generations: int = 0) -> bool:
    """Whether a trial has trained a whole config: then it can be confirmed and win.

    Args:
        generations: of the population, if there is one; only its last has whole runs.
    """
    if trial.outcome != "completed" or trial.score is None:
        return False
    return trial.stage == "explore" or (
        trial.stage == "population" and trial.params["generation"] == generations - 1
    )


def finalists(plan: Plan, ledger: Book) -> list[Trial]:
    """The candidates with the best scores of the search, each config once, the best first."""
    completed = [trial for trial in ledger.trials.values() if is_candidate(trial, plan.generations)]
    completed.sort(key=lambda trial: (-(trial.score or 0.0), trial.id))
    chosen: dict[str, Trial] = {}
    for trial in completed:
        chosen.setdefault(json.dumps(trial.config, sort_keys=True), trial)
    return list(chosen.values())[: plan.sections.stability.candidates]


def confirm_trials(plan: Plan, ledger: Book) -> list[Trial]:
    """The confirm stage's trials, seed by seed: those that are there, and new ones."""
    base = plan.default.train.seed + CONFIRM_SEEDS
    return [
        _replicate(ledger, "confirm", trial.id, base + index, trial.params, trial.config)
        for index in range(plan.sections.stability.seeds)
        for trial in finalists(plan, ledger)
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
    """The finalists by robust score.

    Args:
        examples: how many examples a score is a share of, if that is known.
    """
    confidence = plan.sections.stability.confidence
    replicates: dict[int, list[Trial]] = {}
    for trial in confirm_trials(plan, ledger):
        replicates.setdefault(trial.candidate, []).append(trial)
    samples = {key: [_score(trial) for trial in trials] for key, trials in replicates.items()}
    scores = robust_scores(samples, confidence, examples=examples)
    order = sorted(scores, key=lambda key: (-scores[key].lower, -scores[key].mean, key))
    return [
        Candidate(
            trial=key,
            explored=_score(ledger.trials[key]),
            robust=scores[key].lower,
            mean=scores[key].mean,
            scores=samples[key],
            failures=sum(trial.outcome != "completed" for trial in replicates[key]),
        )
        for key in order
    ]


def promise(
    trials: Sequence[Trial], test: list[float], confidence: float, examples: int
) -> Promise:
    """What the promise seeds say of one fresh seed."""
    scores = [_score(trial) for trial in trials]
    interval = prediction_interval(scores, confidence, examples=examples)
    return Promise(
        seeds=[trial.seed for trial in trials],
        scores=scores,
        mean=sum(scores) / len(scores),
        low=interval.low,
        high=interval.high,
        test=test,
    )


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
