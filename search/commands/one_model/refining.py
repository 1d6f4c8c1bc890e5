"""A file of drafts in `trm eval` and `trm solve`, and what came of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trm.errors import UserError
from trm.tasks.base import IGNORE, Split, Task, Tokens
from trm.tasks.drafts import drafts_of, read_drafts, write_drafts


@dataclass(frozen=True)
class Refined:
    """Drafts beside what came of them.

    Attributes:
        given: puzzles that have one.
        draft_accuracy: share of these whose draft is right as it stands.
        exact_accuracy: share of the same that are right from the draft.
        exact_accuracy_without: share of the same that are right from nothing.
        put_right: of the wrong drafts, the share that became right; 0 where there is none.
        spoilt: of the right drafts, the share that became wrong; 0 where there is none.
    """

    given: int
    draft_accuracy: float
    exact_accuracy: float
    exact_accuracy_without: float
    put_right: float
    spoilt: float

    @classmethod
    def of(
        cls, task: Task, split: Split, drafts: Tokens, refined: Tokens, alone: Tokens
    ) -> Refined:
        """Count; of the puzzles that have a draft alone, every argument `[n, seq_len]`."""
        rows = (drafts != IGNORE).any(axis=1)
        inputs, labels = split.inputs[rows], split.labels[rows]
        before, after, without = (
            task.right(inputs, labels, answers[rows]) for answers in (drafts, refined, alone)
        )
        return cls(
            given=int(rows.sum()),
            draft_accuracy=float(before.mean()),
            exact_accuracy=float(after.mean()),
            exact_accuracy_without=float(without.mean()),
            put_right=float(after[~before].mean()) if (~before).any() else 0.0,
            spoilt=float((~after[before]).mean()) if before.any() else 0.0,
        )

    def lines(self) -> list[str]:
        """For a person."""
        return [
            f"  of {self.given:,} puzzles that have a draft",
            f"    the draft is right            {self.draft_accuracy:.4f}",
            f"    right, beginning from it      {self.exact_accuracy:.4f}",
            f"    right, beginning from nothing {self.exact_accuracy_without:.4f}",
            f"    wrong drafts put right        {self.put_right:.4f}",
            f"    right drafts spoilt           {self.spoilt:.4f}",
        ]


def drafts_for(path: Path, task: Task, split: Split) -> Tokens:
    """The drafts of a file for the puzzles of a split, `[n, seq_len]`.

    Raises:
        UserError: the file is no good, or none of its drafts is for one of them.
    """
    found = drafts_of(split.inputs, read_drafts(path, task))
    if not (found != IGNORE).any():
        raise UserError(
            "--drafts", str(path), "holds no draft of any of these puzzles: see --split and --data"
        )
    return found


def draft_for(path: Path, task: Task, inputs: Tokens) -> Tokens:
    """The draft of one puzzle, `[seq_len]`.

    Raises:
        UserError: the file is no good, or holds none of it.
    """
    found: Tokens = drafts_of(inputs[None], read_drafts(path, task))[0]
    if not np.any(found != IGNORE):
        raise UserError("--drafts", str(path), "holds no draft of this puzzle")
    return found


def write_answers(path: Path, split: Split, answers: Tokens) -> None:
    """Write answers as drafts.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        write_drafts(path, split, answers)
    except OSError as error:
        raise UserError("--answers", str(path), f"cannot be written: {error.strerror}") from error
