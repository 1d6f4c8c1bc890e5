import pytest
from hypothesis import given
from hypothesis import strategies as st

from curricula.depth import Constant, DepthStage, Stages
from curricula.stage import Stage

GROWTH = Stages([DepthStage(0.0, 1, 1), DepthStage(0.3, 2, 1), DepthStage(0.6)])


def test_the_staged_growth_of_the_arrows_study() -> None:
    full = Stage(2, 2)
    seen = [GROWTH.at(p, full) for p in (0.0, 0.299, 0.3, 0.599, 0.6, 1.0)]
    assert seen == [Stage(1, 1), Stage(1, 1), Stage(2, 1), Stage(2, 1), full, full]


def test_cgar_stages_of_a_3_by_6_model() -> None:
    cgar = Stages([DepthStage(0.0, 1, 2), DepthStage(0.3, 2, 4), DepthStage(0.6, 3, 6)])
    full = Stage(H_cycles=3, L_cycles=6)
    assert [cgar.at(p, full) for p in (0.1, 0.4, 0.7)] == [Stage(1, 2), Stage(2, 4), full]


@given(st.floats(0, 1), st.integers(1, 8), st.integers(1, 8))
def test_depth_stays_between_one_and_the_models_own(progress: float, h: int, l_: int) -> None:
    full = Stage(h, l_)
    stage = GROWTH.at(progress, full)
    assert 1 <= stage.H_cycles <= h
    assert 1 <= stage.L_cycles <= l_
    assert progress < 0.6 or stage == full
    assert Constant().at(progress, full) == full


@pytest.mark.parametrize(
    ("stages", "word"),
    [
        ([], "start at 0.0"),
        ([DepthStage(0.1, 1, 1)], "start at 0.0"),
        ([DepthStage(0.0, 1, 1), DepthStage(0.0, 2, 2)], "must rise"),
        ([DepthStage(0.0, 1, 1), DepthStage(1.0, 2, 2)], "below 1.0"),
        ([DepthStage(0.0, 0, 1)], "at least 1"),
    ],
)
def test_stages_that_make_no_schedule(stages: list[DepthStage], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Stages(stages)
