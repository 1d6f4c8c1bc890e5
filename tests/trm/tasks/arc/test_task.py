"""ARC as a task: what is trained on, what is asked, and what is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.support.arc_puzzles import built, small
from trm.tasks.arc.grids import SIDE, canonical, crop
from trm.tasks.base import IGNORE
from trm.testing.tasks import check_task
from trm.training.data import ExampleStream


def test_the_contract(folders: dict[str, str]) -> None:
    check_task(small(folders))
    check_task(small(folders, augmentations=2, votes=1, translate=False))


def test_what_is_trained_on_and_what_is_asked(folders: dict[str, str]) -> None:
    task = built(small(folders))
    valid, test = task.puzzles["valid"], task.puzzles["test"]
    assert (len(valid), len(test)) == (2, 6)
    questions = {name: sum(len(p.asked) for p in task.puzzles[name]) for name in ("valid", "test")}  # type: ignore[index]
    assert len(task.split("test")) == 4 * questions["test"]
    assert len(task.split("valid")) == 4 * questions["valid"]
    shown = 12 * 3  # three of each puzzle, the evaluation puzzles included
    training = 9 - questions["valid"]  # the questions of the other training puzzles
    assert len(task.split("train")) == shown + training
    assert task.num_puzzle_identifiers == 1 + 12 * 8 == len(task.identifiers)
    for name in ("valid", "test"):
        split = task.split(name)  # type: ignore[arg-type]
        assert task.verify(split.inputs, np.where(split.labels == IGNORE, 0, split.labels)).all()


def test_training_sees_every_image_with_its_own_identifier(folders: dict[str, str]) -> None:
    task = built(small(folders))
    stream = ExampleStream(task, seed=0)
    fresh = stream.take(2000)
    assert set(fresh.puzzle_identifiers.tolist()) == set(range(1, 97))
    corners, moved = 0, 0
    pairs = [pair for p in task._puzzles for pair in (*p.shown, *p.asked)]
    known = {canonical((one, two)) for one, two in pairs if two is not None}
    for row in range(300):
        one = fresh.inputs[row].reshape(SIDE, SIDE)
        place = (
            int((one >= 2).any(axis=1).argmax()),
            int((one >= 2).any(axis=0).argmax()),
        )
        corners += place == (0, 0)
        moved += place != (0, 0)
        identifier = int(fresh.puzzle_identifiers[row])
        pair = tuple(
            task.images.undone(crop(tokens[row], *place), identifier)
            for tokens in (fresh.inputs, fresh.labels)
        )
        assert canonical(pair) in known  # type: ignore[arg-type]
    assert corners > 50
    assert moved > 100
    again = ExampleStream(task, seed=0).take(2000)
    assert np.array_equal(again.inputs, fresh.inputs)
    assert np.array_equal(again.puzzle_identifiers, fresh.puzzle_identifiers)


def test_a_question_that_is_trained_on_is_left_out_of_training(folders: dict[str, str]) -> None:
    same = Path(folders["evaluation"], f"{100:08x}.json")
    Path(folders["training"], "copy.json").write_text(same.read_text())
    task = built(small(folders, valid_puzzles=1))
    test = {canonical(p) for q in task.puzzles["test"] for p in q.asked if p[1] is not None}  # type: ignore[arg-type]
    train = set(task.symmetry_keys(task.split("train").inputs, task.split("train").labels))
    assert not test & train


def test_an_answer_is_right_wherever_its_padding_leads(folders: dict[str, str]) -> None:
    task = built(small(folders))
    split = task.split("test")
    answers = np.where(split.labels == IGNORE, 0, split.labels)
    wrong = answers.copy()
    wrong[:, 0] = np.where(wrong[:, 0] == 11, 2, wrong[:, 0] + 1)
    assert not task.verify(split.inputs, wrong).any()
    assert not task.verify(split.inputs, np.zeros_like(answers)).any()
    behind = answers.reshape(-1, SIDE, SIDE).copy()
    behind[:, 20:, 20:] = 7
    assert task.verify(split.inputs, behind.reshape(len(answers), -1)).all()


def test_a_perfect_model_passes_and_a_blank_one_fails(folders: dict[str, str]) -> None:
    task = built(small(folders))
    split = task.split("test")
    perfect = np.where(split.labels == IGNORE, 0, split.labels)
    q = np.full(len(split), 0.5)
    assert task.figures("test", perfect, q) == {"pass@1": 1.0, "pass@2": 1.0, "pass@5": 1.0}
    assert set(task.figures("test", np.zeros_like(perfect), q).values()) == {0.0}
    # One image in four is wrong: the others outvote it.
    perfect[::4] = 5
    assert task.figures("test", perfect, q)["pass@1"] == 1.0
    assert task.figures("test", perfect[:3], q[:3]) == {}, "not all images were asked"
    assert task.submission("test", perfect[:3], q[:3]) is None
    sent = task.submission("test", perfect, q)
    assert sent is not None
    first = task.puzzles["test"][0]
    assert first.asked[0][1] is not None
    assert sent[first.name][0]["attempt_1"] == first.asked[0][1].tolist()
