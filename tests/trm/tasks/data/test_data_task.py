"""A user's own data as a task: every kind of file, tokens, alignment, splits, answers."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trm.errors import UserError
from trm.tasks.base import IGNORE
from trm.tasks.data import DataConfig, DataTask
from trm.testing.tasks import check_task

ROWS = [([a, b, c], sorted([a, b, c])) for a in range(4) for b in range(4) for c in range(3)]
KINDS = ("csv", "tsv", "semicolons", "words", "jsonl", "nested", "parquet", "npz", "npy", "texts")


def write(folder: Path, kind: str, rows: Sequence[tuple[list[int], list[int]]] = ROWS) -> Path:
    """The same examples in a file of a kind."""
    inputs, labels = [row[0] for row in rows], [row[1] for row in rows]
    if kind == "npy":
        folder = folder / "arrays"
        folder.mkdir()
        np.save(folder / "inputs.npy", np.array(inputs))
        np.save(folder / "labels.npy", np.array(labels, dtype=np.float32))
        return folder
    path = folder / f"data.{kind}"
    if kind in ("csv", "tsv", "semicolons", "words"):
        path = folder / ("data.tsv" if kind == "tsv" else "data.csv")
        mark = {"tsv": "\t", "semicolons": ";"}.get(kind, ",")
        join = " " if kind == "words" else ""
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.writer(file, delimiter=mark, lineterminator="\r\n")
            writer.writerow(["input", "label"] if kind == "tsv" else ["Inputs", "Labels"])
            writer.writerows([join.join(map(str, cell)) for cell in row] for row in rows)
    elif kind in ("jsonl", "nested"):
        path = folder / "data.jsonl"
        put = (lambda cell: [cell]) if kind == "nested" else (lambda cell: cell)
        lines = [json.dumps({"inputs": put(i), "labels": put(o)}) for i, o in rows]
        path.write_text("\n".join(lines) + "\n\n")
    elif kind == "parquet":
        pq.write_table(pa.table({"inputs": inputs, "labels": labels}), path)
    else:
        texts = kind == "texts"
        path = folder / "data.npz"
        cells = [
            ["".join(map(str, c)) for c in column] if texts else column
            for column in (inputs, labels)
        ]
        np.savez(path, inputs=np.array(cells[0]), labels=np.array(cells[1]))
    return path


def build(path: Path, **keys: Any) -> DataTask:
    task = DataConfig(file=str(path), **keys).build()
    assert isinstance(task, DataTask)
    return task


def rows_csv(path: Path, *rows: str, head: str = "inputs,labels") -> Path:
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_the_same_examples(kind: str, tmp_path: Path) -> None:
    task, other = build(write(tmp_path, kind)), build(write(tmp_path, "csv"))
    assert task.tokens == other.tokens == ("<pad>", "0", "1", "2", "3")
    assert task.data_hash == other.data_hash


@pytest.mark.parametrize("kind", ["csv", "words", "parquet"])
def test_the_suite_of_tasks(kind: str, tmp_path: Path) -> None:
    check_task(DataConfig(file=str(write(tmp_path, kind))))


def test_the_suite_with_unequal_lengths(tmp_path: Path) -> None:
    rows = [f"{k},{k * k}" for k in range(300)]
    for align in ("left", "right", "after"):
        check_task(DataConfig(file=str(rows_csv(tmp_path / "a.csv", *rows)), align=align))


def test_numbers_come_before_words_in_the_order_of_their_values(tmp_path: Path) -> None:
    rows = [f"{k} b a,10 9 {k}" for k in range(20)]
    task = build(rows_csv(tmp_path / "a.csv", *rows))
    assert task.tokens[1:] == (*map(str, range(20)), "a", "b")
    assert task.show(task.parse("10 a")) == "10 a ·"


def test_alignment(tmp_path: Path) -> None:
    path = rows_csv(tmp_path / "a.csv", "12+7,19", *[f"{k}+1,{k + 1}" for k in range(20)])

    def example(align: Any) -> tuple[str, list[int]]:
        task = build(path, align=align, valid_examples=1, test_examples=1)
        for name in ("train", "valid", "test"):
            split = task.split(name)  # type: ignore[arg-type]
            for inputs, labels in zip(split.inputs, split.labels, strict=True):
                if task.written(inputs) == "12+7":
                    assert task.written(labels) == "19"
                    return task.show(inputs), [k for k, t in enumerate(labels) if t != IGNORE]
        raise AssertionError(align)

    assert example("left") == ("12+7", [0, 1])
    assert example("right") == ("12+7", [2, 3])
    assert example("after") == ("12+7··", [4, 5])


def test_ignored_and_padding_cells_do_not_count(tmp_path: Path) -> None:
    rows = [f"{k:02d}.,{k:02d}_" for k in range(30)]
    task = build(rows_csv(tmp_path / "a.csv", *rows), ignore="_", padding=".")
    split = task.split("train")
    assert task.tokens[1:] == tuple("0123456789")
    assert (split.labels[:, 2] == IGNORE).all()
    assert (split.inputs[:, 2] == 0).all()
    other = np.where(split.labels == IGNORE, 3, split.labels)
    assert task.verify(split.inputs, other).all()
    lines = [json.dumps({"inputs": [k, 1], "labels": [k, -100]}) for k in range(30)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert (build(tmp_path / "a.jsonl").split("train").labels[:, 1] == IGNORE).all()


def test_a_grid_shows_rows(tmp_path: Path) -> None:
    path = rows_csv(tmp_path / "a.csv", *[f"#{k:02d}#,#{k:02d}#" for k in range(30)])
    task = build(path, grid=[2, 2])
    assert task.grid_shape == (2, 2)
    assert task.show(task.parse("#12#")) == "#1\n2#"


def test_equal_inputs_and_groups_stay_on_one_side(tmp_path: Path) -> None:
    rows = [f"{k % 60:02d},{k % 60:02d},{k % 60 // 3}" for k in range(180)]
    task = build(rows_csv(tmp_path / "a.csv", *rows, head="inputs,labels,group"), valid_examples=30)
    groups = {}
    for name in ("train", "valid", "test"):
        inputs = task.split(name).inputs  # type: ignore[arg-type]
        groups[name] = {int(task.written(row)) // 3 for row in inputs}
    assert len(task.split("valid")) == 27
    assert not groups["train"] & groups["valid"] | groups["train"] & groups["test"]
    assert not groups["valid"] & groups["test"]


def test_splits_that_are_given(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    for k, name in enumerate(("training", "val-00", "test")):
        rows_csv(folder / f"{name}.csv", *[f"{i},{i}" for i in range(100 + k * 100, 150 + k * 100)])
    task = build(folder)
    assert [len(task.split(name)) for name in ("train", "valid", "test")] == [50, 50, 50]
    assert task.written(task.split("valid").inputs[0]) == "200"
    assert len(build(folder, train_examples=20).split("train")) == 20
    (folder / "val-00.csv").unlink()
    assert [len(build(folder).split(name)) for name in ("train", "valid", "test")] == [45, 5, 50]
    column = rows_csv(
        tmp_path / "a.csv", *[f"{k},{k},{'test' if k > 90 else 'train'}" for k in range(100)],
        head="inputs,labels,split",
    )  # fmt: skip
    assert len(build(column).split("test")) == 9


def test_a_leak_names_both_rows_or_is_dropped(tmp_path: Path) -> None:
    rows = [f"{k},{k},train" for k in range(10, 40)] + ["17,17,test", "99,99,test"]
    path = rows_csv(tmp_path / "a.csv", *rows, head="inputs,labels,split")
    with pytest.raises(
        UserError, match=r"row 8 \(train\) and .*row 31 \(test\) are of equal inputs"
    ):
        build(path)
    task = build(path, leaks="drop")
    assert len(task.split("train")) + len(task.split("valid")) == 29
    assert len(task.split("test")) == 2


def test_several_labels_of_one_input_are_all_right(tmp_path: Path) -> None:
    rows = [f"{k:02d},{k:02d}" for k in range(40)] + ["07,70"] * 2
    task = build(rows_csv(tmp_path / "a.csv", *rows))
    inputs = np.stack([task.parse("07")] * 4)
    answers = np.stack([task.parse(text) for text in ("07", "70", "77", "17")])
    assert task.verify(inputs, answers).tolist() == [True, True, False, False]


def test_a_file_read_later_brings_its_answers(tmp_path: Path) -> None:
    task = build(write(tmp_path, "csv"))
    path = rows_csv(tmp_path / "more.csv", "333,333", "33,33")
    split = task.read(path)
    assert task.verify(split.inputs, np.where(split.labels == IGNORE, 0, split.labels)).all()
    with pytest.raises(UserError, match="row 1, inputs: holds the unknown token '9'"):
        task.read(rows_csv(tmp_path / "bad.csv", "399,333"))
    with pytest.raises(UserError, match="row 1, inputs: has 4 cells"):
        task.read(rows_csv(tmp_path / "bad.csv", "3333,333"))


def test_identifiers_and_drafts_and_difficulty(tmp_path: Path) -> None:
    head = "inputs,labels,puzzle_identifier,draft,difficulty"
    rows = [f"{k:02d},{k:02d},{'even' if k % 2 == 0 else 'odd'},{k:02d},{k / 2}" for k in range(50)]
    task = build(rows_csv(tmp_path / "a.csv", *rows, head=head))
    train, draft = task.split("train"), task.draft("train")
    assert task.identifiers == ("<blank>", "even", "odd")
    assert task.num_puzzle_identifiers == 3
    assert np.array_equal(task.identify(train.inputs), train.puzzle_identifiers)
    assert draft is not None
    assert np.array_equal(draft, train.labels)
    assert {float(d) for d in train.difficulty} <= {k / 2 for k in range(50)}
    assert build(tmp_path / "a.csv", difficulty="changed").split("train").difficulty.max() == 0


VERIFIER = """
def adds(given, answer):
    left, right = given.split("+")
    return answer.isdigit() and int(left) + int(right) == int(answer)
