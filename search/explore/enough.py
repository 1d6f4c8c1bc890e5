"""How many configs must have run to their end before anything is said of all of them.

What a run's configs say together (importances, how rungs rank, a simulated sweep, what another hour
would bring) begins at this one number, in commands and on the report page.
"""

from __future__ import annotations

import math
import shlex

from trm.errors import UserError

FEWEST = 8
"""Configs that must have run to their end."""


def require_enough(have: int, where: str, need: str, wanted: int | None = None) -> None:
    """
    Args:
        have: configs that ran to their end.
        where: the run folder, or a recording.
        need: what it is that needs them.
        wanted: trials that the run is to have; None for what no sweep adds to.

    Raises:
        UserError: they are too few; it says how many are needed.

    >>> require_enough(3, "runs/mine", "importances", 4)
    Traceback (most recent call last):
        ...
    trm.errors.UserError: runs/mine: importances need 8 configs that ran to their end, and it has \
3: add trials with `trm sweep runs/mine/sweep.yaml --out runs/mine --resume --trials 14`
    """
    if have >= FEWEST:
        return
    words = f"{need} need {FEWEST} configs that ran to their end, and it has {have}"
    remedy = "record a larger sweep"
    if wanted is not None:
        remedy = f"add trials with `{more_trials(have, where, wanted)}`"
    raise UserError(where, None, f"{words}: {remedy}")


def more_trials(have: int, run: str, wanted: int) -> str:
    """The command that adds trials until there should be enough, if as large a share of them runs
    to its end as did, but between a half and an eighth.

    >>> more_trials(6, "runs/mine", 40)
    'trm sweep runs/mine/sweep.yaml --out runs/mine --resume --trials 54'
    """
    each = min(max(wanted / max(have, 1), 2.0), 8.0)
    trials, named = wanted + math.ceil(each * max(FEWEST - have, 1)), shlex.quote(run)
    config = shlex.quote(f"{run}/sweep.yaml")
    return f"trm sweep {config} --out {named} --resume --trials {trials}"
