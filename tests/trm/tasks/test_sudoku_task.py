"""The Sudoku task: config, splits, cache, verifier, display and the hub's loader."""

from __future__ import annotations

import sys
import types
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trm.errors import UserError
from trm.tasks.allocation import Allocation, allocate
from trm.tasks.base import SplitName
from trm.tasks.sudoku import Box, SudokuConfig, sources, task
from trm.tasks.sudoku.generator import dig, grids
from trm.tasks.sudoku.rules import Boards
from trm.tasks.sudoku.symmetry import class_keys
from trm.validation import validate

NAMES: tuple[SplitName, ...] = ("train", "valid", "test")
SMALL = {"train_examples": 60, "valid_examples": 20, "test_examples": 15}


def config(**keys: Any) -> SudokuConfig:
    return validate(SudokuConfig, {"name": "sudoku", "box": [2, 2], **SMALL, **keys}, "task")


def puzzles(box: Box, count: int, seed: int = 0) -> Boards:
    rng = np.random.default_rng(seed)
    return dig(grids(count, box, rng), np.full(count, box.cells // 2), box, rng)


def write(path: Path, boards: Boards) -> Path:
    path.write_text("".join("".join(map(str, b)) + "\n" for b in boards))
    return path


def keys_of(made: Any, name: SplitName, box: Box) -> set[bytes]:
    split = made.split(name)
    return set(class_keys((split.inputs - 1).astype("u1"), (split.labels - 1).astype("u1"), box))


def assert_apart(made: Any, box: Box) -> None:
    train, valid, test = (keys_of(made, name, box) for name in NAMES)
    assert not train & valid
    assert not train & test
    assert not valid & test


@pytest.mark.parametrize(
    ("box", "blanks"),
    [([2, 2], 8), ([2, 2], [4, 9]), ([2, 3], [14, 20]), ([3, 2], None), ([2, 4], 30), ([3, 3], 44)],
)
def test_generated_splits(box: list[int], blanks: Any) -> None:
    made = config(box=box, blanks=blanks).build()
    side = box[0] * box[1]
    assert (made.vocab_size, made.seq_len) == (side + 2, side * side)
    assert made.grid_shape == (side, side)
    low, high = blanks if isinstance(blanks, list) else [blanks or side * side // 2] * 2
    for name, size in zip(NAMES, SMALL.values(), strict=True):
        split = made.split(name)
        assert len(split) == size
        assert split.inputs.shape == split.labels.shape == (size, side * side)
        assert split.inputs.min() == 1
        assert split.labels.min() == 2
        assert split.labels.max() == side + 1
        assert made.verify(split.inputs, split.labels).all()
        count = made.unknown(split.inputs).sum(axis=1)
        assert ((low <= count) & (count <= high)).all()
        assert (split.difficulty >= count).all()
        assert not split.puzzle_identifiers.any()
    assert_apart(made, Box(*box))
    everything = np.concatenate([made.split(name).inputs for name in NAMES])
    assert len(np.unique(everything, axis=0)) == len(everything)


def test_seed_decides_the_data() -> None:
    hashes = [config(seed=seed).build().data_hash for seed in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_difficulty_is_blanks_and_search(tmp_path: Path) -> None:
    hard = "4.....8.5.3..........7......2.....6.....8.4......1.......6.3.7.5..2.....1.4......"
    path = write(tmp_path / "p", puzzles(Box(3, 3), 30))
    path.write_text(path.read_text() + hard)
    sizes = {"train_examples": None, "valid_examples": 1, "test_examples": 1}
    made = config(box=[3, 3], file=str(path), **sizes).build()
    blanks = np.concatenate([made.unknown(made.split(n).inputs).sum(axis=1) for n in NAMES])
    difficulty = np.concatenate([made.split(n).difficulty for n in NAMES])
    assert difficulty[blanks == 64] > 64 + np.log2(11)
    assert difficulty.argmax() == blanks.argmax()


def test_too_few_puzzles_of_a_kind() -> None:
    with pytest.raises(UserError, match=r"task\.blanks: \[1, 1\] gives \d+ of the 6000 examples"):
        config(blanks=1, train_examples=5965).build()


@pytest.mark.parametrize(
    ("keys", "where", "words"),
    [
        ({"box": [1, 4]}, "task.box", "is not supported"),
        ({"box": [4, 5]}, "task.box", "is not supported"),
        ({"box": [2, 8]}, "task.box", "[3, 3] or [4, 4]"),
        ({"box": [4, 4], "blanks": 141}, "task", "within 1 to 140: box [4, 4] takes long"),
        ({"box": [2, 2, 2]}, "task.box", "list of two integers"),
        ({"box": 3}, "task.box", "list of two integers"),
        ({"blanks": 13}, "task", "within 1 to 12"),
        ({"blanks": [9, 4]}, "task", "must be ascending"),
        ({"blanks": 0}, "task: blanks", "within 1 to 12"),
        ({"blanks": "8"}, "task.blanks", "an integer or a list of two"),
        ({"blanks": [1, 2, 3]}, "task.blanks", "list of two integers"),
        ({"blanks": True}, "task.blanks", "an integer or a list of two"),
        ({"file": "x", "hub": "y"}, "task", "exclude each other"),
        ({"file": "x", "blanks": 8}, "task", "remove it"),
        ({"valid_examples": 0}, "task.valid_examples", ""),
        ({"augment": 1}, "task.augment", ""),
        ({"boxes": [2, 2]}, "task.boxes", "box"),
    ],
)
def test_bad_config(keys: dict[str, Any], where: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        config(**keys)
    assert str(caught.value).startswith(where)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_config_survives_a_round_trip() -> None:
    first = config(blanks=[4, 8])
    assert first.model_dump(mode="json")["blanks"] == [4, 8]
    assert validate(SudokuConfig, first.model_dump(mode="json")) == first


def test_file_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box(2, 3)
    boards = puzzles(box, 100)
    boards[90:] = boards[:10].take(np.arange(36).reshape(6, 6)[::-1].ravel(), axis=1)  # mirrored
    write(tmp_path / "p.txt", boards)
    monkeypatch.chdir(tmp_path)
    sizes = {"train_examples": None, "valid_examples": 20, "test_examples": 15}
    made = config(box=[2, 3], file="p.txt", **sizes).build()
    assert [len(made.split(name)) for name in NAMES] == [65, 20, 15]
    assert_apart(made, box)
    monkeypatch.setenv("HOME", str(tmp_path))
    again = config(box=[2, 3], file="~/p.txt", **sizes)
    assert again.file == "~/p.txt"
    assert again.build().data_hash == made.data_hash
    fewer = config(box=[2, 3], file="p.txt", **{**sizes, "train_examples": 30}).build()
    assert len(fewer.split("train")) == 30
    other = config(box=[2, 3], file="p.txt", seed=1, **sizes).build()
    assert other.data_hash != made.data_hash


def test_large_file_is_sampled_before_it_is_solved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "PROVE_ALL", 250)
    path = write(tmp_path / "p.txt", puzzles(Box(2, 3), 300))
    solved: list[int] = []
    real = sources.solve_file
    monkeypatch.setattr(
        sources, "solve_file", lambda file, *rest: solved.append(len(file)) or real(file, *rest)
    )
    made = config(box=[2, 3], file=str(path)).build()
    assert solved == [95 + 95 // 20 + 100]
    assert [len(made.split(name)) for name in NAMES] == [60, 20, 15]


@pytest.mark.parametrize("train", [None, 70])
def test_file_with_too_few_puzzles(tmp_path: Path, train: int | None) -> None:
    path = write(tmp_path / "p.txt", puzzles(Box(2, 3), 100 if train else 35))
    with pytest.raises(UserError) as caught:
        config(box=[2, 3], file=str(path), train_examples=train).build()
    assert "puzzles are too few for valid_examples 20, test_examples 15, train_ex" in str(
        caught.value
    )
    assert str(path) in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        config(file=str(tmp_path / "none.txt")).build(tmp_path / "cache")


def test_second_build_reads_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "p.txt", puzzles(Box(2, 3), 100))
    cases = [config(), config(box=[2, 3], file=str(path))]
    first = [case.build(tmp_path / "cache") for case in cases]

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("built again")

    with monkeypatch.context() as patch:
        for name in ("generated", "from_file", "from_hub"):
            patch.setattr(task, name, forbidden)
        for name in ("solve", "solve_file", "read_puzzles"):
            patch.setattr(sources, name, forbidden)
        for case, made in zip(cases, first, strict=True):
            again = case.build(tmp_path / "cache")
            assert again.data_hash == made.data_hash
            assert (again.split("test").inputs == made.split("test").inputs).all()
        config(augment=False).build(tmp_path / "cache")  # the data are the same
        moved = path.rename(tmp_path / "moved.txt")
        config(box=[2, 3], file=str(moved)).build(tmp_path / "cache")
        with pytest.raises(AssertionError, match="built again"):
            config(seed=1).build(tmp_path / "cache")
        write(moved, puzzles(Box(2, 3), 100, seed=1))
        with pytest.raises(AssertionError, match="built again"):
            config(box=[2, 3], file=str(moved)).build(tmp_path / "cache")
    for file in (tmp_path / "cache").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    assert config().build(tmp_path / "cache").data_hash == first[0].data_hash


def test_progress_is_told(tmp_path: Path) -> None:
    seen: dict[str, list[float]] = {}
    tell = lambda what, share: seen.setdefault(what, []).append(share)  # noqa: E731
    config().build(progress=tell)
    path = write(tmp_path / "p.txt", puzzles(Box(2, 3), 100))
    config(box=[2, 3], file=str(path)).build(progress=tell)
    assert seen.keys() >= {"making puzzles", "solving puzzles"}
    for shares in seen.values():
        assert shares == sorted(shares)
        assert shares[-1] == 1.0


def test_augment_can_be_off() -> None:
    for on in (True, False):
        made = config(augment=on).build()
        split = made.split("train")
        inputs, labels = made.augment(split.inputs, split.labels, np.random.default_rng(0))
        assert made.verify(inputs, labels).all()
        assert (inputs is split.inputs) != on


def test_verifier_follows_the_rules() -> None:
    made = config().build()
    split = made.split("test")
    good, inputs = split.labels, split.inputs
    assert made.verify(inputs, good).all()
    each = np.arange(len(good))
    for token in (0, 1, 6, -100, 7 + 256):
        wrong = good.copy()
        wrong[each, each % 16] = token
        assert not made.verify(inputs, wrong).any()
    spoilt = good.copy()
    spoilt[:, 3] = good[:, 3] % 4 + 2  # another digit
    assert not made.verify(inputs, spoilt).any()
    assert not made.verify(inputs, np.roll(good, 1, axis=0)).all()
    relabelled = np.array([0, 0, 3, 2, 4, 5])[good]  # solved, but the givens are others
    kept = ((inputs != 2) & (inputs != 3)).all(axis=1)
    assert (made.verify(inputs, relabelled) == kept).all()
    # A Latin square whose boxes repeat digits.
    latin = np.array([[(r + c) % 4 + 2 for r in range(4) for c in range(4)]])
    assert not made.verify(np.ones((1, 16), dtype=np.int32), latin).any()


def test_show_and_parse() -> None:
    made = config().build()
    tokens = made.parse("1.....3..4.....2")
    assert tokens.tolist() == [2, 1, 1, 1, 1, 1, 4, 1, 1, 5, 1, 1, 1, 1, 1, 3]
    assert made.show(tokens).splitlines() == [
        "+------+------+",
        "| 1  . | .  . |",
        "| .  . | 3  . |",
        "+------+------+",
        "| .  4 | .  . |",
        "| .  . | .  2 |",
        "+------+------+",
    ]
    filled = tokens.copy()
    filled[1] = 3
    assert made.show(filled, given=tokens).splitlines()[1] == "| 1 (2)| .  . |"
    assert (made.parse(made.show(tokens)) == tokens).all()
    assert (made.parse("1000\n0030\n0400\n0002\n") == tokens).all()


def test_show_draws_boxes_of_two_by_three() -> None:
    made = config(box=[2, 3]).build()
    lines = made.show(made.split("test").labels[0]).splitlines()
    assert [i for i, line in enumerate(lines) if line == "+---------+---------+"] == [0, 3, 6, 9]
    assert all(line[0] == line[10] == line[20] for line in lines)
    lines = config(box=[3, 2]).build().show(np.ones(36, dtype=np.int32)).splitlines()
    assert [i for i, line in enumerate(lines) if line[0] == "+"] == [0, 4, 8]
    assert lines[1] == "| .  . | .  . | .  . |"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has 0 cells"),
        ("1" * 15, "has 15 cells"),
        ("0" * 81, "set task.box to [3, 3]"),
        ("5" + "0" * 15, "character '5'"),
        ("11" + "0" * 14, "no solution"),
    ],
)
def test_parse_refuses(text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        config().build().parse(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["0" * 16, "*" * 16, "12..\n34..\n....\n....", "1" + "_" * 15])
def test_a_puzzle_may_have_several_solutions(text: str) -> None:
    task = config().build()
    tokens = task.parse(text)
    answers = [task.parse(line) for line in ("1234341221434321", "1234341243212143")]
    assert [bool(task.verify(tokens[None], a[None])[0]) for a in answers] == [True, True]


def fake_hub(monkeypatch: pytest.MonkeyPatch, download: Any) -> None:
    module = types.ModuleType("huggingface_hub")
    module.hf_hub_download = download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)


def test_hub_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box(3, 3)
    boards = puzzles(box, 130)
    held, rest = boards[:30], np.concatenate([boards[20:]])  # 10 puzzles stand in both files
    for name, part in (("train", rest), ("test", held)):
        rows = ["source,question,answer,rating"]
        rows += [f"x,{''.join(map(str, b)).replace('0', '.')},,3" for b in part]
        (tmp_path / f"{name}.csv").write_text("\n".join(rows))
    asked = []

    def download(repository: str, filename: str, repo_type: str) -> str:
        asked.append((repository, filename, repo_type))
        return str(tmp_path / filename)

    fake_hub(monkeypatch, download)
    made = config(box=[3, 3], hub="some/sudoku", **{**SMALL, "test_examples": 30}).build(tmp_path)
    assert asked == [("some/sudoku", f"{name}.csv", "dataset") for name in ("train", "test")]
    assert [len(made.split(name)) for name in NAMES] == [60, 20, 30]
    assert {b.tobytes() for b in held} == {
        b.tobytes() for b in (made.split("test").inputs - 1).astype("u1")
    }
    assert_apart(made, box)


def test_hub_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install 'trm-search\[hub\]'"):
        config(hub="some/sudoku").build()


def test_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: Any, **__: Any) -> str:
        raise OSError("no route to the hub\nand more")

    fake_hub(monkeypatch, download)
    with pytest.raises(
        UserError, match=r"cannot give train\.csv: no route to the hub; or download"
    ):
        config(hub="some/sudoku").build()


def test_allocation_keeps_classes_together_and_fills_sizes() -> None:
    rng = np.random.default_rng(0)
    keys = [bytes([k]) for k in rng.integers(0, 60, 400)]
    chosen = allocate(keys, Allocation({"valid": 50, "test": 40, "train": 250}), rng)
    homes = {name: {keys[i] for i in index} for name, index in chosen.items()}
    assert {name: len(index) for name, index in chosen.items()} == {
        "valid": 50,
        "test": 40,
        "train": 250,
    }
    assert max(Counter(k for ks in homes.values() for k in ks).values()) == 1
    assert max(Counter(i for index in chosen.values() for i in index).values()) == 1


def test_allocation_gives_a_small_split_several_classes() -> None:
    allocation = Allocation({"valid": 20, "train": 10_000})
    homes = [allocation.place(bytes([k])) for k in range(200)]
    assert homes.count("valid") >= 18


def test_allocation_never_uses_taken_classes() -> None:
    allocation = Allocation({"valid": 1, "train": 5}, taken=[b"a"])
    assert allocation.place(b"a") is None
    assert allocation.place(b"b") is not None
    assert allocation.missing == 5
