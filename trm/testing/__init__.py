"""Conformance suites for authors of plug-ins: one call for each kind of component.

Each raises an AssertionError or a UserError, in one line, for the first promise that is broken.
Samplers, schedulers and log sinks have theirs in `search.testing`.
"""

from curricula.conformance import check as check_schedule
from trm.testing.detectors import check_detector
from trm.testing.learning import check_halting, check_loss, check_optimizer
from trm.testing.network import check_mixer, check_positions, check_transfer
from trm.testing.tasks import check_task

__all__ = [
    "check_detector",
    "check_halting",
    "check_loss",
    "check_mixer",
    "check_optimizer",
    "check_positions",
    "check_schedule",
    "check_task",
    "check_transfer",
]
