"""Importances of functions whose answer is known, and of recorded trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import qmc
from sklearn.ensemble import RandomForestRegressor

from search.analysis.importance import importances, samples
from search.cli import main
from search.config.plan import Plan, simulated_plan, write_plan
from search.ledger.book import Book
from search.ledger.ledger import Ledger
from search.simulator.recording import read_recording
from search.simulator.simulator import plan_of
from search.stats.forest import decompose
from tests.support.folders import DATA

RECORDING = DATA / "recordings" / "arrows4.parquet"
TREE: dict[str, Any] = {
    "name": "known",
    "task": {"name": "arrows", "size": 4, "train_examples": 40, "valid_examples": 10,
             "test_examples": 10},
    "model": {"hidden_size": 16, "num_heads": 2, "L_cycles": {"int": [1, 4]},
              "halt_exploration_prob": {"uniform": [0.0, 1.0]}},
    "optimizer": {
        "choice": [
            {"name": "adamw", "lr": {"loguniform": [1e-5, 1e-1]}},
            {"name": "adam_atan2", "weight_decay": {"uniform": [0.0, 1.0]}},
        ]
    },
    "train": {"budget": {"flops": 1e9}},
}  # fmt: skip
EXPLORATION, CYCLES = "model.halt_exploration_prob", "model.L_cycles"
Scorer = Callable[[Mapping[str, Any], np.random.Generator], float | None]


@pytest.fixture
def plan() -> Plan:
    return simulated_plan(TREE)


def fill(book: Book, plan: Plan, count: int, score: Scorer, seeds: int = 1) -> None:
    """Random configs; a score of None is a failure."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        params = plan.space.sample(rng)[0]
        first = len(book.trials)
        for seed in range(seeds):
            trial = book.add_trial(
                stage="explore", params=params, config={}, seed=seed, candidate=first
            )
            book.begin_attempt(trial.id)
            value = score(params, rng)
            outcome = "completed" if value is not None else "diverged"
            book.finish(trial.id, outcome, 0.0 if value is None else value)  # type: ignore[arg-type]


def ishigami(x: np.ndarray) -> np.ndarray:
    """On the unit cube; a = 7, b = 0.1."""
    a, b, c = (2 * math.pi * x - math.pi).T
    return np.sin(a) + 7 * np.sin(b) ** 2 + 0.1 * c**4 * np.sin(a)


def test_the_forests_shares_are_ishigamis_sobol_indices() -> None:
    places = qmc.Sobol(3, seed=1).random(2048)
    found = decompose(places, ishigami(places), [32, 32, 32], trees=32)
    # Exact: Ishigami & Homma (1990). First order 0.3139, 0.4424, 0; the first and third 0.2437.
    # A forest of 2,048 points smooths the tops of the waves.
    assert found.main == pytest.approx([0.3139, 0.4424, 0.0], abs=0.07)
    assert found.pairs[0, 2] == pytest.approx(0.2437, abs=0.04)
    assert found.pairs[0, 1] < 0.04
    assert found.pairs[1, 2] < 0.04
    assert found.explained > 0.9


def test_the_forest_is_taken_apart_as_brute_force_would() -> None:
    rng = np.random.default_rng(0)
    places = rng.random((200, 3))
    found = decompose(places, ishigami(places), [32, 32, 32], seed=3, trees=16)
    forest = RandomForestRegressor(
        16, min_samples_leaf=2, max_features=1.0, oob_score=True, random_state=3
    ).fit(places, ishigami(places))
    axis = (np.arange(48) + 0.5) / 48
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    values = forest.predict(grid.reshape(-1, 3)).reshape(48, 48, 48)
    alone = [values.mean(axis=tuple({0, 1, 2} - {i})).var() for i in range(3)]
    both = values.mean(axis=1).var() - alone[0] - alone[2]
    assert found.main == pytest.approx(np.array(alone) / values.var(), abs=0.02)
    assert found.pairs[0, 2] == pytest.approx(both / values.var(), abs=0.02)


def test_the_forests_shares_of_a_product_with_an_option_are_exact() -> None:
    # (1 + a x)(1 + b y), x uniform, y one of 4 options: V_x, V_y, V_xy by hand.
    rng = np.random.default_rng(2)
    option = rng.integers(4, size=1500)
    places = np.stack([rng.random(1500), (option + 0.5) / 4], axis=1)
    x, y = places.T
    found = decompose(places, (1 + 2 * x) * (1 + 3 * y), [32, 4], trees=32)
    mean_x, var_x = 2.0, 4 / 12
    mean_y, var_y = 1 + 3 * 0.5, 9 * np.var([0.125, 0.375, 0.625, 0.875])
    parts = np.array([var_x * mean_y**2, mean_x**2 * var_y, var_x * var_y])
    shares = parts / parts.sum()
    assert [*found.main, found.pairs[0, 1]] == pytest.approx(shares, abs=0.03)


