"""Our Gaussian process in Optuna studies: conditional spaces, failures, pruning, parallel asks."""

from __future__ import annotations

import optuna
import pytest

from search.samplers.for_optuna import GaussianSampler

optuna.logging.set_verbosity(optuna.logging.WARNING)


def objective(trial: optuna.Trial) -> float:
    kind = trial.suggest_categorical("kind", ["a", None, 3])
    rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
    depth = trial.suggest_int(f"depth of {kind}", 1, 9)
    if rate > 0.5:
        raise ArithmeticError
    trial.report(0.1, 1)
    if depth == 9:
        raise optuna.TrialPruned
    return abs(depth - 5) + {"a": 2.0, None: 0.0, 3: 1.0}[kind] + abs(rate - 0.01)


def test_it_learns_a_conditional_space_with_failures_and_pruned_trials() -> None:
    study = optuna.create_study(sampler=GaussianSampler(seed=1))
    study.optimize(objective, n_trials=35, catch=ArithmeticError)
    late = [trial for trial in study.trials[-12:] if trial.value is not None]
    assert sum(trial.params["kind"] is None for trial in late) >= 6
    assert study.best_value < 0.2
    assert {trial.state.name for trial in study.trials} >= {"COMPLETE", "PRUNED"}


def test_asks_beside_running_trials_spread_out() -> None:
    study = optuna.create_study(direction="maximize", sampler=GaussianSampler(seed=0))
    study.optimize(lambda trial: -((trial.suggest_float("x", 0, 1) - 0.3) ** 2), n_trials=12)
    found = [study.ask().suggest_float("x", 0, 1) for _ in range(4)]
    assert len({round(x, 6) for x in found}) == 4


def test_several_objectives_are_refused() -> None:
    study = optuna.create_study(
        directions=["minimize"] * 2, sampler=GaussianSampler(n_startup_trials=1)
    )
    with pytest.raises(ValueError, match="one objective"):
        study.optimize(lambda t: (t.suggest_float("x", 0, 1),) * 2, n_trials=3)
