from __future__ import annotations

import numpy as np

from trm.tasks.arrows import ArrowsConfig
from trm.tasks.base import Task, Tokens
from trm.thought.judge import Judge


def task() -> Task:
    return ArrowsConfig(
        size=3, visited=[2, 4], train_examples=8, valid_examples=6, test_examples=6
    ).build()


def test_every_answer_is_judged_as_alone() -> None:
    arrows = task()
    split = arrows.split("valid")
    judge = Judge(arrows, split.inputs, split.labels)
    rng = np.random.default_rng(0)
    seen: list[list[bytes]] = [[] for _ in range(len(split))]
    for _ in range(20):
        # Of three answers each, one right: most have been seen before.
        answers = np.tile(split.labels, (2, 1))
        answers[:, 0] = np.where(rng.random(len(answers)) < 0.5, answers[:, 0], 1)
        answers[:, 4] = np.where(rng.random(len(answers)) < 0.8, answers[:, 4], 2)
        verdict = judge.judge(answers)
        inputs, labels = np.tile(split.inputs, (2, 1)), np.tile(split.labels, (2, 1))
        assert verdict.right.tolist() == arrows.right(inputs, labels, answers).tolist()
        assert verdict.valid.tolist() == arrows.verify(inputs, answers).tolist()
        for row, answer in enumerate(answers):
            known = seen[row % len(split)]
            if answer.tobytes() not in known:
                known.append(answer.tobytes())
            number = int(verdict.answer[row])
            assert known[number] == answer.tobytes()
            assert judge.answers[row % len(split)][number].tolist() == answer.tolist()


def test_the_verifier_is_asked_once_of_an_answer() -> None:
    arrows = task()
    split = arrows.split("valid")
    asked: list[int] = []

    class Counting:
        many_answers = False

        def right(self, inputs: Tokens, labels: Tokens, answers: Tokens) -> np.ndarray:
            return arrows.right(inputs, labels, answers)

        def verify(self, inputs: Tokens, answers: Tokens) -> np.ndarray:
            asked.append(len(answers))
            return arrows.verify(inputs, answers)

    judge = Judge(Counting(), split.inputs, split.labels)  # type: ignore[arg-type]
    for _ in range(3):
        judge.judge(np.tile(split.labels, (4, 1)))
    assert asked == [len(split)]
