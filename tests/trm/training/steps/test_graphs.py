"""What decides on CUDA graphs, with stand-ins for what only a CUDA device has: recording and time.

The steps are real ones, on the CPU. On a device `python -m tests.gpu` tries the rest.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Tiny
from trm.config import experiment_from
from trm.errors import UserError
from trm.tasks.base import Task
from trm.training import trainer as trainer_module
from trm.training.steps import graphs
from trm.training.steps.graphs import WARM, begin_with
from trm.training.trainer import Trainer

Compute = Callable[[], None]


@pytest.fixture
def task(tiny: Tiny, cache: Path) -> Task:
    return experiment_from(tiny()).task.build(cache)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Compute]:
    """Recordings that were made; each replays its step, and takes half of its time."""
    made: list[Compute] = []

    def record(compute: Compute, generators: Any) -> Compute:
        made.append(compute)

        def replay() -> None:
            compute()

        return replay

    def seconds(step: Compute, times: int) -> float:
        for _ in range(times):
            step()
        return 0.5 if step.__name__ == "replay" else 1.0

    monkeypatch.setattr(trainer_module, "AHEAD", {"cpu"})
    monkeypatch.setattr(graphs, "record", record)
    monkeypatch.setattr(graphs, "seconds", seconds)
    return made


def trainer(tiny: Tiny, task: Task, choice: str = "auto", **changes: Any) -> Trainer:
    config = experiment_from(tiny({"train.kernel": "eager", "train.ema": 0.9, **changes}))
    one = Trainer(config, task)
    one.note_graphs(choice, "")
    return one


def as_long(step: Compute, times: int) -> float:
    for _ in range(times):
        step()
    return 1.0


def weights(one: Trainer) -> dict[str, torch.Tensor]:
    state = one.state_dict()
    found = {**state.weights, **{f"ema/{k}": v for k, v in state.ema.items()}, **state.training}
    return {name: tensor.detach().clone() for name, tensor in found.items()}


def steps(one: Trainer, count: int) -> Trainer:
    for _ in range(count):
        one.train_step()
    return one


def same(one: Trainer, other: Trainer) -> bool:
    mine, theirs = weights(one), weights(other)
    return mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)


def test_the_choice_before_the_first_step() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert begin_with("auto", cuda) == ("auto", "")
    assert begin_with("on", cuda) == ("on", "")
    assert begin_with("off", cuda) == ("off", "as train.cuda_graphs says")
    assert begin_with("auto", cuda, "rules") == ("off", "rules")
    assert begin_with("off", cpu)[0] == begin_with("auto", cpu)[0] == "off"
    for device, obstacle in ((cpu, ""), (cuda, "rules")):
        with pytest.raises(UserError, match=r"^train.cuda_graphs: 'on' is not .* set it to auto$"):
            begin_with("on", device, obstacle)


def test_graphs_that_agree_and_are_faster_are_kept_and_change_nothing(
    tiny: Tiny, task: Task, recorded: list[Compute]
) -> None:
    one = steps(trainer(tiny, task), WARM)
    assert (one.resolved.cuda_graphs, len(recorded)) == ("auto", 0)
    steps(one, 6)
    assert (one.resolved.cuda_graphs, one.resolved.cuda_graphs_reason) == ("on", "")
    assert len(recorded) == 1
    assert same(one, steps(trainer(tiny, task, "off"), WARM + 6))


def test_each_structure_has_a_graph_and_no_number_makes_another(
    tiny: Tiny, task: Task, recorded: list[Compute]
) -> None:
    line = {"name": "linear", "start": 1.0, "end": 0.25}
    stages = [{"at": 0.0, "H_cycles": 1, "L_cycles": 1}, {"at": 0.3, "H_cycles": 2, "L_cycles": 1}]
    curriculum = {
        "depth": {"name": "stages", "stages": stages}, "halt_weight": line, "latent_noise": line,
        "learning_rate": line, "exploration": line,
        "supervision_weights": {"name": "decay", "rate": 0.7},
    }  # fmt: skip
    changes = {"curriculum": curriculum, "train.budget.steps": 40}
    one = trainer(tiny, task, "on", **changes)
    assert not list(one.run(lambda: one.counters.step == 30))
    assert len(recorded) == 2
    other = trainer(tiny, task, "off", **changes)
    list(other.run(lambda: other.counters.step == 30))
    assert same(one, other)


@pytest.mark.parametrize("fault", ["differs", "slower", "fails"])
def test_auto_falls_back_and_says_why(
    tiny: Tiny, task: Task, recorded: list[Compute], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def record(compute: Compute, generators: Any) -> Compute:
        if fault == "fails":
            raise RuntimeError("operation not permitted\nwhen stream is capturing")

        def replay() -> None:
            compute()
            with torch.no_grad():
                next(one.model.parameters()).add_(1e-3)

        return replay if fault == "differs" else compute

    monkeypatch.setattr(graphs, "record", record)
    if fault == "slower":
        monkeypatch.setattr(graphs, "seconds", as_long)
    one = trainer(tiny, task)
    steps(one, WARM + 4)
    said = {
        "differs": "a recorded step differs from an eager one by",
        "slower": "a recorded step takes 1.00 of the time of an eager one",
        "fails": "recording failed: operation not permitted when stream is capturing",
    }
    assert one.resolved.cuda_graphs == "off"
    assert one.resolved.cuda_graphs_reason.startswith(said[fault])
    monkeypatch.undo()
    monkeypatch.setattr(trainer_module, "AHEAD", {"cpu"})
    assert same(one, steps(trainer(tiny, task, "off"), WARM + 4))


def test_on_is_refused_in_a_line_where_recording_fails(
    tiny: Tiny, task: Task, recorded: list[Compute], monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(compute: Compute, generators: Any) -> Compute:
        raise RuntimeError("no")

    monkeypatch.setattr(graphs, "record", record)
    one = trainer(tiny, task, "on")
    with pytest.raises(UserError, match=r"^train.cuda_graphs: 'on' failed \(no\): set it to auto$"):
        steps(one, WARM + 1)


def test_what_a_restored_run_changes_is_recorded_anew(
    tiny: Tiny, task: Task, recorded: list[Compute]
) -> None:
    one = steps(trainer(tiny, task, "on"), 6)
    again = steps(trainer(tiny, task, "on"), 5)
    again.load_state_dict(copy.deepcopy(one.state_dict()))
    before = len(recorded)
    steps(again, WARM)
    assert len(recorded) == before
    steps(again, 2), steps(one, WARM + 2)
    assert len(recorded) == before + 1
    assert same(one, again)
