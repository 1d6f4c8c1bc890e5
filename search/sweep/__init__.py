"""The sweep as a whole: its stages in order, its dry run, and the run that users hold.

`search.sweep(config)` is the call, and so is `search.sweep.sweep(config)`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.sweep.launch import stability, sweep
    from search.sweep.run import Run
    from search.sweep.stages import LimitReachedError, NoWinnerError

__all__ = ["LimitReachedError", "NoWinnerError", "Run", "stability", "sweep"]

_HOMES = {
    "LimitReachedError": "stages",
    "NoWinnerError": "stages",
    "Run": "run",
    "stability": "launch",
    "sweep": "launch",
}


def __getattr__(name: str) -> Any:
    """Names are imported when they are asked for: reading one room costs no Ray."""
    if name in _HOMES:
        return getattr(import_module(f"search.sweep.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'search.sweep' has no attribute {name!r}")


class _Room(ModuleType):
    """Python binds a room's name to its module, so the module itself has to take the call."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return sys.modules[__name__].sweep(*args, **kwargs)


sys.modules[__name__].__class__ = _Room
