"""Whether an answer is right: as the labels of equal inputs say, or a function of the user's."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm.errors import UserError
from trm.plugins import import_plugins
from trm.tasks.base import IGNORE, Tokens
from trm.tasks.data.splits import row_hashes

Verifier = Callable[[Any, Any], object]
"""Takes an input and an answer as the file has them: texts of characters, lists of numbers or of
words; gives whether the answer is right."""


@dataclass(frozen=True)
class Labelled:
    """Examples that can be found by their input.

    Attributes:
        hashes: of the inputs, ascending, uint64 `[n]`.
        rows: where each stands, int64 `[n]`.
        labels: int32 `[n, length]`, in their own order.
        identifiers: int32 `[n]`, in their own order.
    """

    hashes: NDArray[np.uint64]
    rows: NDArray[np.int64]
    labels: Tokens
    identifiers: Tokens

    def matches(self, inputs: Tokens) -> Iterator[tuple[NDArray[np.intp], NDArray[np.int64]]]:
        """Which inputs have a first, second, ... equal among the examples, and where it stands."""
        wanted = row_hashes(inputs)
        place = np.searchsorted(self.hashes, wanted, side="left")
        end = np.searchsorted(self.hashes, wanted, side="right")
        which = np.flatnonzero(place < end)
        while len(which):
            yield which, self.rows[place[which]]
            place[which] += 1
            which = which[place[which] < end[which]]


def labelled(hashes: NDArray[np.uint64], labels: Tokens, identifiers: Tokens) -> Labelled:
    """Examples by the hashes of their inputs, in their own order."""
    order = np.argsort(hashes, kind="stable")
    return Labelled(hashes[order], order.astype(np.int64), labels, identifiers)


def equal_a_label(parts: Sequence[Labelled], inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
    """Whether each answer equals a label of its input in all cells that count; `[n]`."""
    right = np.zeros(len(inputs), dtype=bool)
    for part in parts:
        for which, rows in part.matches(inputs):
            labels = part.labels[rows]
            right[which] |= ((answers[which] == labels) | (labels == IGNORE)).all(axis=1)
    return right


def first_label(parts: Sequence[Labelled], inputs: Tokens) -> Tokens:
    """A label of each input, or 0 throughout where there is none."""
    found = np.zeros(inputs.shape, dtype=np.int32)
    for part in reversed(parts):
        which, rows = next(part.matches(inputs), (None, None))
        if which is not None:
            found[which] = part.labels[rows]
    return found


def identifiers_of(parts: Sequence[Labelled], inputs: Tokens) -> Tokens:
    """The identifier of each input, 0 where it is new."""
    found = np.zeros(len(inputs), dtype=np.int32)
    for part in reversed(parts):
        which, rows = next(part.matches(inputs), (None, None))
        if which is not None:
            found[which] = part.identifiers[rows]
    return found


def verifier_module(reference: str) -> tuple[str, str]:
    """Module and function of `module:function`.

    Raises:
        ValueError: it is written otherwise.
    """
    module, colon, function = reference.partition(":")
    if not (colon and module and function.isidentifier()):
        raise ValueError(f"{reference!r} must be module:function")
    return module, function


def load_verifier(reference: str) -> Verifier:
    """A function of a module, which is looked for as plug-ins are.

    Raises:
        UserError: there is no such module or function.
    """
    module, name = verifier_module(reference)
    import_plugins([module])
    function = getattr(importlib.import_module(module), name, None)
    if not callable(function):
        raise UserError("task.verifier", reference, f"has no function {name}: define it there")
    return function  # type: ignore[no-any-return]


def asked(verifier: Verifier, reference: str, given: Any, answer: Any) -> bool:
    """What a user's function says.

    Raises:
        UserError: it raises.
    """
    try:
        return bool(verifier(given, answer))
    except Exception as error:  # whatever a user's function does
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError("task.verifier", reference, f"raises {reason}: mend it") from error
