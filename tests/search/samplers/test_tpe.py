"""TPE: that it learns, from failures too, and what the cap on observations leaves alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pytest

from search.samplers.base import SamplerConfig
from search.samplers.history import History, PastTrial
from search.samplers.random import RandomConfig
from search.samplers.tpe import TpeConfig
from search.samplers.view import view_of
from search.testing.samplers import SPACES

SPACE = SPACES["conditional"]


def quality(params: dict[str, Any]) -> float:
    """Best (1.0) at adamw, lr 1e-3, H_cycles 3."""
    lr = next(value for name, value in params.items() if name.endswith(".lr"))
    off = abs(math.log10(lr) + 3) / 4 + abs(params["model.H_cycles"] - 3) / 6
    return 1.0 - off - 0.2 * (params["optimizer"] == "muon")


def failing_sweep(config: SamplerConfig, seed: int, count: int) -> list[tuple[str, float]]:
    """Outcome and quality of each candidate when lr > 1e-3 diverges, big batches are infeasible."""
    history = History()
    found = []
    for number in range(count):
        params, _ = config.draw(history, SPACE, seed, count)
        history.begin(params)
        lr = next(value for name, value in params.items() if name.endswith(".lr"))
        score, rungs, values = quality(params), {}, (quality(params),)
        if params["train.batch"] > 128:
            outcome, values = "infeasible", ()
        elif lr > 1e-3:
            outcome, values = "diverged", (0.0,)
        elif number % 3 == 0 and score < 0.7:
            outcome, rungs = "pruned", {1: score / 2}
        else:
            outcome = "completed"
        history.end(PastTrial(number, params, outcome, values, rungs))
        found.append((outcome, score))
    return found


def test_it_learns_from_failures_and_beats_random() -> None:
    def late(config: SamplerConfig) -> tuple[float, float]:
        bad, best = [], []
        for seed in range(3):
            found = failing_sweep(config, seed, 50)[20:]
            bad.append(np.mean([outcome in ("diverged", "infeasible") for outcome, _ in found]))
            best.append(np.mean([score for outcome, score in found if outcome == "completed"]))
        return float(np.mean(bad)), float(np.mean(best))

    tpe_bad, tpe_score = late(TpeConfig())
    random_bad, random_score = late(RandomConfig())
    assert tpe_bad < 0.85 * random_bad
    assert tpe_score > random_score + 0.05


def long_history(count: int) -> History:
    rng = np.random.default_rng(0)
    history = History()
    for number in range(count):
        params, _ = SPACE.sample(rng)
        history.begin(params)
        if number % 3:
            ended = PastTrial(number, params, "pruned", (), {number % 2: float(rng.random())})
        else:
            ended = PastTrial(number, params, "completed", (float(rng.random()),))
        history.end(ended)
    return history


@pytest.mark.parametrize("count", [30, 50])
def test_a_cap_that_is_not_reached_changes_nothing(count: int) -> None:
    history = long_history(count)
    draws = [TpeConfig(max_observations=most).draw(history, SPACE, 4, 99) for most in (50, None)]
    assert draws[0] == draws[1]


def test_the_cap_keeps_the_good_ones_and_every_running_one() -> None:
    history = long_history(400)
    running = [history.begin(SPACE.sample(np.random.default_rng(9))[0]) for _ in range(3)]
    view = view_of(history, SPACE, as_pruned=True)
    split = optuna.samplers._tpe.sampler._split_trials
    study = optuna.create_study(direction="maximize")
    whole, _ = split(study, view.trials(None), 25)
    good, bad = split(study, view.trials(100), 25)
    assert [trial.number for trial in good] == [trial.number for trial in whole]
    assert len(good) + len(bad) == 100 + len(running)
    assert {*running} <= {trial.number for trial in bad}


def test_only_groups_that_exist_are_asked_for() -> None:
    """The draw of a branch does not depend on what is in the other."""
    history = long_history(60)
    other = History()
    for record in history.records:
        params = {**record.params}
        if params["optimizer"] == "muon":
            params["optimizer[muon].lr"] = 1e-2
        other.begin(params)
        other.end(PastTrial(record.number, params, record.outcome, record.values, record.rungs))
    drawn = 0
    for seed in range(25):
        one, two = (TpeConfig().draw(h, SPACE, seed, 99)[0] for h in (history, other))
        if one["optimizer"] == "adamw":
            drawn += 1
            assert one == two
    assert drawn > 2


def test_configs_are_checked() -> None:
    with pytest.raises(ValueError, match="max_observations"):
        TpeConfig(max_observations=10)
    with pytest.raises(ValueError, match="n_startup_trials"):
        TpeConfig(n_startup_trials=0)
