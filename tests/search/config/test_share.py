"""What a trial gets: said in the file, or found on the nodes, or on record."""

from __future__ import annotations

from cluster.resources import Share
from search.config.share import share_had, share_of
from search.ledger.trial import Trial
from tests.conftest import Tiny
from tests.support.planned import planned


def test_a_gpu_is_taken_where_a_node_has_one(tiny: Tiny) -> None:
    plan = planned(tiny({"train.threads": 2}))
    assert share_of(plan, [{"CPU": 8.0}, {}]) == Share(cpus=2, gpus=0.0)
    assert share_of(plan, [{"CPU": 8.0}, {"CPU": 1.0, "GPU": 4.0}]) == Share(cpus=2, gpus=1.0)
    asked = planned(tiny({"cluster.gpus_per_trial": 0.5, "cluster.cpus_per_trial": 3}))
    assert share_of(asked, [{"CPU": 8.0}]) == Share(cpus=3, gpus=0.5)


def test_what_trials_had_does_not_depend_on_who_asks(tiny: Tiny) -> None:
    plan = planned(tiny())

    def ran_on(device: str) -> Trial:
        trial = Trial(0, "explore", 0, 0, {}, {})
        trial.provenance = {"resolved": {"device": device}}
        return trial

    assert share_had(plan, [ran_on("cpu"), ran_on("cuda:0")]).gpus == 1.0
    assert share_had(plan, [ran_on("cpu")]).gpus == 0.0
    assert share_had(plan, []) == share_of(plan)
