"""The example of each kind of plug-in passes the suite of its kind, and stays short."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from curricula.component import by_name
from curricula.depth import DEPTH_SCHEDULES
from curricula.published import CURRICULA
from search.config.sinks import LOG_SINKS
from search.samplers import SAMPLERS
from search.schedulers import SCHEDULERS
from search.testing import check_sampler, check_scheduler, check_sink
from search.testing.samplers import SPACES
from tests.support.plugin_folder import EXAMPLES, working_in
from trm.learning.halting import HALTING_RULES
from trm.learning.optimizers import OPTIMIZERS
from trm.network.transfer import STATE_TRANSFERS
from trm.plugins import import_plugins
from trm.tasks import TASKS
from trm.testing import (
    check_detector,
    check_halting,
    check_loss,
    check_mixer,
    check_optimizer,
    check_positions,
    check_schedule,
    check_task,
    check_transfer,
)

LINES = 67


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """`example("parity_task")`: import one of the examples for as long as the test lasts."""
    with working_in(tmp_path, monkeypatch):
        yield lambda name: import_plugins([name], [EXAMPLES])


Example = Callable[[str], None]


def nearby() -> None:
    for space in SPACES.values():
        check_sampler(by_name(SAMPLERS, {"name": "nearby", "n_startup_trials": 3}), 1, space)


def worst() -> None:
    config: Any = by_name(SCHEDULERS, "worst")
    for workers, cut in ((1, 40), (2, 40), (5, None)):
        check_scheduler(config, 2, workers, cut)


def wave() -> None:
    check_schedule(by_name(DEPTH_SCHEDULES, {"name": "wave", "waves": 3}))
    check_schedule(by_name(CURRICULA, "wave"))


CHECKS: dict[str, Callable[[], None]] = {
    "parity_task": lambda: check_task(by_name(TASKS, "parity")),
    "shift_mixer": lambda: check_mixer("shift"),
    "sine_positions": lambda: check_positions("sine"),
    "lazy_transfer": lambda: check_transfer(by_name(STATE_TRANSFERS, "lazy")),
    "focal_loss": lambda: check_loss("focal"),
    "patient_halting": lambda: check_halting(by_name(HALTING_RULES, {"name": "patient"})),
    "lion_optimizer": lambda: check_optimizer(by_name(OPTIMIZERS, "lion")),
    "stalled_detector": lambda: check_detector("stalled"),
    "wave_curriculum": wave,
    "nearby_sampler": nearby,
    "worst_scheduler": worst,
    "csv_log": lambda: check_sink(by_name(LOG_SINKS, "csv")),
}


@pytest.mark.parametrize("name", CHECKS)
def test_it_conforms(name: str, example: Example) -> None:
    example(name)
    CHECKS[name]()


def test_every_example_is_tried_and_short() -> None:
    files = {file.stem: file.read_text() for file in EXAMPLES.glob("*.py")}
    assert files.keys() == CHECKS.keys()
    assert files["parity_task"].count("\n") <= 40
    for name, text in files.items():
        assert text.count("\n") <= LINES, name
        assert text.startswith(('"""A', '"""Positions')), name
