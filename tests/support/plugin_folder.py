"""A working directory that holds plug-ins, and installed packages that name some."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import trm.plugins
from curricula.depth import DEPTH_SCHEDULES
from curricula.published import CURRICULA
from search.config.sinks import LOG_SINKS
from search.samplers import SAMPLERS
from search.schedulers import SCHEDULERS
from trm.detectors import DETECTORS
from trm.learning.halting import HALTING_RULES
from trm.learning.losses import TOKEN_LOSSES
from trm.learning.optimizers import OPTIMIZERS
from trm.network.mixers import MIXERS
from trm.network.positions import POSITIONS
from trm.network.transfer import STATE_TRANSFERS
from trm.tasks import TASKS

EXAMPLES = Path(__file__).with_name("plugins")
"""A plug-in of each kind, a file each."""

REGISTRIES: tuple[dict, ...] = (  # type: ignore[type-arg]
    TASKS, MIXERS, POSITIONS, STATE_TRANSFERS, TOKEN_LOSSES, HALTING_RULES, OPTIMIZERS, DETECTORS,
    CURRICULA, DEPTH_SCHEDULES, SAMPLERS, SCHEDULERS, LOG_SINKS,
)  # fmt: skip


@contextmanager
def working_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder; what is imported from it and registered is forgotten afterwards."""
    monkeypatch.chdir(folder)
    # Folders that an earlier test of this process has let plug-ins be found in do not count here.
    path = [place for place in sys.path if place not in trm.plugins._ADDED]
    monkeypatch.setattr(sys, "path", path)
    monkeypatch.setattr(trm.plugins, "_ADDED", set())
    modules = set(sys.modules)
    before = [dict(registry) for registry in REGISTRIES]
    yield folder
    for name in set(sys.modules) - modules:
        home = str(getattr(sys.modules[name], "__file__", None))
        if str(folder) in home or str(EXAMPLES) in home:
            del sys.modules[name]
    for registry, entries in zip(REGISTRIES, before, strict=True):
        registry.clear()
        registry.update(entries)


def install(site: Path, package: str, entry_points: dict[str, str]) -> None:
    """What pip leaves of a package that has these entry points, by name: `site` is on the path."""
    info = site / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {module}" for name, module in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[trm.plugins]", *lines, ""]))
