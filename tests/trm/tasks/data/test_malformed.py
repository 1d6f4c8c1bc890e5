# ruff: noqa: E501
"""Files that are wrong end in one line that names the row, the column or the file."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from search.cli import main
from trm.files.yaml12 import dump_yaml

Write = Callable[[Path], None]


def text(content: str) -> Write:
    return lambda path: path.write_text(content) and None


def table(*rows: str, head: str = "inputs,labels") -> Write:
    good = [f"{k:03d},{k:03d}" + ",x" * (head.count(",") - 1) for k in range(100, 130)]
    return text("\n".join([head, *rows, *good]) + "\n")


def lines(*rows: Any) -> Write:
    good = [{"inputs": [k, 1, 2], "labels": [2, 1, k]} for k in range(30)]
    return text(
        "\n".join(row if isinstance(row, str) else json.dumps(row) for row in (*rows, *good))
    )


def arrays(**columns: Any) -> Write:
    return lambda path: np.savez(path, **columns)


def parquet(inputs: list[Any], labels: list[Any]) -> Write:
    return lambda path: pq.write_table(pa.table({"inputs": inputs, "labels": labels}), path)


def folder(**files: str) -> Write:
    def write(path: Path) -> None:
        path.mkdir()
        for name, content in files.items():
            (path / f"{name}.csv").write_text(content)

    return write


def array_files(**files: Any) -> Write:
    def write(path: Path) -> None:
        path.mkdir()
        for name, array in files.items():
            np.save(path / f"{name}.npy", array)

    return write


GRID = np.arange(60).reshape(20, 3) % 7
HALF = np.where(np.arange(60).reshape(20, 3) == 31, 0.5, GRID)
NAN = np.where(np.arange(60).reshape(20, 3) == 31, np.nan, GRID)
OBJECTS = np.array([[1, 2], [3]] * 10, dtype=object)
SAME = "inputs,labels\n123,321\n456,654\n"

CASES: dict[str, tuple[str, Write, dict[str, Any], str]] = {
    "longer than the grid": ("a.csv", table("1234,1234"), {"grid": [1, 3]}, "row 1, inputs: has 4"),
    "shorter than the grid": ("a.csv", table("12,12"), {"grid": [1, 3]}, "row 1, inputs: has 2"),
    "longer than the length": ("a.csv", table("1,12345"), {"length": 3}, "row 1, labels: has 5"),
    "an unknown token": ("a.csv", table("1x3,123"), {"vocabulary": "0123456789"}, "row 1, inputs: holds the unknown token 'x'"),
    "an unknown token in a label": ("a.csv", table("123,1x3"), {"vocabulary": "0123456789"}, "row 1, labels: holds the unknown token 'x'"),
    "an unknown word": ("a.csv", text("inputs,labels\n1 2,9 9\n"), {"vocabulary": ["1", "2"], "separator": " "}, "row 1, labels: holds the unknown token '9'"),
    "a missing label": ("a.csv", table("123,"), {}, "row 1, labels: is empty"),
    "a missing input": ("a.csv", table("111,123", ",123"), {}, "row 2, inputs: is empty"),
    "no label column": ("a.csv", text("inputs,target\n1,2\n"), {}, "has no column labels"),
    "no input column": ("a.csv", text("in,labels\n1,2\n"), {}, "has no column inputs"),
    "a column that is not there": ("a.csv", table(), {"columns": {"labels": "goal"}}, "task.columns.labels: 'goal'"),
    "too few columns": ("a.csv", table("123"), {}, "row 1, columns: there are 1, and the header has 2"),
    "too many columns": ("a.csv", table("1,2,3"), {}, "row 1, columns: there are 3"),
    "an empty file": ("a.csv", text(""), {}, "is empty"),
    "a header alone": ("a.csv", text("inputs,labels\n"), {}, "no valid example"),
    "quotes that do not end": ("a.csv", text('inputs,labels\n1,2\n"1"2,3\n'), {}, "line 3: ',' expected"),
    "measurements": ("a.npz", arrays(inputs=np.arange(70_000)[:, None], labels=np.arange(70_000)), {}, "hold 70,000 different tokens"),
    "no table at all": ("a.csv", text("hello\nworld\n"), {}, "has no column inputs"),
    "bytes that are no text": ("a.csv", lambda p: p.write_bytes(b"inputs,labels\n\xff\xfe\x80,1\n") and None, {}, "is not text in UTF-8"),
    "two columns of one name": ("a.csv", text("inputs,inputs,labels\n1,2,3\n"), {}, "has two columns 'inputs'"),
    "an empty token": ("a.csv", table("1  2,1 2"), {"separator": " "}, "row 1, inputs: has an empty token"),
    "padding alone": ("a.csv", table("123,000"), {"padding": 0}, "row 1, labels: holds padding alone"),
    "ignored cells alone": ("a.csv", table("123,___"), {"ignore": "_"}, "row 1, labels: holds padding alone"),
    "ignored cells in inputs": ("a.csv", table("1_3,123"), {"ignore": "_"}, "row 1, inputs: holds '_'"),
    "a difficulty that is no number": ("a.csv", table("1,2,hard", head="inputs,labels,difficulty"), {}, "row 1, difficulty: 'hard'"),
    "a difficulty that is NaN": ("a.csv", table("1,2,nan", head="inputs,labels,difficulty"), {}, "row 1, difficulty: 'nan'"),
    "a split of no name": ("a.csv", table("1,2,x", head="inputs,labels,split"), {}, "row 1, split: 'x'"),
    "a missing group": ("a.csv", table("1,2,", head="inputs,labels,group"), {}, "row 1, group: is missing"),
    "a line that is not JSON": ("a.jsonl", lines("{oops"), {}, "row 1, line: '{oops' is not JSON"),
    "a line that is no object": ("a.jsonl", lines("[1, 2]"), {}, "row 1, line: '[1, 2]' is no JSON object"),
    "one array instead of lines": ("a.json", text('[{"inputs": 1, "labels": 2}]'), {}, "row 1, line"),
    "a key that is missing": ("a.jsonl", lines({"inputs": [1], "labels": [1]}, {"inputs": [1]}), {}, "row 2, labels: is missing"),
    "a null": ("a.jsonl", lines({"inputs": [1], "labels": None}), {}, "row 1, labels: is missing (null)"),
    "a NaN": ("a.jsonl", lines('{"inputs": [1, NaN], "labels": [1, 2]}'), {}, "row 1, inputs: holds nan"),
    "a number that is not whole": ("a.jsonl", lines({"inputs": [1.5], "labels": [1]}), {}, "row 1, inputs: holds 1.5"),
    "mixed types in a column": ("a.jsonl", lines({"inputs": [1], "labels": [1]}, {"inputs": "ab", "labels": [1]}), {}, "row 2, inputs: 'ab' is text, where others are a list"),
    "mixed types in a cell": ("a.jsonl", lines({"inputs": [1, "b"], "labels": [1, 2]}), {}, "row 1, inputs: mixes numbers and words"),
    "ragged rows": ("a.jsonl", lines({"inputs": [[1, 2], [3]], "labels": [1]}), {}, "row 1, inputs: has rows of unequal lengths"),
    "lists beside values": ("a.jsonl", lines({"inputs": [1, [2]], "labels": [1]}), {}, "row 1, inputs: has lists and values"),
    "a boolean": ("a.jsonl", lines({"inputs": [True], "labels": [1]}), {}, "row 1, inputs: holds True"),
    "an empty list": ("a.jsonl", lines({"inputs": [], "labels": [1]}), {}, "row 1, inputs: is empty"),
    "an empty JSON file": ("a.jsonl", text(""), {}, "is empty"),
    "no Parquet": ("a.parquet", text("PAR1 not"), {}, "is no Parquet file"),
    "a null in Parquet": ("a.parquet", parquet([[1]] * 20, [[1]] * 19 + [None]), {}, "row 20, labels: is missing"),
    "a null in a list of Parquet": ("a.parquet", parquet([[1]] * 20, [[1]] * 19 + [[None]]), {}, "row 20, labels: holds None"),
    "objects in npz": ("a.npz", arrays(inputs=OBJECTS, labels=GRID), {}, "holds Python objects"),
    "NaN in npz": ("a.npz", arrays(inputs=NAN, labels=GRID), {}, "row 11, inputs: holds nan"),
    "a fraction in npz": ("a.npz", arrays(inputs=HALF, labels=GRID), {}, "row 11, inputs: holds 0.5"),
    "arrays of unequal length": ("a.npz", arrays(inputs=GRID, labels=GRID[:9]), {}, "has 9 rows of labels and 20 of inputs"),
    "an array of dates": ("a.npz", arrays(inputs=GRID.astype("M8[s]"), labels=GRID), {}, "inputs holds datetime64[s]"),
    "a single value": ("a.npz", arrays(inputs=np.int64(3), labels=GRID), {}, "inputs is a single value"),
    "no npz": ("a.npz", text("zip?"), {}, "or is no file of NumPy"),
    "objects in npy": ("d", array_files(inputs=OBJECTS, labels=GRID), {}, "holds Python objects"),
    "an npy without rows": ("d", array_files(inputs=GRID[:0], labels=GRID[:0]), {}, "holds no valid example"),
    "an npy without labels": ("d", array_files(inputs=GRID), {}, "has no column labels"),
    "an empty folder": ("d", folder(), {}, "holds no data"),
    "a leak between files": ("d", folder(train=SAME, test="inputs,labels\n456,654\n"), {}, "train.csv, row 2 (train) and"),
    "a file of no split among others": ("d", folder(train=SAME, more=SAME), {}, "more.csv: is named after no split"),
    "nothing to train on": ("d", folder(test=SAME), {}, "no example is left to train on"),
    "no such file": ("a.csv", lambda path: None, {}, "there is no such file"),
    "a file of another kind": ("a.xlsx", text("x"), {}, "is of no kind that is read"),
    "a damaged gzip file": ("a.csv.gz", lambda p: p.write_bytes(gzip.compress(b"inputs,labels\n" + b"1,2\n" * 99)[:-9]) and None, {}, "cannot be read"),
    "a verifier that is not there": ("a.csv", table(), {"verifier": "nowhere_at_all:right"}, "plugins: 'nowhere_at_all'"),
    "more held out than there are": ("a.csv", table(), {"valid_examples": 40}, "all of the 30 examples are held out"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_malformed_file_ends_in_one_line(
    case: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TRM_CACHE", str(tmp_path / "cache"))
    name, write, keys, said = CASES[case]
    write(tmp_path / name)
    section = {"name": "data", "file": str(tmp_path / name), **keys}
    (tmp_path / "my.yaml").write_text(dump_yaml({"task": section}))
    code = main(["tasks", str(tmp_path / "my.yaml")])
    printed = capsys.readouterr()
    assert code == 2, printed
    assert printed.err.startswith("trm: error: ")
    assert printed.err.count("\n") == 1
    assert said in printed.err, printed.err
    assert not [*(tmp_path / "cache").glob("data-*")]


def test_there_are_forty() -> None:
    assert len(CASES) >= 40
