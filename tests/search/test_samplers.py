"""Optuna as a derived view: exact rebuilds, honest outcomes, and search that still works."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from search.samplers import (
    CONSTRAINT,
    FAILURES,
    OUTCOMES,
    SAMPLERS,
    Record,
    ask,
    make_study,
    rebuild,
    rebuild_journal,
    tell,
    to_optuna,
)
from search.space import Space
from trm.component import by_name

SPACE = Space.parse(
    {
        "optimizer": {
            "choice": [
                {"name": "adamw", "lr": {"loguniform": [1e-5, 1e-1]}},
                {
                    "name": "muon",
                    "lr": {"loguniform": [1e-4, 1e-2]},
                    "nesterov": {"choice": [False, {"label": "yes", "decay": {"uniform": [0, 1]}}]},
                },
            ]
        },
        "model": {"H_cycles": {"int": [1, 4]}, "width": {"int": {"low": 8, "high": 64, "step": 8}}},
        "train": {"ema": {"choice": [None, 0.9, 0.99]}, "batch": {"logint": [8, 256]}},
        "loss": {"weight": {"uniform": {"low": 0, "high": 1, "step": 0.1}}},
    }
)
TPE = {"name": "tpe", "n_startup_trials": 5}


def quality(params: dict[str, Any]) -> float:
    """Best (1.0) at adamw, lr 1e-3, H_cycles 3."""
    lr = next(value for name, value in params.items() if name.endswith(".lr"))
    off = abs(math.log10(lr) + 3) / 4 + abs(params["model.H_cycles"] - 3) / 6
    return 1.0 - off - 0.2 * (params["optimizer"] == "muon")


def ending(number: int, params: dict[str, Any]) -> Record:
    """A mix of all outcomes, by number."""
    score = quality(params)
    if number % 7 == 3:
        return Record(number, params, "pruned", None, {1: score / 3, 2: score / 2})
    if number % 11 == 5:
        return Record(number, params, FAILURES[number % 4], 0.0, {1: 0.0})
    if number % 13 == 6:
        return Record(number, params, "infeasible")
    if number % 17 == 8:
        return Record(number, params, "stopped", None, {1: score / 3} if number % 2 else {})
    return Record(number, params, "completed", score, {1: score / 3, 2: score / 2, 3: score})


def run(study: optuna.Study, first: int, last: int, running: tuple[int, ...] = ()) -> list[Record]:
    records = []
    for number in range(first, last):
        params, tree = ask(study, SPACE, number)
        assert SPACE.apply(params) == tree
        record = Record(number, params) if number in running else ending(number, params)
        if record.outcome:
            tell(study, number, record.outcome, record.score, record.rungs)
        records.append(record)
    return records


def same_view(one: optuna.Study, other: optuna.Study) -> None:
    for left, right in zip(one.trials, other.trials, strict=True):
        assert left.number == right.number
        assert left.state == right.state
        assert left.params == right.params
        assert left.distributions == right.distributions
        assert left.values == right.values
        assert left.intermediate_values == right.intermediate_values
        assert left.constraints == right.constraints


@pytest.mark.parametrize("sampler", [TPE, "random"])
@pytest.mark.parametrize("running", [(), (7, 9, 10)])
def test_a_rebuilt_study_goes_on_as_if_nothing_had_happened(
    sampler: Any, running: tuple[int, ...]
) -> None:
    config = by_name(SAMPLERS, sampler)
    straight = run(make_study("straight", config, seed=5), 0, 30, running)
    assert {record.outcome for record in straight} >= {"completed", "pruned", "infeasible"}

    begun = make_study("begun", config, seed=5)
    records = run(begun, 0, 11, running)
    again = rebuild(make_study("again", config, seed=5), SPACE, reversed(records))
    same_view(begun, again)
    assert records + run(again, 11, 30, running) == straight


@pytest.mark.parametrize("sampler", [TPE, "random"])
def test_a_running_trial_that_ends_after_the_rebuild_is_told_like_any_other(sampler: Any) -> None:
    config = by_name(SAMPLERS, sampler)
    straight = make_study("straight", config, seed=1)
    records = run(straight, 0, 12, running=(9, 11))
    again = rebuild(make_study("again", config, seed=1), SPACE, records)
    for study in (straight, again):
        tell(study, 11, "completed", 0.9, {1: 0.2})
        tell(study, 9, "diverged", 0.0)
    same_view(straight, again)
    assert run(straight, 12, 20) == run(again, 12, 20)


def test_the_seed_and_the_sampler_matter() -> None:
    draws = {
        str([record.params for record in run(make_study("s", by_name(SAMPLERS, name), seed), 0, 9)])
        for seed in (0, 1)
        for name in (TPE, "random")
    }
    assert len(draws) == 4


def test_trial_zero_is_the_default_and_later_ones_differ() -> None:
    study = make_study("s", "random", seed=0)
    records = run(study, 0, 4)
    assert records[0].params == SPACE.default()[0]
    assert len({str(record.params) for record in records}) == 4


def test_draws_lie_in_their_distributions_and_optuna_agrees() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in (TPE, "random"):
            study = make_study("s", by_name(SAMPLERS, name), seed=2)
            for record in run(study, 0, 25):
                for parameter, value in record.params.items():
                    distribution = SPACE.parameters[parameter]
                    assert distribution.contains(value)
                    optunas = to_optuna(distribution)
                    assert optunas._contains(optunas.to_internal_repr(value))


@pytest.mark.parametrize("tree", [{"uniform": [0, 1]}, {"logint": [2, 9]}, {"choice": [1]}])
def test_one_value_or_one_parameter_is_enough(tree: dict[str, Any]) -> None:
    space = Space.parse({"x": tree, "fixed": {"int": [3, 3]}})
    study = make_study("s", by_name(SAMPLERS, {"name": "tpe", "n_startup_trials": 1}), seed=2)
    for number in range(4):
        params, drawn = ask(study, space, number)
        assert drawn["fixed"] == 3
        tell(study, number, "completed", float(params["x"]))


def test_how_each_outcome_stands_in_optuna() -> None:
    study = make_study("s", "random", seed=0)
    expected = {
        "completed": (TrialState.COMPLETE, 0.5, {}),
        "pruned": (TrialState.PRUNED, 0.2, {}),
        "infeasible": (TrialState.PRUNED, None, {CONSTRAINT: 2.0}),
        "stopped": (TrialState.PRUNED, 0.2, {}),
        **{failure: (TrialState.COMPLETE, 0.5, {CONSTRAINT: 1.0}) for failure in FAILURES},
    }
    assert set(expected) == set(OUTCOMES)
    for number, outcome in enumerate(expected):
        ask(study, SPACE, number)
        rungs = {} if outcome == "infeasible" else {1: 0.1, 2: 0.2, 3: math.nan}
        tell(study, number, outcome, 0.5 if outcome in ("completed", *FAILURES) else None, rungs)
    for trial, (state, value, constraints) in zip(study.trials, expected.values(), strict=True):
        assert (trial.state, trial.value, trial.constraints) == (state, value, constraints)
        assert all(math.isfinite(score) for score in trial.intermediate_values.values())
    ask(study, SPACE, len(expected))
    tell(study, len(expected), "stopped")
    assert study.trials[-1].state == TrialState.FAIL


def test_each_trial_is_told_once_and_never_a_nan() -> None:
    study = make_study("s", "random", seed=0)
    ask(study, SPACE, 0)
    for outcome in ("completed", "diverged"):
        for score in (None, math.nan, math.inf):
            with pytest.raises(ValueError, match="finite score"):
                tell(study, 0, outcome, score)
    with pytest.raises(ValueError, match="unknown outcome 'won'"):
        tell(study, 0, "won", 1.0)
    tell(study, 0, "diverged", 0.0)
    for outcome, score in (("completed", 1.0), ("diverged", 0.0), ("pruned", None)):
        with pytest.raises(ValueError, match="told before"):
            tell(study, 0, outcome, score)
    assert study.trials[0].value == 0.0


def test_numbers_follow_each_other() -> None:
    study = make_study("s", "random", seed=0)
    with pytest.raises(ValueError, match="trial 1"):
        ask(study, SPACE, 1)
    params = SPACE.default()[0]
    with pytest.raises(ValueError, match="trial 1 is missing"):
        rebuild(study, SPACE, [Record(0, params), Record(2, params)])
    with pytest.raises(ValueError, match="empty"):
        rebuild(study, SPACE, [])


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_best_trial_is_never_a_failed_one(direction: Any) -> None:
    study = make_study("s", "random", 0, direction)
    floor = 0.0 if direction == "maximize" else 1.0
    better = 2.0 if direction == "maximize" else -1.0
    ends = [("diverged", better), ("completed", floor), ("oom", floor), ("crashed", better)]
    for number, (outcome, score) in enumerate(ends):
        ask(study, SPACE, number)
        tell(study, number, outcome, score)
    assert study.best_trial.number == 1


def failing_sweep(sampler: Any, seed: int, trials: int) -> list[tuple[str, float]]:
    """Outcome and quality of each trial when lr > 1e-3 diverges and odd batches are infeasible."""
    study = make_study("s", by_name(SAMPLERS, sampler), seed)
    found = []
    for number in range(trials):
        params, _ = ask(study, SPACE, number)
        lr = next(value for name, value in params.items() if name.endswith(".lr"))
        score = quality(params)
        if params["train.batch"] > 128:
            outcome, told = "infeasible", None
        elif lr > 1e-3:
            outcome, told = "diverged", 0.0
        elif number % 3 == 0 and score < 0.7:
            outcome, told = "pruned", None
        else:
            outcome, told = "completed", score
        tell(study, number, outcome, told, {1: score / 2} if outcome == "pruned" else {})
        found.append((outcome, score))
    assert study.best_trial.constraints == {}
    return found


def test_tpe_learns_from_failures_and_beats_random() -> None:
    def late(sampler: Any) -> tuple[float, float]:
        bad, best = [], []
        for seed in range(4):
            found = failing_sweep(sampler, seed, 50)[20:]
            bad.append(np.mean([outcome in ("diverged", "infeasible") for outcome, _ in found]))
            best.append(np.mean([score for outcome, score in found if outcome == "completed"]))
        return float(np.mean(bad)), float(np.mean(best))

    tpe_bad, tpe_score = late({"name": "tpe", "n_startup_trials": 10})
    random_bad, random_score = late("random")
    assert tpe_bad < 0.85 * random_bad
    assert tpe_score > random_score + 0.05


def test_a_journal_is_rebuilt_in_place_and_opens_with_optuna(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    config = by_name(SAMPLERS, TPE)
    straight = run(make_study("straight", config, 5), 0, 20)
    first = rebuild_journal(path, "sweep-1", SPACE, [], config, seed=5)
    records = run(first, 0, 11)
    # What a killed driver leaves behind: a torn line and held locks.
    with path.open("a") as file:
        file.write('{"op_code": 4, "wor')
    for lock in (f"{path}.lock", f"{path}.tmp.lock"):
        Path(lock).symlink_to(path)
    second = rebuild_journal(path, "sweep-1", SPACE, records, config, seed=5)
    assert records + run(second, 11, 20) == straight
    assert sorted(child.name for child in tmp_path.iterdir()) == ["study.log"]

    storage = JournalStorage(JournalFileBackend(str(path)))
    opened = optuna.load_study(study_name="sweep-1", storage=storage)
    same_view(second, opened)
    assert opened.best_trial.number == second.best_trial.number
    assert optuna.get_all_study_names(storage) == ["sweep-1"]


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_samplers_are_registered_under_their_name(name: str) -> None:
    assert by_name(SAMPLERS, name).name == name
    assert by_name(SAMPLERS, {"name": name}) == by_name(SAMPLERS, name)


def test_sampler_configs_are_checked() -> None:
    assert by_name(SAMPLERS, TPE).model_dump()["n_startup_trials"] == 5
    with pytest.raises(ValueError, match="did you mean tpe"):
        by_name(SAMPLERS, "tpee")
    with pytest.raises(ValueError, match="n_startup_trials"):
        by_name(SAMPLERS, {"name": "tpe", "n_startup_trials": 0})
    with pytest.raises(ValueError, match="n_startup_trials"):
        by_name(SAMPLERS, {"name": "random", "n_startup_trials": 3})
