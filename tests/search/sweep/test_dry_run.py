"""What a sweep is said to cost on a machine whose one GPU all trials share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.resources import Share
from search.config.file import load_tree
from search.config.share import devices_of, share_of
from search.sweep.dry_run import dry_run
from search.sweep.dry_run import text as said
from tests.conftest import Tiny
from tests.support.apple_gpu import apple_gpu
from tests.support.planned import checked, planned
from trm.errors import UserError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_a_cluster_is_counted_node_by_node(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.sweep.dry_run._seconds_per_trial", lambda *_: (60.0, (8, 8)))
    tree = tiny({"train.budget.steps": 4, "cluster.address": "auto", "cluster.cpus_per_trial": 2})
    tree["optimizer"]["lr"] = {"loguniform": [1e-3, 1e-2]}
    config = checked(tree)
    here: list[list[dict[str, float]]] = [
        [{"CPU": 3.0}] * 3,
        [{}, {"CPU": 4.0, "GPU": 1.0}, {"CPU": 2.0}],
        [{"CPU": 1.0}],
    ]
    monkeypatch.setattr("search.sweep.dry_run._nodes_at", lambda address: here.pop(0))
    found = dry_run(config, build=lambda experiment: experiment.task.build())
    assert found.estimate is not None
    assert (found.estimate.parallel, found.estimate.room, found.estimate.nodes) == (3, 3, 3)
    assert "3 at once on 3 nodes of the cluster as it is now" in said(found)
    by_cores = found.estimate.total.device_seconds
    assert "share a GPU" not in said(found)
    found = dry_run(config, parallel=8, build=lambda experiment: experiment.task.build())
    assert found.estimate is not None
    assert (found.estimate.parallel, found.estimate.nodes) == (1, 1), "whoever has a GPU"
    assert "how many trials share a GPU is measured when the sweep starts" in said(found)
    assert found.estimate.total.device_seconds == pytest.approx(by_cores / 2)
    with pytest.raises(UserError, match=r"cluster.cpus_per_trial: 2 is more than a node has"):
        dry_run(config, build=lambda experiment: experiment.task.build())


def test_a_long_sweep_of_few_trials_says_that_threads_are_measured(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.sweep.dry_run.cores", lambda: 16)
    monkeypatch.setattr("search.sweep.dry_run._seconds_per_trial", lambda *_: (60.0, (8, 8)))
    long = {"train.budget": {"flops": 1e16}, "train.device": "cpu"}
    more = {"stability.promise_seeds": 3, "stability.candidates": 2, "stability.seeds": 2}

    def threads(**given: Any) -> tuple[int, str]:
        tree = tiny(long | more | given)
        tree["optimizer"]["lr"] = {"loguniform": [1e-3, 1e-2]}
        found = dry_run(checked(tree), build=lambda experiment: experiment.task.build())
        assert found.estimate is not None
        return found.estimate.threads, said(found)

    most, text = threads()
    assert most == 2, "six runs leave two cores each"
    assert "what a trial gains by threads, up to 2 where trials leave cores, is measured" in text
    for given in (
        {"train.threads": 2},
        {"cluster.cpus_per_trial": 1},
        {"cluster.pack": False},
        {"train.budget": {"flops": 1e10}},
        {"train.compile": True},
    ):
        most, text = threads(**given)
        assert most == 0, given
        assert "threads" not in text


@pytest.mark.parametrize(
    ("given", "room", "text"),
    [
        ({}, 1, "8 at once on an Apple GPU, no sooner than with 1"),
        ({"train.device": "cpu"}, 2, "8 at once on 2 cores, no sooner than with 2"),
    ],
)
def test_trials_at_once_on_an_apple_gpu_take_turns(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch,
    given: dict[str, Any], room: int, text: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("search.sweep.dry_run.cores", lambda: 2)
    # What a trial takes is no matter here, and timing it takes seconds.
    monkeypatch.setattr("search.sweep.dry_run._seconds_per_trial", lambda *_: (60.0, (8, 8)))
    tree = tiny(given | {"train.budget.steps": 4})
    tree["optimizer"]["lr"] = {"loguniform": [1e-3, 1e-2]}
    config = checked(tree)
    monkeypatch.setattr("search.sweep.dry_run._nodes_at", lambda address: None)
    with apple_gpu(monkeypatch):
        found = dry_run(config, parallel=8, build=lambda experiment: experiment.task.build())
        away = dry_run(
            config, parallel=8, address="auto", build=lambda experiment: experiment.task.build()
        )
        share = share_of(planned(tree))
    assert found.estimate is not None
    assert away.estimate is not None
    assert (found.estimate.parallel, found.estimate.room) == (8, room)
    assert away.estimate.room == 8
    assert text in said(found)
    # Ray has no such GPU to give: a trial asks for cores alone, and hours are those of its cores.
    assert share == Share(cpus=1, gpus=0.0)
    assert share.request() == {"CPU": 1.0}
    assert devices_of(share) == 1.0


def test_an_option_that_goes_with_some_draws_alone_is_no_fault_of_the_space(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The space of everything has options that its defaults refuse, and others do not."""
    monkeypatch.setattr("search.sweep.dry_run._seconds_per_trial", lambda *_: (6.0, (8, 8)))
    config = checked(load_tree(BENCHMARKS / "spaces/everything-arrows4.yaml"))
    found = dry_run(config, build=lambda experiment: experiment.task.build())
    assert "infeasible draws: 2" in said(found)
    assert "53 parameters (22 conditional)" in said(found)
    never = {**config.tree, "model": {**config.tree["model"], "gradient_cycles": 1, "H_cycles": 2}}
    with pytest.raises(UserError, match=r"initial_state = learned: no draw with it is valid"):
        dry_run(checked(never), build=lambda experiment: experiment.task.build())


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        ("auto", "sampler auto chooses gp: one objective and 64 configs, few enough for a model"),
        ("tpe", "sampler tpe"),
    ],
)
def test_how_configs_are_drawn_is_said_with_the_reason_for_a_choice(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, sampler: str, words: str
) -> None:
    monkeypatch.setattr("search.sweep.dry_run._seconds_per_trial", lambda *_: (60.0, (8, 8)))
    tree = tiny({"train.budget.steps": 4, "search.sampler": sampler, "search.trials": 64})
    tree["optimizer"]["lr"] = {"loguniform": [1e-3, 1e-2]}
    found = dry_run(checked(tree), build=lambda experiment: experiment.task.build())
    [line] = [line for line in said(found).splitlines() if line.startswith("sampler ")]
    assert line.startswith(words)
    assert json.loads(found.as_json())["sampler"] == line
