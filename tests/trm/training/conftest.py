"""What tests of the trainer share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.trainers import Make
from trm.config import experiment_from
from trm.training.trainer import Trainer


@pytest.fixture
def make(tiny: Callable[..., dict[str, Any]], cache: Path) -> Make:
    """`make({"train.seed": 3}, marks=(0.5, 1.0))`: a trainer of the tiny experiment."""

    def trainer(changes: dict[str, Any] | None = None, **options: Any) -> Trainer:
        config = experiment_from(tiny(changes))
        return Trainer(config, options.pop("task", None) or config.task.build(cache), **options)

    return trainer
