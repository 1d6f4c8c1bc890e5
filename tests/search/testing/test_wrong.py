"""A plug-in that a sweep cannot run is one line that names it and what to mend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from curricula.curriculum import Course
from curricula.depth import DEPTH_SCHEDULES, DepthSchedule
from curricula.schedule import ScheduleState
from curricula.stage import Depth, Stage
from search.config.sinks import require_sink
from search.samplers.base import SamplerConfig
from search.samplers.history import History
from search.samplers.soundness import require_drawn
from search.schedulers.asha import AshaConfig
from search.schedulers.scheduler import Decision, EarlyStoppingConfig, Mode, SchedulerConfig
from search.schedulers.soundness import require_scheduler
from search.schedulers.stopping import Stopping
from search.space.space import Draw, Space
from search.testing import check_sampler, check_scheduler
from trm.config import experiment_from
from trm.errors import UserError
from trm.fault import Fault
from trm.training.trainer import Trainer

SPACE = Space.parse({"optimizer": {"lr": {"loguniform": [1e-4, 1e-2]}}, "b": {"int": [1, 4]}})
RIGHT = SPACE.sample(np.random.default_rng(0))


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (({**RIGHT[0], "optimizer.lr": 0.5}, RIGHT[1]), "optimizer.lr: 0.5 is outside"),
        (({**RIGHT[0], "optimizer.lr": float("nan")}, RIGHT[1]), "optimizer.lr: nan is outside"),
        (({**RIGHT[0], "b": 2.5}, RIGHT[1]), "b: 2.5 is outside"),
        (({"b": 2}, RIGHT[1]), "optimizer.lr: has no value"),
        (({**RIGHT[0], "c": 1}, RIGHT[1]), "c: 1 is no parameter of this space"),
        ((RIGHT[0], {"b": 9}), "parameters and a tree that differ"),
        (RIGHT[0]["b"], "proposes what is no candidate"),
        (None, "proposes what is no candidate"),
    ],
)
def test_a_candidate_outside_of_the_space(draw: Any, words: str) -> None:
    require_drawn("mine", SPACE, RIGHT)
    with pytest.raises(Fault) as error:
        require_drawn("mine", SPACE, draw)
    assert str(error.value).startswith("sampler 'mine': ")
    assert words in str(error.value)

    class Wrong(SamplerConfig):
        name: Literal["mine"] = "mine"

        def draw(self, history: History, space: Space, seed: int, trials: int) -> Draw:
            return draw  # type: ignore[no-any-return]

    with pytest.raises(Fault, match="sampler 'mine': "):
        check_sampler(Wrong(), space=SPACE)


def test_a_sampler_that_fails() -> None:
    class Wrong(SamplerConfig):
        name: Literal["mine"] = "mine"

        def draw(self, history: History, space: Space, seed: int, trials: int) -> Draw:
            return space.draw(lambda name, distribution: -1)

    with pytest.raises(Fault, match=r"^sampler 'mine': fails to draw a candidate \(AssertionError"):
        check_sampler(Wrong(), space=SPACE)


class WrongScheduler(EarlyStoppingConfig):
    name: Literal["mine"] = "mine"
    answer: Any = "continue"
    number: Any = None
    middle: float = 0.5

    def build(self, slow_start: bool, mode: Mode = "max") -> Stopping:
        wrong = self

        class Wrong(Stopping):
            def on_report(self, trial: int, share: float, score: float | None) -> Decision:
                sound = super().on_report(trial, share, score)
                return sound if sound == "stop" else wrong.answer

            def goes_on(self, trial: int, rung: int) -> bool:
                return True

            def promote(self, *, last: bool = False) -> int | None:
                return wrong.number  # type: ignore[no-any-return]

        return Wrong((self.middle, 1.0), mode)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"answer": "prune"},
            "on_report() gives 'prune': answer with one of continue, stop",
        ),
        ({"answer": None}, "on_report() gives None"),
        ({"answer": 1}, "on_report() gives 1"),
        ({"number": 0}, "gives trial 0, which does not wait"),
        ({"number": 99}, "gives trial 99, which does not wait"),
    ],
)
def test_a_decision_that_is_none(changes: dict[str, Any], words: str) -> None:
    check_scheduler(WrongScheduler())
    with pytest.raises(Fault) as error:
        check_scheduler(WrongScheduler(**changes))
    assert str(error.value).startswith("scheduler 'mine': ")
    assert words in str(error.value)


class Unbuilt(SchedulerConfig):
    name: Literal["mine"] = "mine"

    def marks(self, slow_start: bool) -> tuple[float, ...]:
        return (1.0,)


class Marked(AshaConfig):
    shares: tuple[float, ...] = ()

    def marks(self, slow_start: bool) -> tuple[float, ...]:
        return self.shares


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (Unbuilt(), "is a Unbuilt: derive it from EarlyStoppingConfig"),
        (Marked(shares=(0.5,)), "decides at [0.5]: give rising shares"),
        (Marked(shares=(0.5, 0.25, 1.0)), "decides at [0.5, 0.25, 1.0]"),
        (Marked(shares=(0.0, 1.0)), "decides at [0.0, 1.0]"),
        (Marked(shares=()), "decides at []"),
        (Marked(shares=(float("nan"), 1.0)), "decides at [nan, 1.0]"),
    ],
)
def test_a_scheduler_that_no_sweep_can_run(config: SchedulerConfig, words: str) -> None:
    with pytest.raises(Fault) as error:
        require_scheduler(config)
    assert str(error.value).startswith(f"scheduler {config.name!r}: ")
    assert words in str(error.value)


class WrongDepth(DepthSchedule):
    name: Literal["wrong"] = "wrong"
    H: Any = 1

    def at(self, progress: float, full: Depth, state: ScheduleState) -> Depth:
        return full if progress < 0.3 else Depth(self.H, 1)


@pytest.mark.parametrize("depth", [0, 9, 1.5, None, True, float("nan")])
def test_a_curriculum_out_of_its_bounds(
    depth: Any,
    tiny: Callable[..., dict[str, Any]],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(DEPTH_SCHEDULES, "wrong", WrongDepth)
    tree = tiny({"curriculum": {"name": "custom", "depth": {"name": "wrong", "H": depth}}})
    config = experiment_from(tree)
    trainer = Trainer(config, config.task.build(cache))
    with pytest.raises(UserError) as error:
        list(trainer.run())
    assert str(error.value) == (
        f"curriculum 'custom' at 30% of the run: depth: H_cycles gives {depth}: must be a whole "
        "number from 1 to 2"
    )
    with pytest.raises(ValueError, match="depth: H_cycles gives"):
        Course(config.curriculum, Stage(H_cycles=2, L_cycles=2)).advance(0.5)


class NoSink:
    name = "nothing"
    folder = "here"

    def begin(self) -> None: ...
    def add(self) -> None: ...
    def end(self) -> None: ...
    def close(self) -> None: ...


def test_what_is_no_log() -> None:
    with pytest.raises(UserError, match=r"log sink 'mine': build\(\) gives NoneType, which has no"):
        require_sink("mine", None)
    with pytest.raises(UserError, match="gives NoSink, which has no folder"):
        require_sink("mine", NoSink())
