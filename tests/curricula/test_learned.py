"""Knobs stay in bounds, and a history of settings is the curriculum that it is written out as."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curricula.curriculum import Course
from curricula.learned import as_curriculum, draw_settings, explore, knobs_of, plain_settings
from curricula.published import CustomCurriculum
from curricula.stage import Slice, Stage

FULL = Stage(3, 6, supervision_steps=8, halt_weight=0.5, exploration=0.2)
KNOBS = knobs_of(FULL)


@given(st.integers(0, 10**6), st.floats(0, 1), st.integers(1, 40))
def test_settings_stay_in_bounds_and_of_their_kind(seed: int, resample: float, moves: int) -> None:
    random = Random(seed)
    settings = draw_settings(KNOBS, random)
    for _ in range(moves):
        settings = explore(settings, KNOBS, random, resample)
        for name, knob in KNOBS.items():
            assert knob.low <= settings[name] <= knob.high
            assert isinstance(settings[name], int if knob.scale == "int" else float)


def test_perturbing_moves_by_the_papers_factor() -> None:
    moved = {KNOBS["learning_rate"].perturb(1.0, Random(seed)) for seed in range(20)}
    assert moved == {1.25, 0.8}
    assert {KNOBS["L_cycles"].perturb(3, Random(seed)) for seed in range(20)} == {2, 4}
    assert {KNOBS["H_cycles"].perturb(3, Random(seed)) for seed in range(20)} == {2, 3}


def test_plain_settings_change_nothing() -> None:
    section = {"name": "custom", **as_curriculum([(0.0, plain_settings(KNOBS))])}
    course = Course(CustomCurriculum.model_validate(section), FULL)
    for progress in (0.0, 0.4, 1.0):
        assert course.advance(progress) == FULL


@given(st.integers(0, 10**6), st.lists(st.floats(0.01, 0.99), max_size=6, unique=True))
def test_a_history_replays_as_a_curriculum(seed: int, changes: list[float]) -> None:
    random = Random(seed)
    starts = [0.0, *sorted(round(change, 4) for change in set(changes))]
    starts = list(dict.fromkeys(starts))
    history = [(start, draw_settings(KNOBS, random)) for start in starts]
    section = {"name": "custom", **as_curriculum(history)}
    course = Course(CustomCurriculum.model_validate(section), FULL)
    for index, (start, settings) in enumerate(history):
        end = starts[index + 1] if index + 1 < len(starts) else 1.0
        for progress in (start, (start + end) / 2, end - 1e-6):
            stage = course.advance(progress)
            assert stage.depth == (settings["H_cycles"], settings["L_cycles"])
            assert stage.supervision_steps == settings["supervision_steps"]
            assert stage.halt_weight == FULL.halt_weight * settings["halt_weight"]
            assert stage.exploration == min(FULL.exploration * settings["exploration"], 1.0)
            assert stage.lr_factor == settings["learning_rate"]
            assert stage.latent_noise == settings["latent_noise"]
            position, width = settings["difficulty_position"], settings["difficulty_width"]
            (window,) = stage.difficulty or (Slice(0.0, 1.0),)
            assert window.high - window.low == pytest.approx(width)
            assert window.low == pytest.approx(position * (1.0 - width))


def test_settings_that_hold_on_are_one_stage() -> None:
    same = {"H_cycles": 2, "learning_rate": 0.8}
    parts = as_curriculum([(0.0, same), (0.25, dict(same)), (0.5, {**same, "H_cycles": 3})])
    assert parts == {
        "depth": {
            "name": "stages",
            "stages": [{"at": 0.0, "H_cycles": 2}, {"at": 0.5, "H_cycles": 3}],
        },
        "learning_rate": {"name": "piecewise", "milestones": [{"at": 0.0, "value": 0.8}]},
    }
