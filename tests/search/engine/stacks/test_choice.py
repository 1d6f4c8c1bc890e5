"""What `cluster.stack` comes to: by device, size, memory, and what else could begin."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from search.engine.packing.parts import Group, Parts
from search.engine.stacks.choice import MOST, Stacking
from search.ledger.trial import Trial


def trial(**changes: Any) -> Trial:
    config: dict[str, Any] = {"task": {"name": "arrows"}, "model": {"hidden_size": 64}, **changes}
    return Trial(0, "confirm", 0, 5, {}, config)


def most(
    asked: Literal["auto", "off"] | int, one: Trial | None = None, *, on_cuda: bool = True,
    holds: int | None = 40, free: int = 1, waiting: int = 20, trees: bool = True,
) -> int:  # fmt: skip
    return Stacking(asked, on_cuda, lambda: holds, trees).most(
        one or trial(), free, lambda: waiting
    )


def test_by_itself_it_is_for_cuda_devices_whose_memory_was_measured() -> None:
    assert most("auto") == MOST
    assert most("auto", on_cuda=False) == 1
    assert most("auto", holds=None) == 1
    assert most("auto", holds=3) == 3
    assert most("off") == 1


def test_by_itself_wide_models_train_alone() -> None:
    sizes = [most("auto", trial(model={"hidden_size": size})) for size in (32, 128, 160, 256, 512)]
    assert sizes == [8, 4, 2, 1, 1]


def test_by_itself_no_worker_stays_idle_for_it() -> None:
    found = [most("auto", free=free, waiting=5) for free in (1, 2, 3, 4, 6, 9)]
    assert found == [6, 3, 2, 2, 1, 1]


def test_a_number_is_what_was_asked_for_on_any_device_as_far_as_memory_goes() -> None:
    assert most(4, on_cuda=False, holds=None, free=9, waiting=0) == 4
    assert most(12, trial(model={"hidden_size": 512})) == 12
    assert most(4, holds=2) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": {"name": "muon"}},
        {"train": {"compile": True}},
        {"model": {"hidden": 3}},
    ],
)
def test_what_cannot_be_one_model_is_not_tried(changes: dict[str, Any]) -> None:
    assert most(4, trial(**changes)) == 1
    assert most(4, trial(**changes), trees=False) == 4, "trainings of a factory say it themselves"


def test_it_says_what_was_decided() -> None:
    assert "4" in Stacking(4, on_cuda=False).text()
    assert "memory" in Stacking("auto", on_cuda=True).text()
    assert Stacking("off", on_cuda=True).text() == "cluster.stack off: seeds train one by one"


def test_a_stack_has_the_memory_of_its_trainings() -> None:
    parts = Parts({})
    parts.groups = lambda: {0.25: Group(("a", "b"), 8)}
    for name, seeds in (("one", 1), ("three", 3), ("six", 6)):
        parts.open(name, Trial(seeds, "confirm", 0, 5, {}, {}), 1, seeds)
    held = [parts.of(seeds, 1) for seeds in (1, 3, 6)]
    assert [part and part.gpus for part in held] == [0.25, 0.75, 1.0]
    assert parts.places() == 2 + 3, "besides one each"
    parts.close("six")
    assert parts.places() == 2
    parts.groups = lambda: {1.0: Group(("a",), 2)}
    parts.open("whole", Trial(7, "confirm", 0, 5, {}, {}), 1, 4)
    whole = parts.of(7, 1)
    assert whole is not None
    assert (whole.gpus, whole.grown) == (1.0, False)
