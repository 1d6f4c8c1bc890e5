"""What is the user's to mend, not ours: bad input, and names that have become old."""

from __future__ import annotations

LONGEST = 200
"""Characters of a value in a message; more are cut off."""


class UserError(ValueError):
    """Bad input: the command line prints the message as one line and exits with code 2.

    The message names the key or file, the value that was found and the remedy.

    >>> str(UserError("train.batch_size", 0, "must be at least 1"))
    'train.batch_size: 0 must be at least 1'
    """

    def __init__(self, where: str, value: object = None, remedy: str = "") -> None:
        self.where = where
        shown = "" if value is None else f" {_brief(value)}"
        super().__init__(f"{where}:{shown} {remedy}".rstrip() if shown or remedy else where)


def _brief(value: object) -> str:
    """A value for a message: of a whole number beyond what Python writes out, its length."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


class CacheWarning(UserWarning):
    """Data are not kept where they should be: the command line prints the message as one line."""


class NewRunWarning(UserWarning):
    """There is nothing to resume: the command line prints the message as one line."""


class LockWarning(UserWarning):
    """Storage has no locks, or weaker ones: the command line prints the message as one line."""


class StrayWarning(UserWarning):
    """Files that are none of a run's own lie in it: the command line prints it as one line."""


class RenamedWarning(FutureWarning):
    """An old name that is still accepted: the command line prints the message as one line."""
