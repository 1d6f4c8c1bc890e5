"""What is the user's to mend, not ours: bad input, and names that have become old."""

from __future__ import annotations


class UserError(ValueError):
    """Bad input: the command line prints the message as one line and exits with code 2.

    The message names the key or file, the value that was found and the remedy.

    >>> str(UserError("train.batch_size", 0, "must be at least 1"))
    'train.batch_size: 0 must be at least 1'
    """

    def __init__(self, where: str, value: object = None, remedy: str = "") -> None:
        self.where = where
        shown = "" if value is None else f" {value!r}"
        super().__init__(f"{where}:{shown} {remedy}".rstrip() if shown or remedy else where)


class RenamedWarning(FutureWarning):
    """An old name that is still accepted: the command line prints the message as one line."""
