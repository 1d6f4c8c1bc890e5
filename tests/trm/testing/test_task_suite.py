"""Every check of the suite of tasks can fail, and then says in a line what is wrong."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trm.tasks import TASKS
from trm.tasks.arrows import ArrowsConfig, ArrowsTask, _symmetries
from trm.tasks.base import Progress, Split, SplitName, Task, Tokens
from trm.tasks.sudoku import SudokuConfig
from trm.testing.task_checks import CHECKS
from trm.testing.tasks import BUILDING, check_task, examined

SIZES: dict[str, Any] = {"train_examples": 60, "valid_examples": 12, "test_examples": 12}
ARROWS: dict[str, Any] = {"size": 3, "visited": [2, 4], "augment": True, **SIZES}


class Sound(ArrowsTask):
    """What the broken tasks below are made of."""

    def __init__(self, task: ArrowsTask) -> None:
        vars(self).update(vars(task))


def faults(kind: type[Sound], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The checks that fail of a task of this class, with what they say."""

    class Config(ArrowsConfig):
        """Arrows of a class."""

        def build(self, cache: Path | None = None, progress: Progress | None = None) -> Task:
            task = super().build(cache, progress)
            assert isinstance(task, ArrowsTask)
            return kind(task)

    monkeypatch.setitem(TASKS, "arrows", Config)
    found = {finding.check: finding.fault for finding in examined(Config(**ARROWS))}
    assert list(found) == [BUILDING, *CHECKS]
    told = {check: fault for check, fault in found.items() if fault is not None}
    for fault in told.values():
        assert "\n" not in fault
        assert ": " in fault, "what was found, and how to mend it"
    return told


def test_a_sound_one_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert faults(Sound, monkeypatch) == {}


class AnotherTokenType(Sound):
    def split(self, name: SplitName) -> Split:
        whole = super().split(name)
        return replace(whole, inputs=whole.inputs.astype(np.int64))


class AsUnsure(Sound):
    def split(self, name: SplitName) -> Split:
        whole = super().split(name)
        order = np.random.default_rng().permutation(len(whole))
        return Split(
            whole.inputs[order], whole.labels[order], whole.difficulty[order],
            whole.puzzle_identifiers[order],
        )  # fmt: skip


class Leaking(Sound):
    def split(self, name: SplitName) -> Split:
        whole = super().split("valid" if name == "test" else name)
        if name != "test":
            return whole
        cells, tokens = _symmetries(self.size)
        inputs = tokens[1][whole.inputs[:, cells[1]]]
        return replace(whole, inputs=inputs, labels=tokens[1][whole.labels[:, cells[1]]])


class TakingAll(Sound):
    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        return np.ones(len(inputs), dtype=np.bool_)


class TakingAlmostAll(Sound):
    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        starts = inputs.argmax(axis=1)
        rows = np.arange(len(inputs))
        return np.asarray(answers[rows, starts] == inputs[rows, starts])


class RefusingLabels(Sound):
    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        return np.zeros(len(inputs), dtype=np.bool_)


class JudgingTheBatch(Sound):
    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        right = super().verify(inputs, answers)
        return np.full(len(right), right.all() and len(right) > 1)


class TakingSeveral(TakingAll):
    many_answers = True


