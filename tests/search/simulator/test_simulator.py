"""Whole sweeps in virtual time: their bookkeeping, and that searching well pays."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from search.config.seeds import CONFIRM_SEEDS
from search.engine.source import replicate
from search.explore.further_seeds import FurtherSeeds
from search.simulator.methods import RANDOM_SEARCH, compare, methods
from search.simulator.recording import RecordedRun, Recording
from search.simulator.simulator import Incumbent, Simulated, _Run, plan_of, simulate
from search.simulator.virtual_clock import VirtualClock
from search.simulator.world import Params, RecordedWorld, SeedSplit, splits
from tests.support.recordings import BUDGET, made_up
from trm.errors import UserError

SPLIT = SeedSplit((0, 1, 2), (3, 4, 5))


@pytest.fixture(scope="module")
def recording() -> Recording:
    return made_up()


def played(recording: Recording, scheduler: Any, **options: Any) -> Simulated:
    plan = plan_of(recording, {"search": {"scheduler": scheduler, "sampler": "random"}})
    return simulate(world(recording, options.pop("split", SPLIT)), plan, **options)


def world(recording: Recording, split: SeedSplit = SPLIT) -> RecordedWorld:
    return RecordedWorld(recording, split, plan_of(recording).objective)


def index(recording: Recording, found: Simulated) -> int:
    """The recorded config that a sweep picked."""
    assert found.pick is not None
    return recording.params.index(found.pick)


@pytest.mark.parametrize(
    "scheduler", ["none", "asha", "hyperband", "median", "halving",
                  {"name": "halving", "on": "steps"},
                  {"name": "asha", "on": "seconds", "full_seconds": 30.0}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("workers", [1, 7])
def test_a_sweep_ends_with_every_scheduler(
    recording: Recording, scheduler: Any, workers: int
) -> None:
    found = played(recording, scheduler, workers=workers)
    assert found.trials >= 12
    last = [recording.runs[index(recording, found), seed].rows[-1] for seed in SPLIT.truth]
    assert found.quality == pytest.approx(np.mean([row["exact_accuracy"] for row in last]))
    if scheduler == "none":
        # 12 explore trials and 3 candidates over 2 more seeds; diverged ones cost less.
        assert 12 * BUDGET < found.compute <= 18 * BUDGET * (1 + 1e-9)
    else:
        assert found.compute < played(recording, "none", workers=workers).compute
    assert [point.compute for point in found.points] == sorted(p.compute for p in found.points)
    assert found.points[-1] == Incumbent(found.compute, found.time, found.quality)


def test_the_same_seed_gives_the_same_sweep(recording: Recording) -> None:
    assert played(recording, "asha", workers=3) == played(recording, "asha", workers=3)


def test_compute_is_a_hard_limit_and_the_confirm_stage_counts(recording: Recording) -> None:
    for scheduler in ("none", "asha", "halving"):
        found = played(recording, scheduler, workers=4, compute=20 * BUDGET)
        assert 16 * BUDGET < found.compute <= 20 * BUDGET * (1 + 1e-9)
    alone = played(recording, "none", workers=4, compute=40 * BUDGET, confirm=False)
    both = played(recording, "none", workers=4, compute=40 * BUDGET)
    assert alone.trials >= both.trials + 4, "two candidates over two seeds take four runs"


def test_many_workers_at_once_spend_what_one_spends(recording: Recording) -> None:
    for scheduler in ("none", "asha"):
        for compute in (8, 13):
            found = played(recording, scheduler, workers=8, compute=compute * BUDGET)
            assert found.compute > (compute - 1) * BUDGET, (scheduler, compute)


def test_more_workers_take_less_time_for_the_same_trials(recording: Recording) -> None:
    one, eight = (played(recording, "none", workers=w, confirm=False) for w in (1, 8))
    assert one.pick == eight.pick
    assert one.compute == eight.compute
    assert eight.time < one.time / 4
    rate = played(recording, "none", workers=1, confirm=False, clock="compute")
    assert rate.time == pytest.approx(rate.compute)


def test_a_sweep_sees_its_own_seeds_and_no_others(recording: Recording) -> None:
    runs = {key: run for key, run in recording.runs.items() if key[1] in SPLIT.search}
    blind = replace(recording, runs=runs)
    with pytest.raises(KeyError):
        played(blind, "asha")
    truth = {key: run for key, run in recording.runs.items() if key[1] in SPLIT.truth}
    for key, run in truth.items():
        runs[key] = replace(run, rows=[{**r, "exact_accuracy": 0.25} for r in run.rows])
    seen, changed = played(recording, "asha"), played(replace(recording, runs=runs), "asha")
    assert (seen.pick, seen.compute, seen.time) == (changed.pick, changed.compute, changed.time)


def test_several_seeds_a_config_leave_fewer_to_confirm_with(recording: Recording) -> None:
    search = {"scheduler": "none", "sampler": "random", "trials": 6}
    one, two = (
        simulate(world(recording), plan_of(recording, {"search": {**search, "seeds": seeds}}))
        for seeds in (1, 2)
    )
    # 6 configs, and 3 candidates over the 2 seeds that are left, or over the only one.
    assert one.compute == pytest.approx(12 * BUDGET)
    assert two.compute == pytest.approx(15 * BUDGET)
    with pytest.raises(UserError, match=r"search\.seeds.* more than the 3 seeds"):
        simulate(world(recording), plan_of(recording, {"search": {**search, "seeds": 4}}))


class _Endless(RecordedWorld):
    """Seeds without number; notes which were asked for."""

    asked: list[int]

    @property
    def seeds(self) -> None:  # type: ignore[override]
        return None

    def run(self, params: Params, seed: int) -> RecordedRun:
        self.asked.append(seed)
        return super().run(params, seed % 3)


def test_seeds_that_the_search_gave_a_leader_are_not_the_confirm_stages(
    recording: Recording,
) -> None:
    plan = plan_of(recording, {"search": {"scheduler": "learned"}})
    endless = _Endless(recording, SPLIT, plan.objective)
    endless.asked = []
    played = _Run(endless, plan, VirtualClock(1))
    params, tree = plan.space.default()
    first = played.book.add_trial(stage="explore", params=params, config=tree, seed=plan.seed)
    further = FurtherSeeds(plan, played.book)
    again = [further.add(first) for _ in range(3)]
    confirming = [
        replicate(played.book, "confirm", first.id, plan.seed + CONFIRM_SEEDS + n, params, tree)
        for n in range(3)
    ]
    for trial in (first, *again, *confirming):
        played.recorded(trial)
    assert endless.asked[:4] == [0, 1, 2, 3]
    assert len(set(endless.asked)) == 7


def test_splits_rotate_over_all_halves() -> None:
    found = splits(range(6), 40)
    assert all(len(split.search) == len(split.truth) == 3 for split in found)
    assert all(not set(split.search) & set(split.truth) for split in found)
    assert len({tuple(sorted(split.search)) for split in found[:20]}) == 20
    assert found == splits(range(6), 40)
    assert splits([4], 2) == [SeedSplit((4,), (4,))] * 2


def test_compute_to_a_target_counts_what_stays() -> None:
    plan = plan_of(made_up(configs=2, seeds=1))
    qualities = [0.2, 0.6, 0.4, 0.5, 0.7]
    points = [Incumbent(float(index), 0.0, value) for index, value in enumerate(qualities)]
    found = Simulated({}, 0.7, 4.0, 0.0, 5, points)
    assert found.compute_to(0.5, plan.objective) == 3.0
    assert found.compute_to(0.1, plan.objective) == 0.0
    assert found.compute_to(0.8, plan.objective) == math.inf


def test_early_stopping_and_confirming_beat_random_search_at_equal_compute(
    recording: Recording,
) -> None:
    chosen = methods(recording, schedulers=["asha", "halving"], samplers=["random"])
    found = compare(recording, chosen, splits(recording.seeds, 20), workers=4, compute=24)
    lines = {line.method: line for line in found}
    plain = np.array(lines.pop(RANDOM_SEARCH).qualities)
    assert len(lines) == 2
    for name, line in lines.items():
        gain = np.array(line.qualities) - plain
        assert gain.mean() > 0, name
        assert line.compute == pytest.approx(24, abs=3)
    assert max(line.quality for line in lines.values()) < lines.popitem()[1].best


def test_a_broken_run_never_wins_nor_stops_others(recording: Recording) -> None:
    """Every learning rate that diverges looks best until it does."""
    runs = {
        key: replace(run, rows=[{**r, "exact_accuracy": 1.0} for r in run.rows])
        if run.outcome == "diverged"
        else run
        for key, run in recording.runs.items()
    }
    for scheduler in ("asha", "halving", "median", "hyperband"):
        found = played(replace(recording, runs=runs), scheduler, compute=30 * BUDGET)
        assert recording.runs[index(recording, found), 0].outcome == "completed", scheduler
        assert found.quality > 0.5, scheduler


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search": {"scheduler": "pbt"}}, "cannot be simulated"),
        ({"search": {"scheduler": "ashaa"}}, "did you mean asha"),
    ],
)
def test_what_cannot_be_simulated(
    recording: Recording, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        plan_of(recording, changes)


def test_steps_of_a_full_run_must_be_known(recording: Recording) -> None:
    scheduler = {"name": "asha", "on": "steps"}
    assert plan_of(recording, {"search": {"scheduler": scheduler}}).early_stopping.share(
        {"step": 50}
    ) == pytest.approx(0.5)
    without = replace(recording, params=recording.params[1:])
    with pytest.raises(UserError, match="full_steps"):
        plan_of(without, {"search": {"scheduler": scheduler}})


def test_sweeps_that_pick_what_is_worse_than_the_defaults_are_counted(
    recording: Recording,
) -> None:
    chosen = methods(recording, schedulers=["none"], samplers=["random"])
    assert recording.params[0] == recording.space.default()[0]
    rounds = splits(recording.seeds, 8)
    line, _ = compare(recording, chosen, rounds, workers=4, compute=24)
    objective = plan_of(recording).objective
    truths = [recording.quality(0, split.truth, objective) for split in rounds]
    assert line.defaults == pytest.approx(np.mean(truths))
    worse = [q < d for q, d in zip(line.qualities, truths, strict=True)]
    assert line.overtuned == np.mean(worse) < 1
    # Where the default values are the best that there is, whatever else is picked is overtuned.
    runs = {
        key: replace(run, rows=[{**r, "exact_accuracy": 1.0} for r in run.rows])
        if key[0] == 0 and key[1] in (3, 4, 5)
        else run
        for key, run in recording.runs.items()
    }
    line, _ = compare(
        replace(recording, runs=runs), chosen, [SPLIT, SPLIT], workers=4, compute=24
    )  # fmt: skip
    assert line.overtuned == 1.0
