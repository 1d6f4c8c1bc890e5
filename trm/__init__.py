"""Tiny Recursive Models: tasks, the network, training, and what a trained model can do.

    import trm

    training = trm.train("best.yaml", out="runs/mine")
    solver = trm.load("runs/mine")
    solver.evaluate("test").exact_accuracy

Nothing is imported before it is used: `import trm` alone loads neither torch nor pydantic.

>>> import trm
>>> trm.TASKS["sudoku"](box=[2, 2]).name
'sudoku'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curricula.component import Component
    from trm.config import Experiment
    from trm.detectors import DETECTORS
    from trm.detectors.detector import Detector, Finding
    from trm.diagnostics import describe, diagnose
    from trm.errors import UserError
    from trm.learning.halting_rules import HALTING_RULES, HaltingRule
    from trm.learning.losses import TOKEN_LOSSES
    from trm.learning.optimizers import OPTIMIZERS, OptimizerConfig
    from trm.network.mixers import MIXERS, Mixer
    from trm.network.positions import POSITIONS, Positions
    from trm.network.transfer import STATE_TRANSFERS, StateTransfer
    from trm.report import Report
    from trm.run.training import Stopped, Training, train
    from trm.solver import Solver, load
    from trm.tasks import TASKS
    from trm.tasks.base import Split, Task, TaskConfig
    from trm.training.trainer import Trainer

__all__ = [
    "DETECTORS",
    "HALTING_RULES",
    "MIXERS",
    "OPTIMIZERS",
    "POSITIONS",
    "STATE_TRANSFERS",
    "TASKS",
    "TOKEN_LOSSES",
    "Component",
    "Detector",
    "Experiment",
    "Finding",
    "HaltingRule",
    "Mixer",
    "OptimizerConfig",
    "Positions",
    "Report",
    "Solver",
    "Split",
    "StateTransfer",
    "Stopped",
    "Task",
    "TaskConfig",
    "Trainer",
    "Training",
    "UserError",
    "describe",
    "diagnose",
    "load",
    "train",
]

_HOMES = {
    "DETECTORS": "trm.detectors",
    "HALTING_RULES": "trm.learning.halting_rules",
    "MIXERS": "trm.network.mixers",
    "OPTIMIZERS": "trm.learning.optimizers",
    "POSITIONS": "trm.network.positions",
    "STATE_TRANSFERS": "trm.network.transfer",
    "TASKS": "trm.tasks",
    "TOKEN_LOSSES": "trm.learning.losses",
    "Component": "curricula.component",
    "Detector": "trm.detectors.detector",
    "Experiment": "trm.config",
    "Finding": "trm.detectors.detector",
    "HaltingRule": "trm.learning.halting_rules",
    "Mixer": "trm.network.mixers",
    "OptimizerConfig": "trm.learning.optimizers",
    "Positions": "trm.network.positions",
    "Report": "trm.report",
    "Solver": "trm.solver",
    "Split": "trm.tasks.base",
    "StateTransfer": "trm.network.transfer",
    "Stopped": "trm.run.training",
    "Task": "trm.tasks.base",
    "TaskConfig": "trm.tasks.base",
    "Trainer": "trm.training.trainer",
    "Training": "trm.run.training",
    "UserError": "trm.errors",
    "describe": "trm.diagnostics",
    "diagnose": "trm.diagnostics",
    "load": "trm.solver",
    "train": "trm.run.training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
