"""Threads of attempts: one number a stage, kept by each trial, and what a probe measures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cluster.resources import Share
from cluster.threads import Paced, ThreadPace
from search.engine.job import Job, build_trainer
from search.engine.packing.pacer import PacedCopy, cpu_name
from search.engine.packing.packings import PACKING_FILE, CpuClass, Packings, read_paces
from search.engine.packing.parts import Parts
from search.engine.packing.threads import Threads
from search.ledger.trial import Trial

PACE = ThreadPace((Paced(1, 10.0), Paced(2, 19.0), Paced(4, 30.0)), 6e8, "6 are not 10% faster")


def trial(number: int, stage: Any = "explore", threads: int | None = None) -> Trial:
    provenance = {} if threads is None else {"resolved": {"threads": threads}}
    return Trial(number, stage, number, 0, {}, {}, provenance=provenance)


def threads(
    trials: list[Trial], waiting: list[int], nodes: list[Mapping[str, float]], **more: Any
) -> Threads:
    by_id = {one.id: one for one in trials}
    return Threads(PACE, Share(), 1000, lambda: waiting[0], by_id, lambda: nodes, **more)


def test_a_stage_has_one_number_whenever_its_trials_begin() -> None:
    trials = [trial(number) for number in range(8)] + [trial(8, "confirm"), trial(9, "confirm")]
    waiting, changes = [7], []
    own = threads(trials, waiting, [{"CPU": 8.0}])
    own.changed = lambda: changes.append((own.now, own.room()))
    assert own.of(trials[0]) == 1
    waiting[0] = 0
    assert own.of(trials[7]) == 1, "the last one of a stage has no more than the others"
    waiting[0] = 1
    assert [own.of(one) for one in trials[8:]] == [4, 4]
    assert changes == [(4, 2)]


def test_runs_that_begin_one_by_one_share_the_cores_as_one_batch() -> None:
    trials = [trial(0, "reference"), trial(1, "reference")]
    own = threads(trials, [0], [{"CPU": 8.0}], runs={"reference": 4})
    assert [own.of(one) for one in trials] == [2, 2]


def test_a_trial_keeps_what_it_has_and_so_does_its_stage_after_a_resume() -> None:
    nodes: list[Mapping[str, float]] = [{"CPU": 8.0}]
    trials = [trial(0, threads=2), trial(1), trial(2, "confirm", threads=1), trial(3, "confirm")]
    own = threads(trials, [0], nodes)
    assert [own.of(one) for one in trials] == [2, 2, 1, 1]
    # On smaller nodes it asks for no more than they have, and would wait for ever otherwise.
    nodes[0] = {"CPU": 1.0}
    assert own.of(trials[0]) == 1


def test_an_attempt_whose_cores_are_gone_does_not_wait_for_them() -> None:
    nodes: list[Mapping[str, float]] = [{"CPU": 8.0}]
    parts = Parts({})
    assert parts.threads(0, 1) is None
    parts.threading = threads([trial(0)], [0], nodes)
    parts.open("a", trial(0), 1)
    assert parts.threads(0, 1) == 4
    assert parts.stranded({"a"}) == []
    nodes[0] = {"CPU": 2.0}
    assert parts.stranded({"a"}) == ["a"]
    assert parts.stranded(()) == []
    nodes[:] = []
    assert parts.stranded({"a"}) == [], "where no node is, any may come"
    parts.close("a")
    assert parts.threads(0, 1) is None


def test_what_was_measured_is_kept_beside_the_gpus(tmp_path: Path) -> None:
    known = Packings(tmp_path)
    found = CpuClass("EPYC", 64, 16, PACE)
    known.keep_pace(found)
    assert list(read_paces(tmp_path)) == [found]
    again = Packings(tmp_path)
    assert again.pace("EPYC", 64, 32) == found, "it ended by itself"
    assert again.pace("EPYC", 32, 16) is None
    assert again.copies("H200", 1e9, 2) is None
    cut_off = CpuClass("EPYC", 64, 4, PACE)
    again.keep_pace(cut_off)
    assert again.pace("EPYC", 64, 8) is None
    assert again.pace("EPYC", 64, 4) == cut_off
    assert '"devices": []' in (tmp_path / PACKING_FILE).read_text()


def test_a_job_trains_with_its_threads_and_a_resumed_one_with_those_of_its_checkpoint(
    tiny: Any, cache: Path, tmp_path: Path
) -> None:
    before = torch.get_num_threads()
    more = {"cache": str(cache), "path": ()}
    first = Job(str(tmp_path), 0, 1, tiny(), 3, 1e7, (0.5, 1.0), threads=2, **more)
    assert Job.from_json(first.to_json()) == first
    run = build_trainer(first)
    next(run.run())
    assert run.provenance()["resolved"]["threads"] == 2
    run.save(tmp_path / "checkpoints" / "0" / "1" / "1")
    second = Job(
        str(tmp_path), 0, 2, tiny(), 3, 1e7, (0.5, 1.0), "checkpoints/0/1/1", threads=1, **more
    )
    again = build_trainer(second)
    assert again.provenance()["resolved"]["threads"] == 2
    torch.set_num_threads(before)


def test_a_real_training_is_measured(tiny: Any, cache: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    job = Job(str(tmp_path), 0, 0, tiny(), 0, 1e9, (1.0,), cache=str(cache))
    copy = PacedCopy(job.to_json(), [tiny({"model.hidden_size": 32})])
    flops = copy.prepare()
    assert flops is not None
    assert flops > 0
    assert copy.rate(2, 0.1) > 0
    assert torch.get_num_threads() == 2
    assert copy.memory() >= 0
    assert cpu_name() == copy.name() != ""
    torch.set_num_threads(before)


def test_what_cannot_be_measured_is_none(tmp_path: Path) -> None:
    factory = "tests.support.toy_training:ToyTraining"
    job = Job(str(tmp_path), 0, 0, {}, 0, 1e9, (1.0,), factory=factory)
    assert PacedCopy(job.to_json()).prepare() is None
