"""What `trm tasks --write` writes, read back: a CSV of tokens that any task takes."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from trm.errors import UserError
from trm.tasks.base import IGNORE, Split, Task, Tokens

HEADER = ("input", "label", "difficulty")


def write_split(
    path: Path,
    split: Split,
    sources: list[str] | None = None,
    written: Callable[[Tokens], str] | None = None,
) -> None:
    """A split as CSV: input and label (tokens, space-separated), difficulty; source, if given.

    Args:
        written: how a task writes its tokens, where not so.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*HEADER, "source"] if sources else HEADER)
        for index, difficulty in enumerate(split.difficulty):
            inputs, labels = (
                " ".join(map(str, t[index])) if written is None else written(t[index])
                for t in (split.inputs, split.labels)
            )
            row = [inputs, labels, f"{difficulty:g}"]
            writer.writerow([*row, sources[index]] if sources else row)


def holds_tokens(path: Path) -> bool:
    """Whether a file begins as `write_split` does; false also of what cannot be read."""
    try:
        with path.open("rb") as file:
            first = file.readline(1000).decode("utf-8-sig")
    except (OSError, ValueError):
        return False
    return first.strip().lower().split(",")[:2] == list(HEADER[:2])


def read_split(path: Path, task: Task, examples: int | None = None) -> Split:
    """The puzzles of such a file, the first `examples` of them (all if None).

    Raises:
        UserError: the file cannot be read, or the first line that is no puzzle of the task or
            whose answer its rules refuse.
    """
    inputs, labels, difficulty, lines = [], [], [], []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for line, row in islice(_rows(file, path), examples):
                where = f"{path}, line {line}"
                inputs.append(_tokens(row[0], task, where, "input"))
                labels.append(_tokens(row[1], task, where, "label", IGNORE))
                difficulty.append(_number(row[2]) if len(row) > 2 else 0.0)
                lines.append(line)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not a text file; give one of `trm tasks --write`") from error
    except csv.Error as error:
        raise UserError(f"{path}: {error}; give a file of `trm tasks --write`") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if not inputs:
        raise UserError(f"{path}: holds no puzzle; give a file of `trm tasks --write`")
    puzzles, answers = np.stack(inputs), np.stack(labels)
    whole = (answers != IGNORE).all(axis=1)
    right = np.ones(len(puzzles), dtype=np.bool_)
    right[whole] = task.verify(puzzles[whole], answers[whole])
    if not right.all():
        first = lines[int(right.argmin())]
        raise UserError(f"{path}, line {first}: the label is no answer by the rules; correct it")
    return Split(puzzles, answers, np.array(difficulty, dtype=np.float32), task.identify(puzzles))


def _rows(file: Iterator[str], path: Path) -> Iterator[tuple[int, list[str]]]:
    """Lines after the header, with their numbers from 1."""
    reader = csv.reader(file)
    header = [name.strip().lower() for name in next(reader, [])]
    if header[:2] != list(HEADER[:2]):
        raise UserError(
            f"{path}, line 1: has no columns input,label; give a file of `trm tasks --write`"
        )
    for row in reader:
        if len(row) == 1 or (row and not row[0].strip()):
            raise UserError(
                f"{path}, line {reader.line_num}: has {len(row)} columns; the header promises 2"
            )
        if row:
            yield reader.line_num, row


def _tokens(text: str, task: Task, where: str, what: str, also: int | None = None) -> Tokens:
    parts = text.split()
    if len(parts) != task.seq_len:
        raise UserError(
            f"{where}: the {what} has {len(parts)} tokens; {task.name} needs {task.seq_len}"
        )
    try:
        tokens = [int(part) for part in parts]
    except ValueError:
        tokens = []
    if not tokens or any(not 0 <= t < task.vocab_size and t != also for t in tokens):
        raise UserError(
            f"{where}: the {what} must hold whole numbers from 0 to {task.vocab_size - 1}"
        )
    return np.array(tokens, dtype=np.int32)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
