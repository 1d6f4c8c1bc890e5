"""Imports of heavy packages at the start of a process that needs them to its end."""

from __future__ import annotations

import gc
import sys
from importlib import import_module


def load(module: str) -> None:
    """Import a module, and all that it imports, without looking for garbage.

    What an import makes stays. Python's collector would look through it time and again, and once
    more as the process ends: 0.7 s of the CPU time of a training's first step, where torch is what
    is imported. From then on the collector leaves it out. Does nothing where the module is there.

    >>> load("trm.training.loading")
    """
    if module in sys.modules:
        return
    at_work = gc.isenabled()
    gc.disable()
    try:
        import_module(module)
        gc.freeze()
    finally:
        if at_work:
            gc.enable()
