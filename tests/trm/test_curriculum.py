from __future__ import annotations

from typing import Any

import pytest

from curricula.stage import Stage
from trm.component import validate
from trm.curriculum import DEPTH_SCHEDULES, Curriculum, CurriculumConfig
from trm.errors import UserError

GROWTH = {
    "name": "stages",
    "stages": [
        {"at": 0.0, "H_cycles": 1, "L_cycles": 1},
        {"at": 0.3, "H_cycles": 2, "L_cycles": 1},
        {"at": 0.6, "H_cycles": 3, "L_cycles": 6},
    ],
}


def curriculum(depth: Any, full: Stage) -> Curriculum:
    return Curriculum(validate(CurriculumConfig, {"depth": depth}, "curriculum"), full)


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_without_schedule_the_depth_is_full(progress: float) -> None:
    assert curriculum("none", Stage(3, 6)).at(progress) == Stage(3, 6)
    assert Curriculum(CurriculumConfig(), Stage(3, 6)).at(progress) == Stage(3, 6)


@pytest.mark.parametrize(
    ("progress", "stage"),
    [(0.0, (1, 1)), (0.2999, (1, 1)), (0.3, (2, 1)), (0.6, (3, 6)), (1.0, (3, 6))],
)
def test_stages_start_at_their_share(progress: float, stage: tuple[int, int]) -> None:
    assert curriculum(GROWTH, Stage(3, 6)).at(progress) == Stage(*stage)


def test_stages_are_cut_to_the_models_own_depth() -> None:
    small = curriculum(GROWTH, Stage(1, 2))
    assert [small.at(p) for p in (0.0, 0.4, 0.9)] == [Stage(1, 1), Stage(1, 1), Stage(1, 2)]


def test_names_match_the_registry() -> None:
    for name in DEPTH_SCHEDULES:
        section = GROWTH if name == "stages" else {"name": name}
        config = validate(CurriculumConfig, {"depth": section})
        assert config.depth.name == name
        assert validate(CurriculumConfig, config.model_dump()) == config


def test_a_stage_in_the_wrong_place_names_its_path() -> None:
    late = {"name": "stages", "stages": GROWTH["stages"][1:]}
    with pytest.raises(UserError, match=r"^curriculum\.depth\.stages: the first stage must start"):
        curriculum(late, Stage(1, 1))
