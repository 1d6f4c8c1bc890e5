"""Published curricula, as their papers have them, at the level of whole stages."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from pydantic import BaseModel

from curricula.curriculum import AnyCurriculum, Course, Curriculum
from curricula.feedback import Feedback
from curricula.published import CURRICULA, CustomCurriculum
from curricula.stage import Slice, Stage
from trm.errors import UserError
from trm.validation import validate

FULL = Stage(3, 6, supervision_steps=16)


class Root(BaseModel):
    curriculum: AnyCurriculum = CustomCurriculum()


def curriculum(section: Any) -> Curriculum:
    return validate(Root, {"curriculum": section}).curriculum


def course(section: Any, full: Stage = FULL) -> Course:
    return Course(curriculum(section), full)


@pytest.mark.parametrize("name", CURRICULA)
def test_a_name_alone_is_a_curriculum_and_survives_yaml(name: str) -> None:
    made = curriculum(name)
    assert type(made) is CURRICULA[name]
    stored = json.loads(json.dumps(made.model_dump(mode="json")))
    assert stored["name"] == name
    assert curriculum(stored) == made == curriculum({"name": name})


def test_a_section_without_a_name_is_custom() -> None:
    assert type(curriculum({"depth": "cgar"})) is CustomCurriculum
    assert curriculum({}) == CustomCurriculum()


@pytest.mark.parametrize("name", ["none", "custom"])
def test_nothing_changes_without_a_curriculum(name: str) -> None:
    one = course(name)
    assert {one.advance(step / 100) for step in range(100)} == {FULL}


def test_cgar() -> None:
    one = course("cgar")
    rate = Fraction(7, 10)
    total = sum(rate**t for t in range(16))
    weights = pytest.approx([float(rate**t / total) for t in range(16)])
    for progress, depth in ((0.0, (1, 2)), (0.299, (1, 2)), (0.3, (2, 4)), (0.6, (3, 6))):
        stage = one.advance(progress)
        assert stage.depth == depth
        assert stage.supervision_weights == weights
        assert stage.supervision_steps == 16
        assert stage.lr_factor == 1.0


def test_a_part_of_a_published_curriculum_can_be_replaced() -> None:
    changed = curriculum({"name": "cgar", "supervision_weights": {"name": "decay", "rate": 0.9}})
    assert changed.depth == curriculum("cgar").depth
    assert changed.supervision_weights.at(2) == pytest.approx((1 / 1.9, 0.9 / 1.9))
    assert curriculum({"name": "cgar", "depth": "none"}).depth.at(0.0, FULL.depth, {}) == (3, 6)


def test_rsm() -> None:
    one = course("rsm", Stage(20, 20))
    depths, factors = [], []
    for step in range(10_000):
        stage = one.advance(step / 10_000)
        assert stage.last_step_only
        depths.append(stage.depth)
        factors.append(stage.lr_factor)
    H_at, L_at = (2010, 4010, 5510, 6510, 7510, 8510), (3010, 5010, 7010, 8010, 8410)
    changes = sorted((*H_at, *L_at))
    assert [s for s in range(1, 10_000) if depths[s] != depths[s - 1]] == changes
    for step in (0, 2009, 2010, 3009, 3010, 4010, 8510, 9999):
        grown = tuple(2 + sum(step >= at for at in shares) for shares in (H_at, L_at))
        assert depths[step] == grown
    assert factors[:2010] == [1.0] * 2010
    for change, following in zip(changes, [*changes[1:], 10_000], strict=True):
        ramp = [n / 200 for n in range(1, 201)] + [1.0] * 10_000
        assert factors[change:following] == pytest.approx(ramp[: following - change])


def test_supervision_ramp() -> None:
    one = course("supervision_ramp")
    steps = [one.advance(p / 100).supervision_steps for p in range(101)]
    assert steps == [min(1 + 15 * p // 50, 16) for p in range(101)]


def test_halt_growth_adds_a_step_each_well_calibrated_window_pair() -> None:
    one = course({"name": "halt_growth", "supervision": {"name": "halt_growth", "deadline": None}})
    seen = []
    for window in range(1, 9):
        calibrated = 0.9 if window != 5 else 0.7
        one.observe(window / 100, Feedback(1.0, 0.0, calibrated))
        seen.append(one.advance(window / 100).supervision_steps)
    assert seen == [1, 2, 2, 3, 3, 3, 4, 4]


def test_depth_grows_with_calibration_or_with_accuracy() -> None:
    for name, feedback in (
        ("depth_halt_growth", Feedback(1.0, 0.0, 0.9)),
        ("competence", Feedback(1.0, 0.9, 0.0)),
    ):
        one = course(name)
        seen = []
        for window in range(1, 6):
            seen.append(one.advance(window / 100).depth)
            one.observe(window / 100, feedback)
        assert seen == [(1, 2), (1, 2), (2, 4), (2, 4), (3, 6)]


def test_pools() -> None:
    assert course("easy_to_hard").advance(0.0).difficulty == (Slice(0.0, 0.25),)
    assert course("hard_to_easy").advance(0.0).difficulty == (Slice(0.75, 1.0),)
    for name in ("easy_to_hard", "hard_to_easy"):
        assert course(name).advance(0.6).difficulty == ()
    pool = course("competence_pool")
    assert pool.advance(0.0).difficulty == (Slice(0.0, 0.25),)
    for window in (1, 2):
        pool.observe(window / 100, Feedback(1.0, 0.9, 0.0))
    assert pool.advance(0.02).difficulty == (Slice(0.0, 0.5),)


def test_bandit() -> None:
    one = course("bandit")
    assert one.bins == len(one.advance(0.0).difficulty) == 5
    for window, share in ((1, 0.0), (2, 0.8)):
        one.observe(window / 100, Feedback(1.0, 0.5, 0.5, (*[(9, 0.5)] * 4, (9, share))))
    weights = [part.weight for part in one.advance(0.02).difficulty]
    assert weights == pytest.approx([0.06, 0.06, 0.06, 0.06, 0.76])


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("cgarr", "curriculum: unknown name 'cgarr': did you mean cgar"),
        ({"name": "cgarr"}, "curriculum.name: unknown name 'cgarr': did you mean cgar"),
        ({"name": "rsm", "rewarm": 3}, "curriculum.rewarm: unknown key: did you mean rewarm_steps"),
        (3, "curriculum: 3 must be a section with a `name`; known: custom, none"),
        ({"nmae": "cgar"}, "curriculum.nmae: unknown key: did you mean name"),
    ],
)
def test_a_bad_section_is_one_line(section: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        curriculum(section)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_none_with_a_part_is_refused() -> None:
    with pytest.raises(UserError, match="none drives nothing, and depth is given: use custom"):
        curriculum({"name": "none", "depth": "cgar"})