"""


def test_a_verifier_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sums_of_mine.py").write_text(VERIFIER)
    monkeypatch.chdir(tmp_path)
    path = rows_csv(tmp_path / "a.csv", *[f"{k}+1,{k + 1}" for k in range(10, 60)])
    task = build(path, verifier="sums_of_mine:adds")
    valid = task.split("valid")
    assert task.verify(valid.inputs, np.where(valid.labels == IGNORE, 0, valid.labels)).all()
    assert not task.verify(valid.inputs, valid.inputs).any()
    with pytest.raises(UserError, match="has no function nothing"):
        build(path, verifier="sums_of_mine:nothing")
    monkeypatch.setattr(sys.modules["sums_of_mine"], "adds", lambda given: True)
    with pytest.raises(UserError, match="raises TypeError"):
        build(path, verifier="sums_of_mine:adds").verify(valid.inputs, valid.labels)


def test_arrays_are_mapped_and_made_once(tmp_path: Path) -> None:
    config = DataConfig(file=str(write(tmp_path, "csv")))
    one = config.build(tmp_path / "cache")
    [folder] = (tmp_path / "cache").glob("data-*")
    before = (folder / "train.inputs.npy").stat().st_mtime_ns
    two = config.build(tmp_path / "cache")
    assert (folder / "train.inputs.npy").stat().st_mtime_ns == before
    assert isinstance(one.split("train").inputs.base, np.memmap)
    assert one.data_hash == two.data_hash
    one.split("train").inputs[0, 0] = 99
    assert config.build(tmp_path / "cache").split("train").inputs[0, 0] != 99
    write(tmp_path, "csv", ROWS[:30])
    assert config.build(tmp_path / "cache").data_hash != one.data_hash


def test_a_damaged_cache_is_made_again(tmp_path: Path) -> None:
    config = DataConfig(file=str(write(tmp_path, "csv")))
    one = config.build(tmp_path / "cache")
    [folder] = (tmp_path / "cache").glob("data-*")
    (folder / "valid.labels.npy").unlink()
    assert config.build(tmp_path / "cache").data_hash == one.data_hash


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"grid": [2, 2], "length": 4}, "exclude each other"),
        ({"vocabulary": "aa"}, "twice"),
        ({"vocabulary": "ab", "padding": "a"}, "which is padding"),
        ({"verifier": "rules"}, "must be module:function"),
        ({"columns": {"goal": "x"}}, "is no column"),
        ({"grid": [0, 2]}, "rows and columns"),
    ],
)
def test_keys_that_do_not_go_together(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DataConfig(file="a.csv", **keys)


def test_lists_are_typed_and_written_with_spaces(tmp_path: Path) -> None:
    lines = [json.dumps({"inputs": [k, 10], "labels": [10, k]}) for k in range(30)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    task = build(tmp_path / "a.jsonl")
    row = task.parse("3 10")
    assert task.written(row) == "3 10"
    split = task.read(rows_csv(tmp_path / "more.csv", "3 10,10 3"))
    assert np.array_equal(split.inputs[0], row)


def test_processes_that_come_at_once_read_the_file_once(tmp_path: Path) -> None:
    path = rows_csv(tmp_path / "a.csv", *[f"{k:05d},{k:05d}" for k in range(30_000)])
    program = (
        "import sys, time; from pathlib import Path; from trm.tasks.data import DataConfig\n"
        "from trm.tasks.data import task\n"
        "real, read = task.gather, []\n"
        "task.gather = lambda *a: (read.append(1), real(*a))[1]\n"
        f"one = DataConfig(file={str(path)!r}).build(Path({str(tmp_path / 'cache')!r}))\n"
        "print(len(read), one.data_hash)"
    )
    several = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [one.communicate()[0].split() for one in several]
    assert sorted(words[0] for words in said) == ["0", "0", "1"]
    assert len({words[1] for words in said}) == 1
    left = [p.name for p in (tmp_path / "cache").iterdir() if not p.name.endswith(".lock")]
    assert [name.partition("-")[0] for name in left] == ["data"]