def test_what_a_score_depends_on_comes_first_on_its_own_scale(plan: Plan) -> None:
    book = Book()

    def score(params: Mapping[str, Any], rng: np.random.Generator) -> float:
        # Two thirds of the way along the log scale of lr; linear in exploration.
        good = 0.0
        if "optimizer[adamw].lr" in params:
            good = abs(math.log10(params["optimizer[adamw].lr"]) + 3)
        return 0.5 - 0.1 * good - 0.2 * params[EXPLORATION] + float(rng.normal(0, 0.005))

    fill(book, plan, 120, score)
    found = importances(plan, book)
    target = found.targets[0]
    assert target.configs == 120
    assert target.fanova[EXPLORATION] > 3 * target.fanova[CYCLES]
    # Among those that have it, the learning rate matters most: V = 0.01 / 3 against 0.04 / 12.
    assert 0.3 < target.fanova["optimizer[adamw].lr"] < 0.7
    assert target.fanova["optimizer[adam_atan2].weight_decay"] < 0.15
    assert target.ped_anova["optimizer[adam_atan2].weight_decay"] > 0.0
    assert math.fsum(target.ped_anova.values()) == pytest.approx(1.0)
    assert "optimizer = adamw: " in found.conditional["optimizer[adamw].lr"]
    assert found.targets[1].notes == ["no run failed"]
    assert "needs seeds" in found.targets[2].notes[0]


def test_an_interaction_is_found_where_it_is(plan: Plan) -> None:
    book = Book()
    fill(book, plan, 150, lambda p, _: 0.1 * (p[CYCLES] > 2) * (p[EXPLORATION] > 0.5))
    target = importances(plan, book).targets[0]
    first = target.interactions[0]
    assert {first.first, first.second} == {CYCLES, EXPLORATION}
    # A product of two fair coins: a third of the variance each, and a third together.
    assert first.share == pytest.approx(1 / 3, abs=0.06)
    assert target.interactions[1].share < 0.03


def test_failures_and_spread_have_reasons_of_their_own(plan: Plan) -> None:
    book = Book()

    def score(params: Mapping[str, Any], rng: np.random.Generator) -> float | None:
        if params[EXPLORATION] > 0.8:
            return None
        return float(0.5 + rng.normal(0, 0.02 * params[CYCLES] ** 2))

    fill(book, plan, 150, score, seeds=4)
    _, failure, spread = importances(plan, book).targets
    assert next(iter(failure.fanova)) == EXPLORATION
    assert failure.fanova[EXPLORATION] > 0.8
    assert next(iter(failure.ped_anova)) == EXPLORATION
    assert next(iter(spread.fanova)) == CYCLES
    # PED-ANOVA's best are those with the least spread.
    assert next(iter(spread.ped_anova)) == CYCLES
    assert spread.configs < failure.configs == 150


def test_those_that_failed_are_held_against_all_whatever_their_share(plan: Plan) -> None:
    # In floats the share of 7 in 25, times 25, is above 7.
    book, ranks = Book(), iter(range(25))
    fill(book, plan, 25, lambda p, rng: None if next(ranks) % 4 == 0 else 0.5)
    assert sum(trial.outcome == "diverged" for trial in book.trials.values()) == 7
    failure = importances(plan, book).targets[1]
    assert math.fsum(failure.ped_anova.values()) == pytest.approx(1.0)


def test_few_or_noisy_trials_are_called_that(plan: Plan) -> None:
    few, noise = Book(), Book()
    fill(few, plan, 20, lambda p, rng: p[EXPLORATION])
    fill(noise, plan, 60, lambda p, rng: float(rng.random()))
    assert "20 configs are few" in importances(plan, few).targets[0].notes[0]
    assert "mostly noise" in importances(plan, noise).targets[0].notes[-1]
    fewer = Book()
    fill(fewer, plan, 5, lambda p, rng: p[EXPLORATION])
    target = importances(plan, fewer).targets[0]
    assert target.fanova == {}
    assert "at least 8" in target.notes[0]


def test_pruned_and_further_seeds(plan: Plan) -> None:
    book = Book()
    fill(book, plan, 10, lambda p, rng: p[EXPLORATION])
    first = book.trials[0]
    for stage, score, outcome in [("confirm", 0.9, "completed"), ("sensitivity", 0.1, "completed")]:
        more = book.add_trial(
            stage=stage,
            params=first.params,
            config={},
            seed=9,
            candidate=first.id,  # type: ignore[arg-type]
        )
        book.begin_attempt(more.id)
        book.finish(more.id, outcome, score)  # type: ignore[arg-type]
    pruned = book.add_trial(stage="explore", params=plan.space.default()[0], config={}, seed=0)
    book.begin_attempt(pruned.id)
    book.finish(pruned.id, "pruned", 0.99)
    found = samples(plan, book)
    assert len(found) == 11
    assert found[0].score == pytest.approx((first.score + 0.9) / 2)  # type: ignore[operator]
    assert found[0].spread is not None
    assert found[-1].score is None
    assert importances(plan, book).pruned == 1


def test_recorded_trials_through_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = read_recording(RECORDING)
    own = plan_of(recording)
    with Ledger.create(tmp_path / "run") as ledger:
        write_plan(ledger.folder, own)
        for (config, seed), run in recording.runs.items():
            if seed > 2:
                continue
            trial = ledger.add_trial(
                stage="explore", params=recording.params[config], config={}, seed=seed
            )
            ledger.begin_attempt(trial.id)
            ledger.finish(trial.id, "completed", run.rows[-1]["exact_accuracy"])
    assert main(["importance", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr().out
    assert "312 trials ran to their end" in shown
    assert "█" in shown
    assert "failure (share of trials): no run failed" in shown
    assert "spread (standard deviation over seeds), 104 configs" in shown
    (tmp_path / "shown").write_text(shown)
    assert main(["importance", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
