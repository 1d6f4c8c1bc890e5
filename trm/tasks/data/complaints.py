"""What is wrong with a user's rows: the first ends the reading, or all of them are collected."""

from __future__ import annotations

from pathlib import Path

from trm.errors import UserError

MOST_KEPT = 1_000
"""Complaints that are kept in words; more are counted."""


class Complaints:
    """Takes what is wrong, row by row.

    Attributes:
        found: the complaints, the first so many.
        count: how many there were.

    >>> complaints = Complaints(collect=True)
    >>> complaints.row(Path("a.csv"), 3, "labels", "is empty: give an answer")
    >>> complaints.found
    ['a.csv, row 3, labels: is empty: give an answer']
    """

    def __init__(self, *, collect: bool = False) -> None:
        self.found: list[str] = []
        self._places: list[tuple[str, int]] = []
        self.count = 0
        self._collect = collect

    def row(self, path: Path, row: int, column: str, what: str) -> None:
        """Complain of a cell; rows count from 1, and a header is none.

        Raises:
            UserError: the complaint, unless it is collected.
        """
        self.say(f"{path}, row {row}, {column}: {what}", (str(path), row))

    def by_row(self) -> list[str]:
        """What was found, row by row; what is of no row comes last."""
        order = sorted(range(len(self.found)), key=lambda k: self._places[k])
        return [self.found[k] for k in order]

    def say(self, what: str, place: tuple[str, int] = ("\U0010ffff", 0)) -> None:
        """Complain of something that is no row.

        Raises:
            UserError: the complaint, unless it is collected.
        """
        if not self._collect:
            raise UserError(what)
        self.count += 1
        if len(self.found) < MOST_KEPT:
            self.found.append(what)
            self._places.append(place)


def brief(value: object) -> str:
    """A value for a complaint.

    >>> brief("x" * 99)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxx...'"
    """
    text = repr(value)
    return text if len(text) <= 32 else f"{text[:28]}...{text[-1:]}"
