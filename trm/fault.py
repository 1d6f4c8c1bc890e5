"""A component that breaks its contract, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from trm.errors import UserError


class Fault(UserError):
    """What a component gave, and what its contract asks for.

    >>> str(Fault("mixer 'mine'", "gives [2, 3] for [2, 4]", "keep the shape"))
    "mixer 'mine': gives [2, 3] for [2, 4]: keep the shape"
    """

    def __init__(self, component: str, found: str, remedy: str) -> None:
        super().__init__(f"{component}: {found}: {remedy}")


@contextmanager
def working(component: str, doing: str) -> Iterator[None]:
    """Turn whatever a component raises while it is tried into one line."""
    try:
        yield
    except Fault:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise Fault(component, f"fails {doing} ({reason[:300]})", "mend it") from error


def require(holds: bool, component: str, found: str, remedy: str) -> None:
    """
    Raises:
        Fault: it does not hold.
    """
    if not holds:
        raise Fault(component, found, remedy)
