"""What every task promises, in one call for the tests of ours and of plug-ins.

`trm tasks test my_module:MyConfig` goes through the same promises, a line each.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trm.errors import UserError
from trm.tasks.base import Progress, Task, TaskConfig
from trm.testing.sections import no_global_randomness
from trm.testing.task_checks import CHECKS, Tried

BUILDING = "building"
"""The name of the check that a task can be built at all; the others need what it gives."""


@dataclass(frozen=True)
class CheckResult:
    """What one check of a task says.

    Attributes:
        check: its name.
        promise: what it looks at.
        fault: what is wrong and how to mend it, in a line; None if it holds.
    """

    check: str
    promise: str
    fault: str | None


def check_task(config: TaskConfig) -> None:
    """Build a task three times, and hold its data, rules and symmetries against the contract.

    Give it a small config: every example's symmetry key is looked at.

    Raises:
        AssertionError: the first promise that the task breaks, in a line.

    >>> from trm.tasks.arrows import ArrowsConfig
    >>> check_task(ArrowsConfig(train_examples=40, valid_examples=5, test_examples=5))
    """
    for finding in examined(config):
        assert finding.fault is None, f"{finding.check}: {finding.fault}"


def examined(config: TaskConfig, progress: Progress | None = None) -> Iterator[CheckResult]:
    """What each check says, as they are made; only the first one if the task cannot be built.

    >>> from trm.tasks.arrows import ArrowsConfig
    >>> small = ArrowsConfig(train_examples=40, valid_examples=5, test_examples=5)
    >>> [finding.check for finding in examined(small)][:4]
    ['building', 'section', 'arrays', 'determinism']
    """
    built: list[Tried] = []
    with tempfile.TemporaryDirectory() as folder:
        yield _finding(
            BUILDING, lambda: built.append(_tried(config, Path(folder), progress)), _tried.__doc__
        )
        for tried in built:
            for name, check in CHECKS.items():
                yield _finding(name, partial(check, tried), check.__doc__)


def _tried(config: TaskConfig, folder: Path, progress: Progress | None) -> Tried:
    """Is made from its config alone, and tells of its progress in shares from 0 to 1."""
    told: list[float] = []

    def tell(words: str, share: float) -> None:
        told.append(share)
        if progress is not None:
            progress(words, share)

    tried = Tried(config, config.build(folder, tell), config.build(folder), config.build())
    for task in (tried.task, tried.cached, tried.anew):
        if not isinstance(task, Task):
            raise UserError(f"build() gives {type(task).__name__}: give a Task")
    outside = [share for share in told if not 0.0 <= share <= 1.0]
    if outside:
        raise UserError(f"progress is told a share of {outside[0]}: give shares from 0 to 1")
    return tried


def _finding(name: str, check: Callable[[], None], promise: str | None) -> CheckResult:
    fault = None
    try:
        with no_global_randomness():
            fault = _fault(check)
    except AssertionError as error:
        fault = fault or str(error)
    return CheckResult(name, (promise or "").strip(), fault)


def _fault(check: Callable[[], None]) -> str | None:
    """What a check says, in a line; None if it holds."""
    try:
        check()
    except UserError as error:
        return " ".join(str(error).split())
    except Exception as error:  # whatever an author's code does
        return " ".join(f"fails with {type(error).__name__} {error}: mend it".split())
    return None
