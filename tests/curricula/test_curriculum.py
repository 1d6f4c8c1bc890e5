"""A curriculum composes its parts, and a course through it can be stopped anywhere."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from curricula.curriculum import Course, Curriculum
from curricula.depth import DepthStage, Stages
from curricula.feedback import Feedback
from curricula.pacing import Constant
from curricula.stage import Depth, Slice, Stage
from trm.errors import UserError
from trm.validation import validate

FULL = Stage(3, 6, supervision_steps=16, halt_weight=0.5, exploration=0.2)


def course(**parts: Any) -> Course:
    return Course(Curriculum.model_validate(parts), FULL)


def test_a_curriculum_without_parts_changes_nothing() -> None:
    plain = course()
    assert plain.stage == FULL
    assert all(plain.advance(p) == FULL for p in (0.0, 0.5, 1.0))
    assert not Curriculum().is_adaptive
    assert not plain.wants_feedback(1.0)
    assert plain.bins == 0


def test_each_part_drives_its_value() -> None:
    half: dict[str, Any] = {"name": "linear", "start": 1.0, "end": 0.0}
    everything = course(
        depth="cgar", supervision={"name": "ramp", "curve": half}, supervision_weights="decay",
        difficulty="easy_to_hard", halt_weight=half, exploration=half, latent_noise=half,
        stochastic_depth=half, learning_rate=half,
    )  # fmt: skip
    stage = everything.advance(0.5)
    assert stage.depth == Depth(2, 4)
    assert stage.supervision_steps == 8  # 1 + floor(15 / 2)
    assert len(stage.supervision_weights) == 8
    assert stage.difficulty == (Slice(0.0, pytest.approx(0.875), 1.0),)
    assert (stage.halt_weight, stage.exploration) == pytest.approx((0.25, 0.1))
    assert (stage.latent_noise, stage.lr_factor) == pytest.approx((0.5, 0.5))
    assert stage.stochastic_depth == pytest.approx(0.5)
    assert course(supervision_weights="last_step").stage.last_step_only


def test_factors_multiply_what_the_config_has_and_noise_does_not() -> None:
    stage = course(halt_weight=4.0, exploration=7.0, latent_noise=0.3, learning_rate=2.0).stage
    assert stage == replace(FULL, halt_weight=2.0, exploration=1.0, latent_noise=0.3, lr_factor=2.0)


GROWTH = [DepthStage(at=0.0, H_cycles=1), DepthStage(at=0.2, H_cycles=2), DepthStage(at=0.6)]


def test_the_rate_warms_up_again_after_each_change_and_not_at_the_start() -> None:
    warm = course(depth=Stages(stages=GROWTH), rewarm_steps=200, learning_rate=0.5)
    factors = [warm.advance(step / 1000).lr_factor for step in range(1000)]
    ramp = [0.5 * step / 200 for step in range(1, 201)]
    expected = [*[0.5] * 200, *ramp, *[0.5] * 200, *ramp, *[0.5] * 200]
    assert factors == pytest.approx(expected)


def test_a_change_while_the_rate_still_warms_up_begins_anew() -> None:
    warm = course(depth=Stages(stages=GROWTH), rewarm_steps=4)
    factors = [warm.advance(p).lr_factor for p in (0.0, 0.2, 0.2, 0.6, 0.6, 0.6, 0.6, 0.6)]
    assert factors == [1.0, 0.25, 0.5, 0.25, 0.5, 0.75, 1.0, 1.0]


def test_without_rewarming_a_change_of_depth_leaves_the_rate_alone() -> None:
    plain = course(depth=Stages(stages=GROWTH))
    assert {plain.advance(step / 50).lr_factor for step in range(50)} == {1.0}


ADAPTIVE: dict[str, Any] = {
    "depth": {"name": "competence", "patience": 1, "deadline": None},
    "supervision": {"name": "halt_growth", "patience": 2, "deadline": None},
    "difficulty": {"name": "bandit", "arms": 3},
    "rewarm_steps": 3,
}


def test_feedback_is_wanted_once_a_window() -> None:
    adaptive = course(**ADAPTIVE, feedback_every=0.1)
    told = []
    for step in range(1, 101):
        if adaptive.wants_feedback(step / 100):
            adaptive.observe(step / 100, Feedback(1.0, 0.0, 0.0))
            told.append(step)
    assert told == list(range(10, 101, 10))
    assert adaptive.bins == 3
    long = course(**ADAPTIVE, feedback_every=0.1)
    long.observe(0.55, Feedback(1.0, 0.0, 0.0))  # one step over several windows
    assert not long.wants_feedback(0.59)
    assert long.wants_feedback(0.6)


def test_adaptive_parts_learn_from_their_own_columns() -> None:
    adaptive = course(**ADAPTIVE)
    adaptive.observe(0.01, Feedback(1.0, exact_accuracy=1.0, halt_accuracy=0.0))
    assert (adaptive.advance(0.01).depth, adaptive.stage.supervision_steps) == ((2, 4), 1)
    for window in (2, 3):
        adaptive.observe(window / 100, Feedback(1.0, exact_accuracy=0.0, halt_accuracy=1.0))
    assert (adaptive.advance(0.03).depth, adaptive.stage.supervision_steps) == ((2, 4), 2)


@pytest.mark.parametrize("stop", range(0, 60, 7))
def test_a_course_goes_on_exactly_where_it_was_stopped(stop: int) -> None:
    def walk(one: Course, steps: range) -> list[Stage]:
        stages = []
        for step in steps:
            stages.append(one.advance(step / 60))
            if one.wants_feedback((step + 1) / 60):
                mood = 0.5 + 0.5 * math.sin(step)
                bins = tuple((step % 3 + arm, (step * arm % 7) / 7) for arm in range(3))
                one.observe((step + 1) / 60, Feedback(mood, mood, mood, bins))
        return stages

    straight = course(**ADAPTIVE, feedback_every=0.03)
    whole = walk(straight, range(60))
    assert len({stage.depth for stage in whole}) == 3
    first = course(**ADAPTIVE, feedback_every=0.03)
    begun = walk(first, range(stop))
    second = course(**ADAPTIVE, feedback_every=0.03)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.stage == first.stage
    assert begun + walk(second, range(stop, 60)) == whole
    assert second.state_dict() == straight.state_dict()


NAN = math.nan
MIXTURE = {"name": "mixture"}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"halt_weight": {"name": "linear", "start": -1.0}},
            "halt_weight: values from -1 to 1 must",
        ),
        ({"halt_weight": -1}, "halt_weight: -1 must be at least 0"),
        ({"latent_noise": NAN}, "latent_noise.value: nan must be a finite number"),
        ({"learning_rate": 10**400}, "learning_rate.value: 1000"),
        ({"exploration": True}, "exploration: true must be a section with a `name`; known: const"),
        ({"halt_weight": "linaer"}, "halt_weight: unknown name 'linaer': did you mean linear"),
        (
            {"halt_weight": {"name": "linear", "strat": 1}},
            "halt_weight.strat: unknown key: did you",
        ),
        ({"depth": "cgra"}, "depth: unknown name 'cgra': did you mean cgar"),
        ({"depth": {"name": "cgra"}}, "depth.name: unknown name 'cgra': did you mean cgar"),
        ({"depth": {}}, "depth: needs a `name`; known: none, stages"),
        (
            {"depth": {"name": "ramp", "curve": {"name": "linear", "end": 2.0}}},
            "depth.curve: values from 0 to 2 must be within [0, 1]",
        ),
        (
            {"depth": {"name": "stages", "stages": [{"at": 0.0}, {"at": 0.5}, {"at": 0.4}]}},
            "depth.stages: [0.0, 0.5, 0.4] must rise",
        ),
        ({"depth": {"name": "rsm", "H_at": [0.5, 0.4]}}, "depth.H_at: [0.5, 0.4] must rise"),
        ({"depth": {"name": "rsm", "L_at": [NAN]}}, "depth.L_at: [nan] must rise"),
        (
            {"halt_weight": {"name": "piecewise", "milestones": [{"at": 0.1, "value": 1.0}]}},
            "halt_weight.milestones: the first milestone must start at 0.0",
        ),
        (
            {"halt_weight": {"name": "segments", "segments": [{"value": 1.0, "length": 0.0}]}},
            "halt_weight.segments[0].length: 0.0 must be greater than 0",
        ),
        (
            {"supervision": {"name": "stages", "stages": [{"at": 0.0, "steps": 0}]}},
            "supervision.stages[0].steps: 0 must be at least 1",
        ),
        (
            {"supervision": {"name": "ramp", "curve": 1.5}},
            "supervision.curve: 1.5 must be within [0, 1]",
        ),
        ({"supervision_weights": {"name": "decay", "rate": 1.5}}, "supervision_weights.rate: 1.5"),
        (
            {"difficulty": {**MIXTURE, "weights": [1.0, -1.0]}},
            "difficulty.weights: [1]: -1 must be within [0, 1e+06]",
        ),
        (
            {"difficulty": {**MIXTURE, "weights": [{"name": "lin"}]}},
            "difficulty.weights[0].name: unknown name 'lin'",
        ),
        (
            {"difficulty": {"name": "window", "width": 0.0}},
            "difficulty.width: 0 must",
        ),
        ({"difficulty": {"name": "window", "position": 2.0}}, "difficulty.position: 2 must"),
        ({"difficulty": {"name": "hard_to_easy", "pool": 0.0}}, "difficulty.pool: 0 must"),
        (
            {"difficulty": {"name": "competence", "fall_back": 1.0}},
            "difficulty.fall_back: 1.0 must",
        ),
        ({"sources": {**MIXTURE, "weights": {"a": -1.0}}}, "sources.weights: a: -1 must"),
        ({"sources": {**MIXTURE, "weights": {}}}, "sources.weights: {} must have at least 1"),
        ({"rewarm_steps": -1}, "rewarm_steps: -1 must be at least 0"),
        ({"feedback_every": 0.0}, "feedback_every: 0.0 must be at least 1e-06"),
        ({"depths": "cgar"}, "depths: unknown key: did you mean depth"),
    ],
)
def test_a_bad_section_is_one_line_with_its_path(section: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        validate(Curriculum, section, "curriculum")
    line = str(caught.value)
    assert line.startswith(f"curriculum.{message}")
    assert "\n" not in line


def test_a_section_of_another_kind_is_refused() -> None:
    with pytest.raises(UserError, match=r"^curriculum\.depth"):
        validate(Curriculum, {"depth": Constant()}, "curriculum")
