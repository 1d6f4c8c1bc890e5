"""Whether a scheduler decides as it may."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, get_args

from search.schedulers.pbt import PbtConfig
from search.schedulers.scheduler import Decision, EarlyStoppingConfig, SchedulerConfig
from trm.fault import require, working

_METHODS = ("on_report", "on_end", "promote", "close", "replay")


def require_scheduler(config: SchedulerConfig) -> None:
    """Look at a scheduler's marks, and at what it builds, before anything starts.

    Raises:
        Fault: it is of no kind that a sweep can run, its marks are no rising shares of a run, or it
            lacks a method.
    """
    component = f"scheduler {config.name!r}"
    require(
        isinstance(config, EarlyStoppingConfig | PbtConfig), component,
        f"is a {type(config).__name__}", "derive it from EarlyStoppingConfig",
    )  # fmt: skip
    with working(component, "to say when it decides"):
        require_marks(component, config.marks(False))
    if isinstance(config, EarlyStoppingConfig):
        with working(component, "to be built"):
            built: Any = config.build(False)
        lacking = [method for method in _METHODS if not hasattr(built, method)]
        require(
            not lacking, component, f"build() gives a {type(built).__name__} without {lacking}",
            "give a Scheduler",
        )  # fmt: skip
        require_marks(component, built.shares)


def require_marks(component: str, marks: Sequence[float]) -> None:
    """
    Raises:
        Fault: they are not rising shares of a run, the last 1.
    """
    shares = list(marks)
    require(
        bool(shares) and shares == sorted(set(shares)) and shares[0] > 0.0 and shares[-1] == 1.0,
        component, f"decides at {shares}", "give rising shares of a run above 0, the last 1.0",
    )  # fmt: skip


def require_decision(name: str, decision: Any) -> Decision:
    """What a scheduler says of a report, if it may.

    Raises:
        Fault: it is none of the three decisions.
    """
    known = get_args(Decision)
    require(
        decision in known, f"scheduler {name!r}", f"on_report() gives {decision!r}",
        f"answer with one of {', '.join(known)}",
    )  # fmt: skip
    return decision  # type: ignore[no-any-return]


def require_waiting(name: str, number: Any, waiting: Collection[int]) -> int:
    """A trial that a scheduler promotes or gives up, if it waits.

    Raises:
        Fault: it does not, or there is none of that number.
    """
    require(
        number in waiting, f"scheduler {name!r}",
        f"gives trial {number!r}, which does not wait", "give one that it has paused, or None",
    )  # fmt: skip
    return int(number)
