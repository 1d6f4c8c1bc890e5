"""An import whose objects the garbage collector never looks at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import gc, sys
from trm.training.loading import load
rounds = []
gc.callbacks.append(lambda phase, info: rounds.append(phase))
{before}
frozen = gc.get_freeze_count()
try:
    load("many_objects")
except ZeroDivisionError:
    print("failed")
print(gc.isenabled(), gc.get_freeze_count() - frozen > 50_000)
"""


def run(folder: Path, before: str = "", module: str = "") -> list[str]:
    made = "import __main__\nmade = [[] for _ in range(50_000)]\nprint(len(__main__.rounds))\n"
    (folder / "many_objects.py").write_text(made + module)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before)], capture_output=True, text=True,
        check=True, cwd=folder,
    )  # fmt: skip
    return done.stdout.split()


def test_what_an_import_makes_is_never_looked_through(tmp_path: Path) -> None:
    assert run(tmp_path) == ["0", "True", "True"]


def test_a_collector_that_rests_is_left_resting(tmp_path: Path) -> None:
    assert run(tmp_path, before="gc.disable()") == ["0", "False", "True"]


def test_a_module_that_is_there_changes_nothing(tmp_path: Path) -> None:
    found = run(tmp_path, before="import many_objects")
    assert int(found[0]) > 0
    assert found[1:] == ["True", "False"]


def test_the_collector_is_at_work_again_after_an_import_that_fails(tmp_path: Path) -> None:
    assert run(tmp_path, module="1 / 0") == ["0", "failed", "True", "False"]
