"""Drafts of answers in a file, by whatever model or heuristic: JSON Lines of `input` and `draft`.

Each line is an object. `input` is the puzzle and `draft` a proposed answer to it, each as text, as
`trm solve` takes a puzzle, or as a list of tokens, as `trm tasks --write` numbers them. A cell of
the draft that is `null`, or that the puzzle leaves open and the draft does not fill in, says
nothing. Further keys are left alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trm.errors import UserError
from trm.files.replace import replacing
from trm.tasks.base import IGNORE, Split, Task, Tokens

Drafts = Mapping[bytes, Tokens]
"""Drafts `[seq_len]`, `IGNORE` where nothing is said, by the puzzle's tokens, int32."""


def read_drafts(path: Path, task: Task) -> dict[bytes, Tokens]:
    """The drafts of a file.

    Raises:
        UserError: the file cannot be read, or its first line that is no draft for the task.
    """
    try:
        # Not splitlines: it also splits at line ends of Unicode, which JSON's strings may hold.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise UserError("--drafts", str(path), f"cannot be read: {why}") from error
    found: dict[bytes, Tokens] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        row = _row(line, where)
        inputs = _tokens(row["input"], task, f"{where}, input", puzzle=True)
        key = inputs.tobytes()
        if key in found:
            raise UserError(f"{where}: holds a second draft of one puzzle: give one of each")
        draft = _tokens(row["draft"], task, f"{where}, draft", puzzle=False)
        silent = (draft == inputs) & task.unknown(inputs[None])[0]
        found[key] = np.where(silent, IGNORE, draft).astype(np.int32)
    if not found:
        raise UserError(f"{path}: holds no draft: each line is {_FORM}")
    return found


def drafts_of(inputs: Tokens, drafts: Drafts) -> Tokens:
    """The draft of each puzzle `[n, seq_len]`, `IGNORE` in all cells of one that has none."""
    rows = np.ascontiguousarray(inputs, dtype=np.int32)
    nothing = np.full(inputs.shape[1], IGNORE, dtype=np.int32)
    return np.stack([drafts.get(row.tobytes(), nothing) for row in rows])


def write_drafts(path: Path, split: Split, answers: Tokens) -> None:
    """Answers `[n, seq_len]` as a file of drafts for another model.

    Raises:
        OSError: the file cannot be written.
    """
    rows = zip(split.inputs.tolist(), answers.tolist(), strict=True)
    text = "".join(json.dumps({"input": a, "draft": b}) + "\n" for a, b in rows)
    with replacing(path) as file:
        file.write(text.encode())


_FORM = '{"input": PUZZLE, "draft": ANSWER}, as text or lists of tokens'


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict) or not {"input", "draft"} <= row.keys():
        raise UserError(f"{where}: is no draft: write {_FORM}")
    return row


def _tokens(value: Any, task: Task, where: str, *, puzzle: bool) -> Tokens:
    if isinstance(value, str):
        try:
            return task.parse(value) if puzzle else task.parse_answer(value)
        except UserError as error:
            raise UserError(f"{where}: {str(error).partition(': ')[2] or error}") from error
    if isinstance(value, Iterable) and not isinstance(value, dict):
        cells = [IGNORE if cell is None and not puzzle else cell for cell in value]
        lowest = 0 if puzzle else IGNORE
        if len(cells) == task.seq_len and all(_is_token(cell, task, lowest) for cell in cells):
            return np.array(cells, dtype=np.int32)
    raise UserError(
        f"{where}: needs {task.seq_len} tokens below {task.vocab_size}, or text"
        + ("" if puzzle else "; null for a cell of which nothing is said")
    )


def _is_token(cell: Any, task: Task, lowest: int) -> bool:
    return type(cell) is int and (cell == lowest or 0 <= cell < task.vocab_size)
