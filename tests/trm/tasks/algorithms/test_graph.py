from __future__ import annotations

from collections import deque
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from trm.errors import UserError
from trm.tasks.algorithms.graph import GraphConfig
from trm.tasks.base import Task

SIZES: dict[str, Any] = {
    "train_examples": 200,
    "valid_examples": 20,
    "test_examples": 20,
    "beyond_examples": 30,
}


def made(**keys: Any) -> Task:
    return GraphConfig.model_validate({**SIZES, **keys}).build()


def distances(rows: list[list[str]]) -> list[int | None]:
    """Breadth first, node by node."""
    source = next(k for k, row in enumerate(rows) if row[k] == "@")
    found: list[int | None] = [None] * len(rows)
    found[source] = 0
    waiting = deque([source])
    while waiting:
        node = waiting.popleft()
        for other, word in enumerate(rows[node]):
            here = found[node]
            if word == "1" and found[other] is None and here is not None:
                found[other] = here + 1
                waiting.append(other)
    return found


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("find", ["reach", "distance"])
def test_answers_are_those_of_a_search_breadth_first(find: str, directed: bool) -> None:
    task = made(find=find, directed=directed, nodes=9)
    assert task.beyond is not None
    unreached = 0
    for split in (task.split("train"), task.beyond):
        for row, label, far in zip(split.inputs, split.labels, split.difficulty, strict=True):
            rows = [line.split() for line in task.show(row).splitlines()]
            found = distances(rows)
            unreached += found.count(None)
            assert max(distance for distance in found if distance is not None) == far
            shown = [line.split() for line in task.show(label, row).splitlines()]
            for node, distance in enumerate(found):
                wanted = "x" if distance is None else f"d{distance if find == 'distance' else 0}"
                assert shown[node][node] == f"[{wanted}]"
            if not directed:
                edges = [[word == "1" for word in row] for row in rows]
                assert edges == [list(column) for column in zip(*edges, strict=True)]
    assert unreached


def test_renumbered_graphs_have_one_key_and_few_others_share_it() -> None:
    task = made(nodes=5, farthest=[1, 3], beyond=4, train_examples=60, valid_examples=5,
                test_examples=5)  # fmt: skip
    inputs = task.split("train").inputs
    keys = task.symmetry_keys(inputs, inputs)
    assert len(set(keys)) == len(keys)
    for row, key in zip(inputs[:10], keys, strict=False):
        grid = row.reshape(5, 5)
        images = np.stack([grid[np.ix_(p, p)].ravel() for p in permutations(range(5))])
        assert set(task.symmetry_keys(images, images)) == {key}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("o 1 . 1 o . . . o", "one @ and else o"),
        ("@ 1 . . o . . . o", "edges lead both ways"),
        ("@ x . x o . . . o", "needs 1 or ."),
    ],
)
def test_what_is_no_puzzle_is_refused(text: str, message: str) -> None:
    task = made(nodes=3, farthest=[1, 1], beyond=2, train_examples=1, valid_examples=1,
                test_examples=1)  # fmt: skip
    with pytest.raises(UserError, match=message):
        task.parse(text)
