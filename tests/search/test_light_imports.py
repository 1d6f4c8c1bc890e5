"""Neither a reader of run folders nor a training waits for packages that it does not need."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from search.config.plan import write_plan
from search.ledger.ledger import Ledger
from tests.support.folders import RUNS_V1
from tests.support.planned import planned
from trm.report import COLUMNS

HEAVY = ("torch", "ray", "optuna", "scipy", "sklearn", "cmaes", "matplotlib", "plotly")

WHOLE = ("search.ledger", "search.objectives", "search.schedulers", "search.space", "search.stats")
"""Rooms of which every module is light."""

SINGLE = (
    "search.samplers",
    "search.analysis.status",
    "search.config.plan",
    "search.explore.candidates",
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
    "trm.files.yaml12",
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


def test_a_status_loads_no_heavy_package(tmp_path: Path) -> None:
    tree = {"task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 20,
                     "valid_examples": 8, "test_examples": 8},
            "optimizer": {"lr": {"loguniform": [1e-3, 1e-2]}}, "search": {"trials": 3}}  # fmt: skip
    plan = planned(tree)
    write_plan(tmp_path, plan)
    with Ledger.create(tmp_path) as ledger:
        for number, lr in enumerate((0.002, 0.005)):
            params = {"optimizer.lr": lr}
            ledger.add_trial(
                stage="explore", params=params, config=plan.space.apply(params), seed=plan.seed
            )
            ledger.begin_attempt(number)
            ledger.acknowledge(number, 1, {**dict.fromkeys(COLUMNS, 0), "mark": 1})
            ledger.finish(number, "completed", 0.3 + lr)
    assert_light_status(tmp_path, "2 completed", "0.3050")


def test_a_status_of_a_run_of_version_1_loads_no_heavy_package(tmp_path: Path) -> None:
    run = shutil.copytree(RUNS_V1 / "finished", tmp_path / "run")
    # scipy: two of its functions say how sure the promise is.
    assert_light_status(run, "winner: trial 3", but=("scipy",))


def assert_light_status(run: Path, *words: str, but: tuple[str, ...] = ()) -> None:
    heavy = sorted({*HEAVY, "scipy.stats"} - set(but))
    program = (
        "import sys, search.cli; code = search.cli.main(['status', sys.argv[1]]); "
        f"sys.exit(code or str([name for name in {heavy} if name in sys.modules] or ''))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(run)], capture_output=True, text=True, timeout=60
    )
    assert done.stderr.strip() == "", done.stderr
    assert all(word in done.stdout for word in words), done.stdout


UNTRAINED = (
    "ray", "optuna", "scipy", "sklearn", "pandas", "cmaes", "matplotlib", "plotly", "wandb",
    "tensorboard", "sympy", "torch._dynamo", "torch._inductor", "torch.onnx", "torch.fx.passes",
)  # fmt: skip
"""What no training needs that nothing compiles, where `import torch` itself does not load it."""

TRAINING = """
import json, sys, torch
from pathlib import Path
unneeded = set(json.loads(sys.argv[1])) - set(sys.modules)
tree, folder = json.loads(sys.argv[2]), sys.argv[3]
from search.cli import main
from search.engine.job import Job, build_trainer
sets = [word for key, value in tree.items() for word in ("--set", f"{key}={json.dumps(value)}")]
for more in ([], ["--resume", "--set", "train.budget.steps=3"]):
    assert main(["train", "arrows4", "--out", f"{folder}/train", *sets, *more]) == 0
from trm.files.yaml12 import read_yaml
config = read_yaml(Path(folder, "train", "config.yaml"))
for optimizer in ("adamw", "adam_atan2"):
    config["optimizer"]["name"] = optimizer
    job = Job(folder, 0, 0, config, seed=1, budget=1e7, marks=(0.5, 1.0))
    training = build_trainer(job)
    assert len([*training.run()])
    training.save(Path(folder, optimizer))
    training.load(Path(folder, optimizer))
print(json.dumps(sorted(unneeded & set(sys.modules))))
"""


def test_a_training_loads_no_package_that_it_does_not_need(tmp_path: Path) -> None:
    small = {
        "task.size": 3, "task.visited": [2, 4], "task.train_examples": 20,
        "task.valid_examples": 8, "task.test_examples": 8, "train.batch_size": 4,
        "train.budget.steps": 2, "train.reports": 1, "train.threads": 1,
    }  # fmt: skip
    arguments = [json.dumps(UNTRAINED), json.dumps(small), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
