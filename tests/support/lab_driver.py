"""A sweep's driver in a laboratory: real stages and engine, toy trainings, and a record of it all.

python -P -c "...; main(*sys.argv[1:])" RUN_FOLDER TOLD ADDRESS
"""

from __future__ import annotations

import sys
from pathlib import Path

from search.config.plan import read_plan
from search.engine.driver import Runner, driving
from search.engine.presence import present_in
from search.ledger.ledger import Ledger
from search.ledger.reader import holds_ledger
from tests.support.folders import ROOT
from tests.support.killable import Stages
from tests.support.paced_training import FACTORY
from tests.support.told import Telling


def drive(folder: Path, told: Path, address: str) -> None:
    """Go on with the run in a folder to its end."""
    plan = read_plan(folder)
    runner = Runner(address, display=Telling(told), factory=FACTORY, path=[str(ROOT)])
    with (
        present_in(folder) as presence,
        Ledger.open(folder) if holds_ledger(folder) else Ledger.create(folder) as ledger,
        driving(plan, ledger, runner, presence) as driver,
    ):
        stages = Stages(plan, ledger)
        if stages.has_work():
            driver.run(stages)
        stages.close()
        assert stages.result is not None
        stages.result.save(folder)


if __name__ == "__main__":
    drive(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
