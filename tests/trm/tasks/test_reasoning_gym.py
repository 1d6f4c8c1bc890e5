"""The adapter to reasoning-gym: with a stand-in of its interface, and with the package itself."""

from __future__ import annotations

import random
import re
import sys
import types
from contextlib import suppress
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from search.guide.pages import folder
from trm.errors import UserError
from trm.tasks.reasoning_gym import ReasoningGymConfig
from trm.testing.tasks import check_task

SMALL = {"train_examples": 60, "valid_examples": 12, "test_examples": 12}


class Sums:
    """Sums of two numbers, as reasoning-gym would give them; any spaces are right."""

    def __init__(self, seed: int, size: int, most: int = 99, answer: Any = True) -> None:
        assert most > 0, "most must be positive"
        self.seed, self.size, self.most, self.answer = seed, size, most, answer

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        random.seed(self.seed + index)  # Python's own generator, as some families do
        a, b = (random.randrange(self.most) for _ in range(2))
        return {"question": f"{a} + {b} = ?", "answer": str(a + b) if self.answer else None}

    def score_answer(self, answer: str | None, entry: dict[str, Any]) -> float:
        return float(answer is not None and answer.strip() == entry["answer"])


@pytest.fixture
def gym(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_dataset(name: str, **settings: Any) -> Sums:
        if name != "sums":
            raise ValueError(f"Dataset '{name}' not registered")
        return Sums(**settings)

    module = types.ModuleType("reasoning_gym")
    module.create_dataset = create_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "reasoning_gym", module)


def config(**keys: Any) -> ReasoningGymConfig:
    given = {"family": "sums", "question_length": 16, "answer_length": 4, **SMALL, **keys}
    return ReasoningGymConfig(**given)


def test_the_contract(gym: None) -> None:
    check_task(config())


def test_a_question_and_its_answer(gym: None) -> None:
    task = config().build()
    valid = task.split("valid")
    question = task.show(valid.inputs[0])
    a, b = (int(word) for word in question.removesuffix(" = ?").split(" + "))
    assert task.show(valid.labels[0], valid.inputs[0]) == str(a + b)
    assert task.parse(question).tolist() == valid.inputs[0].tolist()
    assert task.unknown(valid.inputs).sum(axis=1).tolist() == [4] * 12
    assert valid.difficulty[0] == len(str(a + b))


def test_the_familys_verifier_decides(gym: None) -> None:
    task = config(many_answers=True).build()
    valid = task.split("valid")
    assert task.verify(valid.inputs, valid.labels).all()
    moved = valid.labels.copy()
    moved[:, 17:] = valid.labels[:, 16:19]
    moved[:, 16] = task.parse(" 1")[0]  # a space before the number
    assert task.right(valid.inputs, valid.labels, moved).all()
    assert not config().build().right(valid.inputs, valid.labels, moved).any()
    assert not task.verify(valid.inputs[::-1], valid.labels).all()
    unknown = np.stack([task.parse("1 + 1 = 3")])
    assert not task.verify(unknown, valid.labels[:1]).any()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"family": "other"}, "task.family: 'other' Dataset 'other' not registered"),
        ({"settings": {"most": 0}}, "most must be positive"),
        ({"settings": {"colour": 1}}, "task.settings"),
        ({"settings": {"answer": False}}, "gives no answers to learn from"),
        ({"settings": {"most": 5}}, "gives 25 different questions of the 84 asked"),
        ({"question_length": 5}, "task.question_length: 5 question 0 of sums has"),
        ({"answer_length": 1}, "task.answer_length: 1 the answer of question"),
    ],
)
def test_what_does_not_fit_is_a_line(gym: None, keys: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        config(**keys).build()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(UserError, match=r"pip install 'trm-search\[reasoning\]'"):
        config().build()


@pytest.mark.parametrize(
    ("family", "question", "answer"),
    [("chain_sum", 110, 10), ("spell_backward", 80, 24), ("mini_sudoku", 400, 40)],
)
def test_real_families(family: str, question: int, answer: int) -> None:
    pytest.importorskip("reasoning_gym", reason="the extra `reasoning` is not installed")
    check_task(config(family=family, question_length=question, answer_length=answer))


@pytest.mark.slow
def test_the_guide_lists_the_families_that_fit() -> None:
    pytest.importorskip("reasoning_gym", reason="the extra `reasoning` is not installed")
    families = import_module("reasoning_gym.factory").DATASETS
    page = (folder() / "tasks.md").read_text(encoding="utf-8")
    [names] = re.findall(r"With the default lengths(.*?)Others need longer", page, re.DOTALL)
    sizes = {"train_examples": 30, "valid_examples": 5, "test_examples": 5}
    fit = set()
    for family in families:
        with suppress(UserError):
            ReasoningGymConfig(family=family, **sizes).build()
            fit.add(family)
    assert set(re.findall(r"`(\w+)`", names)) == fit
