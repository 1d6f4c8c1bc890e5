"""What a sweep is said to cost on a machine whose one GPU all trials share."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.resources import Share
from search.config.share import devices_of, share_of
from search.sweep.dry_run import dry_run
from search.sweep.dry_run import text as said
from tests.conftest import Tiny
from tests.support.apple_gpu import apple_gpu
from tests.support.planned import checked, planned


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
    monkeypatch.setattr("search.sweep.dry_run._seconds_per_trial", lambda *_: 60.0)
    tree = tiny(given | {"train.budget.steps": 4})
    tree["optimizer"]["lr"] = {"loguniform": [1e-3, 1e-2]}
    config = checked(tree)
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
