"""CPU time of a new process that trains one step: of this tree, and of an older commit beside it.

Data and the compiled library are there. A row is the median, over turns that alternate between the
trees, of the user and system time of a whole process: imports, trainer, one step, its report, which
evaluates and probes, and the end. `import torch` is the floor of any training, `ray.tune` that of a
sweep's worker. `BEFORE=<commit> ROUNDS=9 python -m tests.benchmarks first_step` chooses.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.benchmarks.older_tree import tree_of
from tests.benchmarks.step import preset
from tests.support.folders import ROOT

BEFORE = os.environ.get("BEFORE", "73d6816")
ROUNDS = int(os.environ.get("ROUNDS", "9"))

TRAIN = """
import sys
from search.cli import main
sets = ("train.budget.steps=1", "train.reports=1", "train.valid_examples=8", "train.threads=1")
words = ["train", "arrows4", "--out", sys.argv[1] + "/run"]
sys.exit(main([*words, *(word for setting in sets for word in ("--set", setting))]))
"""
WORKER = """
import json, sys
from search.engine.job import Job, build_trainer
job = Job(sys.argv[1], 0, 0, json.loads(sys.argv[2]), seed=0, budget=1.0, marks=(1.0,))
[report] = build_trainer(job).run()
assert report.step == 1
"""
PROGRAMS = {
    "import torch": "import torch",
    "a sweep's worker without Ray, one step": WORKER,
    "`trm train arrows4`, one step": TRAIN,
    "import ray.tune": "import ray.tune",
    "a sweep's worker, one step": f"import ray.tune\n{WORKER}",
}
"""By what is measured: a program, given a folder of its own and the worker's config."""


def seconds(program: str, cache: Path, tree: Path = ROOT) -> float:
    """User and system seconds of a process that imports from a tree, and of what it starts."""
    config = preset("arrows4")
    config["train"] = {**config["train"], "valid_examples": 8, "threads": 1}
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", program, folder, json.dumps(config)],
            env={
                **os.environ, "PYTHONPATH": str(tree), "TRM_CACHE": str(cache),
                "OMP_NUM_THREADS": "1",
            },
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr is not None
        with process.stderr as stream:
            said = stream.read().decode()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said
    return used.ru_utime + used.ru_stime


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        trees, cache = [ROOT], Path(folder, "cache")
        old = tree_of(BEFORE, Path(folder) / "before")
        if old is None:
            print(f"{BEFORE} is not in the history: nothing to stand beside")
        else:
            trees.insert(0, old)
        print("| CPU seconds | before | after | ratio |\n|---|---|---|---|")
        for name, program in PROGRAMS.items():
            spent: list[list[float]] = [[] for _ in trees]
            for turn in range(ROUNDS + 1):  # the first writes byte code, data and the library
                order = [*range(len(trees))][:: 1 if turn % 2 else -1]
                for index in order:
                    used = seconds(program, cache, trees[index])
                    if turn:
                        spent[index].append(used)
            found = [median(of_tree) for of_tree in spent]
            before = f"{found[0]:.2f}" if old else ""
            ratio = f"{found[0] / found[-1]:.2f}" if old else ""
            low, high = min(spent[-1]), max(spent[-1])
            print(
                f"| {name} | {before} | {found[-1]:.2f} ({low:.2f}-{high:.2f}) | {ratio} |",
                flush=True,
            )
