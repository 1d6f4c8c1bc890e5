"""A trial's parameters in a line that is as wide as the terminal leaves it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console

from search.ledger.trial import Trial

LEARNING_RATE = "lr"
WIDE = 100
"""Columns where a line is not for a terminal."""


def terminal_width() -> int:
    """Columns of what a command prints, so that a line is one line."""
    return Console().width if sys.stdout.isatty() else WIDE


def parameters(trial: Trial, width: int = WIDE, order: Sequence[str] = ()) -> str:
    """A trial's parameters, as many as fit; the learning rate is always one of them.

    Args:
        width: columns.
        order: names that come first, in this order: a file's, or the most important first.

    >>> drawn = {"model.H_cycles": 2, "model.L_cycles": 3, "optimizer.lr": 0.00123}
    >>> trial = Trial(0, "explore", 0, 0, drawn, {})
    >>> parameters(trial)
    'H_cycles=2 L_cycles=3 lr=0.00123'
    >>> parameters(trial, 26), parameters(trial, 5)
    ('H_cycles=2 lr=0.00123 +1', 'lr=0.00123 +2')
    """
    known = [name for name in order if name in trial.params]
    names = [*known, *(name for name in trial.params if name not in known)]
    words = {name: _word(name, trial.params[name]) for name in names}
    rates = [name for name in names if _last(name) == LEARNING_RATE]
    kept = {name for name in names if name in rates}
    for name in names:
        more = kept | {name}
        left = len(names) - len(more)
        if len(" ".join(words[one] for one in more)) + _room(left) > width:
            break
        kept = more
    more_words = [f"+{len(names) - len(kept)}"] if len(kept) < len(names) else []
    return " ".join([words[name] for name in names if name in kept] + more_words)


def _room(left: int) -> int:
    """Columns of what says how many are not shown."""
    return len(f" +{left}") if left else 0


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _word(name: str, value: object) -> str:
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return f"{_last(name)}={text}"
