"""Outputs of ARC's questions that are kept back, and what is asked besides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.arc_puzzles import built, kaggle, outputs, small
from trm.errors import UserError
from trm.tasks.arc.grids import END, SIDE, encode
from trm.tasks.base import IGNORE
from trm.testing.tasks import check_task


def test_some_outputs_are_kept_back(tmp_path: Path) -> None:
    config = small(kaggle(tmp_path, [("p100", 1), ("p102", 0)]), augmentations=4, votes=3)
    check_task(config)
    task = built(config)
    test, kept = task.split("test"), task.kept_back("test")
    assert kept is not None
    assert (len(test), len(kept)) == ((6 - 2) * 3, 2 * 3), "three images of each question"
    assert task.kept_back("valid") is None
    assert (kept.labels == IGNORE).all()
    # A perfect model: what is kept back is in the submission, and in no figure.
    perfect = np.where(test.labels == IGNORE, 0, test.labels)
    hidden = [
        encode(task.images.of(np.array(outputs(100 + n)[index], np.uint8), int(identifier)))
        for (n, index), identifier in zip(
            [(0, 1)] * 3 + [(2, 0)] * 3, kept.puzzle_identifiers, strict=True
        )
    ]
    answers, q = np.concatenate([perfect, np.stack(hidden)]), np.full(18, 0.5)
    sent = task.submission("test", answers, q)
    assert sent is not None
    for n in range(3):
        assert [one["attempt_1"] for one in sent[f"p{100 + n}"]] == outputs(100 + n)
    assert task.figures("test", perfect, q[:12])["pass@1"] == 1.0
    assert task.submission("test", perfect, q[:12]) is None, "not all were asked"
    answers[12:] = 0
    sent = task.submission("test", answers, q)
    assert sent is not None
    assert sent["p100"][1] == {"attempt_1": [[0]], "attempt_2": [[0]]}
    assert sent["p100"][0]["attempt_1"] == outputs(100)[0]


def test_all_outputs_are_kept_back(tmp_path: Path) -> None:
    config = small(kaggle(tmp_path), valid_puzzles=2, augmentations=4, votes=3)
    check_task(config)
    task = built(config)
    names = {part: {one.name for one in task.puzzles[part]} for part in ("valid", "test")}  # type: ignore[index]
    assert [len(names[part]) for part in ("valid", "test")] == [2, 2]
    assert not names["valid"] & names["test"]
    assert names["valid"] | names["test"] < {f"p{n}" for n in range(6)}, "of the training puzzles"
    kept = task.kept_back("test")
    assert kept is not None
    count = len(task.split("test")) + len(kept)
    assert count == (2 * 2 + 3 * 2) * 3
    answers = np.full((count, SIDE * SIDE), END, dtype=np.int32)
    answers[:, 0] = 5
    sent = task.submission("test", answers, np.zeros(count))
    assert sent is not None
    assert {name: len(found) for name, found in sent.items()} == {"p100": 2, "p101": 2, "p102": 2}
    assert sent["p100"][0]["attempt_1"] != [[0]]
    # Of what is asked, none is trained on: two puzzles' questions are, and all that is shown.
    assert len(task.split("train")) == 9 * 3 + 2 * 2
    with pytest.raises(
        UserError, match=r"valid_puzzles: 3 leaves none of 6 .* takes as many where"
    ):
        small(kaggle(tmp_path), valid_puzzles=3).build()


def test_what_is_asked_besides_is_part_of_the_data(tmp_path: Path) -> None:
    """Other questions without outputs are other data; with outputs nothing changes the hash."""
    whole = built(small(kaggle(tmp_path, [])))
    assert whole.kept_back("test") is None
    one = built(small(kaggle(tmp_path, [("p100", 1)])))
    two = built(small(kaggle(tmp_path, [("p100", 0)])))
    assert len({task.data_hash for task in (whole, one, two)}) == 3