class RightOtherwise(Sound):
    many_answers = True

    def right(self, inputs: Tokens, labels: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        return np.ones(len(inputs), dtype=np.bool_)


class TurningInputsAlone(Sound):
    def augment(
        self, inputs: Tokens, labels: Tokens, rng: np.random.Generator
    ) -> tuple[Tokens, Tokens]:
        return super().augment(inputs, labels, rng)[0], labels


class DrawingElsewhere(Sound):
    def augment(
        self, inputs: Tokens, labels: Tokens, rng: np.random.Generator
    ) -> tuple[Tokens, Tokens]:
        return super().augment(inputs, labels, np.random.default_rng())


class SeedingTheWorld(Sound):
    def augment(
        self, inputs: Tokens, labels: Tokens, rng: np.random.Generator
    ) -> tuple[Tokens, Tokens]:
        random.seed(0)
        return super().augment(inputs, labels, rng)


class SayingThatItMoves(Sound):
    def augment(
        self, inputs: Tokens, labels: Tokens, rng: np.random.Generator
    ) -> tuple[Tokens, Tokens]:
        return inputs, labels


class KeysOfImages(Sound):
    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        return [row.tobytes() for row in inputs]


class MakingItHarder(Sound):
    """Every image is another puzzle, as right as the first."""

    def augment(
        self, inputs: Tokens, labels: Tokens, rng: np.random.Generator
    ) -> tuple[Tokens, Tokens]:
        chosen = rng.integers(len(inputs), size=len(inputs))
        return inputs[chosen], labels[chosen]

    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        return [b"" for _ in inputs]

    def unknown(self, inputs: Tokens) -> NDArray[np.bool_]:
        return np.ones(inputs.shape, dtype=np.bool_)


class MeasuringOtherwise(Sound):
    def difficulty_of(self, inputs: Tokens, labels: Tokens) -> NDArray[np.float32]:
        return super().difficulty_of(inputs, labels) + 1


class KnowingAll(Sound):
    def unknown(self, inputs: Tokens) -> NDArray[np.bool_]:
        return np.zeros(inputs.shape, dtype=np.bool_)


class ShownOtherwise(Sound):
    def show(self, tokens: Tokens, given: Tokens | None = None) -> str:
        return " ".join(map(str, tokens))


class ShowingRightAnswersAlone(Sound):
    def show(self, tokens: Tokens, given: Tokens | None = None) -> str:
        assert (tokens > 0).all()
        return super().show(tokens, given)


class ShapedOtherwise(Sound):
    def __init__(self, task: ArrowsTask) -> None:
        super().__init__(task)
        self.grid_shape = (2, 4)


class ReadingAnything(Sound):
    def parse(self, text: str) -> Tokens:
        return np.zeros(3, np.int32) if text == "\0" else super().parse(text)


BROKEN: dict[type[Sound], dict[str, str]] = {
    AnotherTokenType: {"arrays": "is int64: cast it to int32"},
    AsUnsure: {"determinism": "differs when it is read from the cache: draw from a generator"},
    Leaking: {"leaks": "12 puzzles of valid and test are symmetry-equivalent: give puzzles with"},
    TakingAll: {"verifier": "accepts 12 of 12 answers of which every cell is wrong: refuse what"},
    TakingAlmostAll: {"verifier": "answers of which one cell is wrong: refuse what"},
    RefusingLabels: {"verifier": "refuses the labels of 60 of 60 examples: mend"},
    JudgingTheBatch: {"verifier": "says another thing of an example alone: judge each row"},
    TakingSeveral: {"verifier": "accepts 12 of 12 answers of which every cell is wrong"},
    RightOtherwise: {
        "verifier": "right() takes 12 answers of which every cell is wrong, verify() 0: leave"
    },
    TurningInputsAlone: {"augmentation": "puzzles: verify() refuses them: change inputs and"},
    DrawingElsewhere: {"augmentation": "other images of one generator: draw from the generator"},
    SeedingTheWorld: {"augmentation": "a global random generator was used or seeded: draw"},
    SayingThatItMoves: {"augmentation": "augments is True, and augment() changes nothing: set"},
    KeysOfImages: {"augmentation": "other symmetry_keys(): give images of one puzzle one key"},
    MeasuringOtherwise: {"difficulty": "measures another thing than train.difficulty: measure"},
    KnowingAll: {"unknown": "cells of train whose answer is not given: say True"},
    ShownOtherwise: {"display": "parse() does not read what show() gives: '"},
    ShowingRightAnswersAlone: {"display": "fails with"},
    ShapedOtherwise: {"display": "grid_shape 2x4 has not 9 cells: give rows and columns"},
    ReadingAnything: {"display": "parse() makes (3,) of what is no puzzle: raise a UserError"},
}


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_what_is_broken_is_a_line(kind: type[Sound], monkeypatch: pytest.MonkeyPatch) -> None:
    told = faults(kind, monkeypatch)
    for check, words in BROKEN[kind].items():
        assert words in told[check]


def test_other_checks_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(faults(ShownOtherwise, monkeypatch)) == {"display"}
    assert set(faults(MeasuringOtherwise, monkeypatch)) == {"difficulty", "augmentation"}


def test_an_augmentation_that_makes_puzzles_harder(monkeypatch: pytest.MonkeyPatch) -> None:
    told = faults(MakingItHarder, monkeypatch)
    assert "makes puzzles of another difficulty, as difficulty_of() has it" in told["augmentation"]


def test_unregistered_and_unbuildable_ones() -> None:
    class Mine(ArrowsConfig):
        """Another class of that name."""

    [building, section, *_] = examined(Mine(**ARROWS))
    assert building.fault is None
    assert section.fault is not None
    assert "Mine is not registered: REGISTRY['arrows'] = Mine" in section.fault

    class Nothing(ArrowsConfig):
        """Gives no task."""

        def build(self, cache: Path | None = None, progress: Progress | None = None) -> Task:
            assert progress is None or progress("drawing", 2.0) is None
            return None  # type: ignore[return-value]

    [building] = examined(Nothing(**ARROWS))
    assert building.fault == "build() gives NoneType: give a Task"
    with pytest.raises(AssertionError, match="building: build\\(\\) gives NoneType"):
        check_task(Nothing(**ARROWS))


def test_a_share_of_progress_over_one() -> None:
    class Boasting(ArrowsConfig):
        """Tells of more than all."""

        def build(self, cache: Path | None = None, progress: Progress | None = None) -> Task:
            if progress is not None:
                progress("drawing", 1.5)
            return super().build(cache, progress)

    [building] = examined(Boasting(**ARROWS))
    assert building.fault == "progress is told a share of 1.5: give shares from 0 to 1"


@pytest.mark.parametrize("blanks", [6, 8])
def test_images_of_a_sudoku_have_as_many_blanks(blanks: int) -> None:
    check_task(SudokuConfig(box=(2, 2), blanks=blanks, **SIZES))
