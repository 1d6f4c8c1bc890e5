"""What reads a run folder (`trm status`, a sweep's sections) waits for no heavy package."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = ("torch", "ray", "optuna", "scipy", "sklearn", "cmaes", "matplotlib", "plotly")

WHOLE = ("search.ledger", "search.objectives", "search.schedulers", "search.space", "search.stats")
"""Rooms of which every module is light."""

SINGLE = (
    "search.samplers",
    "search.config.sections",
    "search.stability.response",
    "search.stability.result",
    "search.analysis.diagnosis",
    "search.logs.terminal",
    "trm.detectors",
    "trm.diagnostics",
    "trm.provenance",
    "trm.report",
    "trm.tasks",
    "trm.yaml12",
)

PROGRAM = """
import importlib, json, pkgutil, sys, traceback

heavy, whole, single = json.loads(sys.argv[1])
askers = {}


class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in heavy and name not in askers:
            stack = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_stack(None)]
            ours = [name for name in stack if name.startswith(("search", "trm", "curricula"))]
            askers[name] = ours[0] if ours else stack[-1]


sys.meta_path.insert(0, Watch())
names = [*single]
for room in whole:
    package = importlib.import_module(room)
    names += [found.name for found in pkgutil.walk_packages(package.__path__, room + ".")]
for name in names:
    importlib.import_module(name)
    loaded = {package: askers.get(package) for package in heavy if package in sys.modules}
    if loaded:
        print(json.dumps([name, loaded]))
        break
else:
    print(json.dumps(len(names)))
"""


def test_reading_loads_no_heavy_package() -> None:
    argument = json.dumps([HEAVY, WHOLE, SINGLE])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, argument], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, int), f"{found[0]} loads (package: by whom) {found[1]}"
    assert found > len(SINGLE) + len(WHOLE), "the rooms' modules were not found"
