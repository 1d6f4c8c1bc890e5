"""Search for the config that trains reliably: sweeps, their stability, and what runs say.

    import search

    run = search.sweep("my.yaml", out="runs/mine")
    run.best().promise.mean
    search.status("runs/mine")["stages"]

Nothing is imported before it is used: `import search` alone loads neither Ray nor torch.

>>> import search
>>> search.read_config("arrows4").default.task.name
'arrows'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.analysis.compare import compare
    from search.analysis.diagnosis import diagnose_folder
    from search.analysis.fidelity import fidelity
    from search.analysis.importance import importance
    from search.analysis.run_logs import run_events, trial_story
    from search.analysis.status import status
    from search.config.config import Config, read_config
    from search.config.file import presets
    from search.config.sinks import LOG_SINKS
    from search.report.write import write_report
    from search.samplers import SAMPLERS
    from search.schedulers import SCHEDULERS
    from search.stability.ablations import ablate
    from search.stability.sensitivity import sensitivity
    from search.sweep.launch import sweep
    from search.sweep.run import Run
    from search.sweep.stages import LimitReachedError, NoWinnerError
    from search.sweep.stop import stop_run

__all__ = [
    "LOG_SINKS",
    "SAMPLERS",
    "SCHEDULERS",
    "Config",
    "LimitReachedError",
    "NoWinnerError",
    "Run",
    "ablate",
    "compare",
    "diagnose_folder",
    "fidelity",
    "importance",
    "presets",
    "read_config",
    "run_events",
    "sensitivity",
    "status",
    "stop_run",
    "sweep",
    "trial_story",
    "write_report",
]

_HOMES = {
    "LOG_SINKS": "search.config.sinks",
    "SAMPLERS": "search.samplers",
    "SCHEDULERS": "search.schedulers",
    "Config": "search.config.config",
    "LimitReachedError": "search.sweep.stages",
    "NoWinnerError": "search.sweep.stages",
    "Run": "search.sweep.run",
    "ablate": "search.stability.ablations",
    "compare": "search.analysis.compare",
    "diagnose_folder": "search.analysis.diagnosis",
    "fidelity": "search.analysis.fidelity",
    "importance": "search.analysis.importance",
    "presets": "search.config.file",
    "read_config": "search.config.config",
    "run_events": "search.analysis.run_logs",
    "sensitivity": "search.stability.sensitivity",
    "status": "search.analysis.status",
    "stop_run": "search.sweep.stop",
    "sweep": "search.sweep.launch",
    "trial_story": "search.analysis.run_logs",
    "write_report": "search.report.write",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "sweep":
        # The room takes the call: a function in its place would hide the room's modules.
        return import_module("search.sweep")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
