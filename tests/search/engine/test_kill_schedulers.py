"""`kill -9` of drivers and workers of real sweeps with every scheduler, each time resumed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from search.config.plan import write_plan
from tests.support.folders import ROOT

DRIVER = (
    "import sys; from pathlib import Path; from tests.support import killable;"
    "killable.drive(Path(sys.argv[1]))"
)
RANDOM = ("driver", "worker", "both")
"""Whom a kill hits at a random moment: `driver` leaves its Ray to the kernel and the reaper."""
CHOSEN = ("saved", "acknowledged", "begun", "ending", "ended", "drawing")
"""Moments: `saved` is a worker's, between its checkpoint and its report, the others a driver's."""
PAUSES = ("pausing", "paused", "promoting")


@pytest.fixture
def killable(monkeypatch: pytest.MonkeyPatch) -> Any:
    import tests.support.killable as module

    return module


@dataclass
class Assault:
    """A sweep under kills, and what was seen of it from outside."""

    killable: Any
    folder: Path
    dice: random.Random
    driver: subprocess.Popen[str] | None = None
    seen: Any = None
    kills: list[str] = field(default_factory=list)
    starts: int = 0

    def start(self) -> None:
        self.driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(self.folder)],
            cwd=self.folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.starts += 1

    def look(self) -> None:
        before, self.seen = self.seen, self.killable.look(self.folder)
        if before is not None:
            self.killable.assert_kept(before, self.seen)

    def await_reports(self, count: int) -> bool:
        """Wait until so many more are acknowledged; false if the sweep ends before."""
        assert self.driver is not None
        goal = len(self.seen.rows) + count
        while len(self.seen.rows) < goal:
            if self.driver.poll() is not None:
                return False
            time.sleep(0.05)
            self.look()
        time.sleep(self.dice.uniform(0.0, 0.3))
        return self.driver.poll() is None

    def strike(self, kill: str) -> None:
        """Kill as named, unless the sweep ends before; a dead driver is followed by the next."""
        if self.driver is None:
            self.start()
        assert self.driver is not None
        family = []
        if kill in self.killable.MOMENTS:
            order = self.folder / "order"
            order.write_text(f"{kill} {self.dice.randint(1, 3)}")
            order.rename(self.folder / self.killable.DIE_AT)
            if self.driver.wait(timeout=600) == 0:
                return
        elif not self.await_reports(self.dice.randint(1, 8)):
            return
        else:
            me = psutil.Process(self.driver.pid)
            family = [child for child in me.children(recursive=True) if not _is("reaper.py", child)]
            workers = [c for c in family if _is("ray::T", c) or _is("ray::ResourceTrainable", c)]
            if kill == "saved":
                (self.folder / "die-after-saving").touch()
            elif kill == "worker":
                self.dice.choice(workers).kill()
            else:
                self.driver.kill()
                for child in family if kill == "both" else ():
                    child.kill()
        self.kills.append(kill)
        if kill in ("saved", "worker"):
            self.await_reports(2)
            return
        self.driver.wait()
        self.driver = None
        self.look()
        self.killable.assert_can_go_on(self.folder, self.seen)
        _, left = psutil.wait_procs(family, timeout=60)
        assert not left

    def finish(self) -> None:
        if self.driver is None:
            self.start()
        assert self.driver is not None
        said = self.driver.communicate(timeout=600)[0]
        assert (self.driver.returncode, said) == (0, "")
        self.look()


def _is(word: str, process: psutil.Process) -> bool:
    try:
        return word in " ".join(process.cmdline())
    except psutil.Error:
        return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("scheduler", "kills"),
    [
        pytest.param("halving", ["pausing", "worker"], marks=pytest.mark.slow),
        pytest.param("asha", ["both"], marks=pytest.mark.slow),
        *(
            pytest.param(name, [*RANDOM, *CHOSEN, *(PAUSES if name == "halving" else ())], id=name,
                         marks=pytest.mark.slow)
            for name in ("asha", "hyperband", "median", "halving", "none", "pbt")
        ),
    ],
)  # fmt: skip
def test_killed_sweeps_lose_and_repeat_nothing(
    scheduler: str, kills: list[str], killable: Any, tmp_path: Path
) -> None:
    plan = killable.resolved(scheduler, trials=6 + 2 * len(kills), pause=150)
    folder = tmp_path / "run"
    folder.mkdir()
    write_plan(folder, plan)
    dice = random.Random(f"{scheduler} {kills}")
    assault = Assault(killable, folder, dice, seen=killable.look(folder))
    kills = list(kills)
    if len(kills) > 2:
        dice.shuffle(kills)
    print(scheduler, kills)
    try:
        for kill in kills:
            assault.strike(kill)
        assault.finish()
    finally:
        if assault.driver is not None:
            assault.driver.kill()
    facts = killable.assert_finished(folder, plan)
    trials = facts.trials.values()
    assert len(assault.kills) >= len(kills) - 1, "the sweep ended before it could be killed"
    resumed = [key for key, row in facts.rows.items() if row["attempt"] > 1 and key[1] > 1]
    assert resumed, "no trial went on from a checkpoint: the test showed nothing"
    assert sum(t.preempted for t in trials) >= sum(k in ("worker", "saved") for k in assault.kills)
    print(
        f"{scheduler}: kills {assault.kills}, {assault.starts} drivers, {len(trials)} trials, "
        f"{len(facts.rows)} rows compared, {len(resumed)} of them by resumed attempts"
    )
