"""Algebra on one thread: what trains needs the cores."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

import scipy.linalg  # noqa: F401  its library must be there to be found
from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[object]:
    """While it lasts, numpy's and scipy's algebra take one thread."""
    found: AbstractContextManager[object] = _libraries().limit(limits=1)
    return found


@cache
def _libraries() -> ThreadpoolController:
    """Looked for once: that takes longer than much of what is done on one thread."""
    return ThreadpoolController()
