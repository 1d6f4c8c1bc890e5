"""CPU time until a command has answered: of this tree, and of an older commit beside it.

Every row is the median, over turns that alternate between the two trees, of a new process's user
and system time, which other work on the machine disturbs less than the clock. `python -c pass` is
what Python itself takes of it. `BEFORE=<commit> ROUNDS=21 python -m tests.benchmarks startup`
chooses; without that commit in the history, this tree stands alone.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from search.config.plan import read_plan, write_plan
from search.ledger.files import RUN_FILE
from tests.benchmarks.older_tree import tree_of
from tests.support.folders import ROOT, RUNS_V1

BEFORE = os.environ.get("BEFORE", "985f0af")
ROUNDS = int(os.environ.get("ROUNDS", "9"))
_TRM = "import sys; from search.cli import main; sys.exit(main(sys.argv[1:]))"
_WHERE = "import search; print(search.__file__)"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        first = Path(shutil.copytree(RUNS_V1 / "finished", Path(folder) / "first"))
        run = _of_today(Path(shutil.copytree(first, Path(folder) / "run")))
        trees = [ROOT]
        old = tree_of(BEFORE, Path(folder) / "before")
        if old is None:
            print(f"{BEFORE} is not in the history: nothing to stand beside")
        else:
            trees.insert(0, old)
        for tree in trees:
            assert Path(_child(tree, "-c", _WHERE)[1]).is_relative_to(tree)
        rows = {
            "python -c pass": ("-c", "pass"),
            "import search": ("-c", "import search"),
            "import trm": ("-c", "import trm"),
            "trm --help": ("-c", _TRM, "--help"),
            "trm sweep --help": ("-c", _TRM, "sweep", "--help"),
            "trm compare --help": ("-c", _TRM, "compare", "--help"),
            "trm status RUN": ("-c", _TRM, "status", str(run)),
            "trm status RUN, of version 1": ("-c", _TRM, "status", str(first)),
        }
        print("| CPU seconds | before | after | ratio |")
        print("|---|---|---|---|")
        for name, words in rows.items():
            found = _medians(trees, words)
            before = f"{found[0]:.3f}" if old else ""
            ratio = f"{found[0] / found[-1]:.1f}" if old else ""
            print(f"| {name} | {before} | {found[-1]:.3f} | {ratio} |", flush=True)


def _medians(trees: list[Path], words: tuple[str, ...]) -> list[float]:
    """By tree, after one uncounted turn each, which writes byte code and warms the disk's cache."""
    seconds: list[list[float]] = [[] for _ in trees]
    for turn in range(ROUNDS + 1):
        order = range(len(trees)) if turn % 2 == 0 else reversed(range(len(trees)))
        for index in order:
            spent, _ = _child(trees[index], *words)
            if turn:
                seconds[index].append(spent)
    return [statistics.median(of_tree) for of_tree in seconds]


def _child(tree: Path, *words: str) -> tuple[float, str]:
    """User and system seconds of a process that imports from a tree, and what it printed."""
    process = subprocess.Popen(
        [sys.executable, "-P", *words],
        env={**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as printed:
        text = printed.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    return used.ru_utime + used.ru_stime, text.strip()


def _of_today(run: Path) -> Path:
    """A run folder with all that today's sweeps note in its head, so that readers resolve nothing.

    Its numbers are those of version 1, which the older commit can read too.
    """
    plan = read_plan(run)
    (run / RUN_FILE).unlink()
    write_plan(run, plan)
    return run
