"""Mazes from CSV files in the layout of the public Maze-Hard data set."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from trm.errors import UserError
from trm.tasks.base import Tokens
from trm.tasks.maze.grid import CHARACTERS, GOAL, START
from trm.tasks.maze.paths import is_shortest, lengths, solved

MAZE, PATH_COLUMN = "question", "answer"


@dataclass(frozen=True)
class MazeFile:
    """The mazes of a file.

    Attributes:
        inputs: tokens `[n, cells]`.
        labels: tokens `[n, cells]`, a shortest path of each; found where the file has none.
    """

    inputs: Tokens
    labels: Tokens


def side_of(path: Path) -> int:
    """Rows of the mazes of a file, as its first one has them.

    Raises:
        UserError: the file cannot be read, or holds no square maze.
    """
    for line, maze, _ in _rows(path):
        size = math.isqrt(len(maze))
        if size * size != len(maze) or size < 3:
            raise UserError(
                f"{path}, line {line}: {len(maze)} characters are no square maze of 3x3 or more"
            )
        return size
    raise UserError(f"{path}: holds no maze")


def read_mazes(path: Path, size: int, examples: int | None = None) -> MazeFile:
    """The mazes of a file with columns `question` and, where it has them, `answer`.

    Each is `size * size` characters row by row: `#` wall, space open, `S` start, `G` goal, and `o`
    the path of an answer.

    Args:
        examples: the first so many, after which nothing is looked at; None is all.

    Raises:
        UserError: the file cannot be read, or the first line that holds no maze, a goal out of
            reach, or an answer that is no shortest path.
    """
    inputs, labels, lines = [], [], []
    for line, maze, answer in islice(_rows(path), examples):
        where = f"{path}, line {line}"
        inputs.append(_tokens(maze, size, f"{where}: the {MAZE}"))
        for sign, token in (("S", START), ("G", GOAL)):
            if (found := int((inputs[-1] == token).sum())) != 1:
                raise UserError(f"{where}: the {MAZE} needs exactly one {sign}, and has {found}")
        labels.append(_tokens(answer, size, f"{where}: the {PATH_COLUMN}") if answer else None)
        lines.append(line)
    if not inputs:
        raise UserError(f"{path}: holds no maze")
    mazes = np.stack(inputs)
    if not (reached := lengths(mazes, size) > 0).all():
        line = lines[int(reached.argmin())]
        raise UserError(f"{path}, line {line}: no way leads from S to G: correct it")
    answers = solved(mazes, size)
    given = [index for index, label in enumerate(labels) if label is not None]
    if given:
        answers[given] = np.stack([label for label in labels if label is not None])
        right = is_shortest(mazes[given], answers[given], size)
        if not right.all():
            line = lines[given[int(right.argmin())]]
            raise UserError(
                f"{path}, line {line}: the answer is no shortest path from S to G: correct it, or "
                "leave it empty to have one found"
            )
    return MazeFile(mazes, answers)


def _rows(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, maze and answer of each row."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip().lower() for name in next(reader, [])]
            if MAZE not in header:
                raise UserError(
                    f"{path}, line 1: has no column {MAZE!r}, only {', '.join(header) or 'nothing'}"
                )
            at = header.index(MAZE)
            answer = header.index(PATH_COLUMN) if PATH_COLUMN in header else None
            for row in reader:
                if not row:
                    continue
                if len(row) <= max(at, answer or 0):
                    raise UserError(
                        f"{path}, line {reader.line_num}: has {len(row)} columns, the header "
                        f"promises {len(header)}"
                    )
                yield reader.line_num, row[at], "" if answer is None else row[answer]
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not a text file; give a CSV of mazes") from error
    except csv.Error as error:
        raise UserError(f"{path}: {error}; give a CSV of mazes") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def _tokens(text: str, size: int, what: str) -> Tokens:
    if len(text) != size * size:
        raise UserError(f"{what} has {len(text)} characters; a {size}x{size} maze has {size**2}")
    tokens = np.array([CHARACTERS.find(sign) + 1 for sign in text], dtype=np.int32)
    if not tokens.all():
        bad = text[int(tokens.argmin())]
        raise UserError(f"{what} holds {bad!r}; only characters of {CHARACTERS!r} stand in a maze")
    return tokens
