"""What every task promises, as one function for the tests of ours and of plug-ins."""

from __future__ import annotations

import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np

from trm.errors import UserError
from trm.tasks import TASKS
from trm.tasks.base import IGNORE, Split, Task, TaskConfig
from trm.tasks.cache import SPLITS
from trm.tasks.soundness import require_sound_task, verdicts
from trm.testing.sections import check_section, no_global_randomness

EXAMPLES = 64
"""Examples that are verified, moved and shown."""
_FIELDS = ("inputs", "labels", "difficulty", "puzzle_identifiers")


def check_task(config: TaskConfig) -> None:
    """Build a task three times, and hold its data, rules and symmetries against the contract.

    Give it a small config: every example's symmetry key is looked at.

    Raises:
        AssertionError: the task breaks a promise.
        UserError: so does its data, in a way that is looked for before every training too.

    >>> from trm.tasks.arrows import ArrowsConfig
    >>> check_task(ArrowsConfig(train_examples=40, valid_examples=5, test_examples=5))
    """
    check_section(TASKS, config)
    with tempfile.TemporaryDirectory() as folder, no_global_randomness():
        told: list[float] = []
        task = config.build(Path(folder), lambda words, share: told.append(share))
        require_sound_task(task, few=EXAMPLES, many=10**9)
        _check_same(task, config.build(Path(folder)), "from the cache")
        _check_same(task, config.build(), "built anew")
        assert all(0.0 <= share <= 1.0 for share in told), "progress leaves [0, 1]"
        _check_symmetries(task)
        _check_verifier(task)
        _check_unknown(task)
        _check_display(task)
        _check_seed(config, task)
    for name in SPLITS:
        assert task.source_of(name).shape == (len(task.split(name)),), "source_of: one an example"
    identifiers = task.identify(task.split("valid").inputs)
    assert identifiers.shape == (len(task.split("valid")),), "identify: one an example"


def _check_same(task: Task, other: Task, how: str) -> None:
    for name in SPLITS:
        for field in _FIELDS:
            one, same = getattr(task.split(name), field), getattr(other.split(name), field)
            assert np.array_equal(one, same), f"{name}.{field} differs when it is {how}"
    beyond, again = task.beyond, other.beyond
    assert (beyond is None) == (again is None), f"beyond is there or not when it is {how}"
    if beyond is not None and again is not None:
        for field in _FIELDS:
            equal = np.array_equal(getattr(beyond, field), getattr(again, field))
            assert equal, f"beyond.{field} differs when it is {how}"
    assert task.data_hash == other.data_hash, f"data_hash differs when it is {how}"


def _keys(task: Task, split: Split) -> list[bytes]:
    return task.symmetry_keys(split.inputs, split.labels)


def _check_symmetries(task: Task) -> None:
    held: dict[str, set[bytes]] = {name: set(_keys(task, task.split(name))) for name in SPLITS}
    if task.beyond is not None:
        held["beyond"] = set(_keys(task, task.beyond))
    for one, other in combinations(held, 2):
        shared = held[one] & held[other]
        assert not shared, f"{len(shared)} puzzles of {one} and {other} are symmetry-equivalent"
    train = task.split("train")
    few = Split(*(getattr(train, field)[:EXAMPLES] for field in _FIELDS))
    moved = [
        task.augment(few.inputs.copy(), few.labels.copy(), np.random.default_rng(seed))
        for seed in (0, 0, 1, 2, 3)
    ]
    assert np.array_equal(moved[0][0], moved[1][0]), "augment: the same generator, another result"
    assert np.array_equal(moved[0][1], moved[1][1]), "augment: the same generator, another result"
    changed = any(not np.array_equal(inputs, few.inputs) for inputs, _ in moved)
    assert changed == task.augments, f"augments says {task.augments}, and augment() does otherwise"
    for inputs, labels in moved:
        same = task.symmetry_keys(inputs, labels) == _keys(task, few)
        assert same, "augment() gives what symmetry_keys() takes for another puzzle"
        assert np.array_equal(np.sort(labels == IGNORE), np.sort(few.labels == IGNORE))


def _check_verifier(task: Task) -> None:
    valid = task.split("valid")
    inputs, labels = valid.inputs[:EXAMPLES], valid.labels[:EXAMPLES]
    whole = verdicts("valid", task, inputs, labels)
    alone = [bool(verdicts("valid", task, inputs[[k]], labels[[k]])[0]) for k in range(len(inputs))]
    assert whole.tolist() == alone, "verify() says another thing of an example alone"
    wrong = np.where(labels == IGNORE, labels, (labels + 1) % task.vocab_size)
    accepted = int(verdicts("valid", task, inputs, wrong.astype(np.int32)).sum())
    assert accepted < len(inputs), "verify() accepts answers of which every cell is wrong"
    right = task.right(inputs, labels, labels)
    assert right.dtype == bool and right.all(), "right() refuses labels"  # noqa: PT018
    if task.many_answers:
        judged = task.right(inputs, labels, wrong.astype(np.int32))
        assert int(judged.sum()) == accepted, "many_answers: right() and verify() differ"


def _check_unknown(task: Task) -> None:
    for name in SPLITS:
        split = task.split(name)
        stands = ~task.unknown(split.inputs) & (split.labels != IGNORE)
        assert np.array_equal(split.inputs[stands], split.labels[stands]), (
            "unknown() leaves out cells whose answer does not stand in the input"
        )


def _check_display(task: Task) -> None:
    rows, columns = task.grid_shape
    assert rows * columns == task.seq_len, "grid_shape does not hold seq_len cells"
    symbols = len(task.symbols)
    assert symbols in (0, task.vocab_size), f"{symbols} symbols for {task.vocab_size} tokens"
    valid = task.split("valid")
    assert isinstance(task.show(valid.inputs[0]), str), "show() gives no text"
    assert isinstance(task.show(valid.inputs[0], valid.inputs[0]), str), "show() gives no text"
    try:
        parsed = task.parse("\0")
    except UserError:
        return
    assert parsed.shape == (task.seq_len,), "parse() gives what is no puzzle"


def _check_seed(config: TaskConfig, task: Task) -> None:
    seed = getattr(config, "seed", None)
    if isinstance(seed, int):
        other = config.model_copy(update={"seed": seed + 1}).build()
        assert other.data_hash != task.data_hash, "another seed gives the same data_hash"
