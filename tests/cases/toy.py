"""Toy trainings that machines trouble, and their driver: `toy.py RUN CONFIGS PARALLEL`.

CONFIGS is a JSON list with a mapping a trial: `sleep` (seconds a mark), `sticky` (a CUDA context
that is broken from then on), `full` (a disk that is full once), `litter` (a stray file beside the
checkpoints).
"""

from __future__ import annotations

import errno
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trm.report import COLUMNS, Report

_ZERO: dict[str, Any] = {"int": 0, "float": 0.0, "bool": False}
_broken = False


class Toy:
    def __init__(self, job: Any) -> None:
        self.job, self.mark, self.config = job, 0, job.config
        if _broken:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    @property
    def finished(self) -> bool:
        return self.mark >= len(self.job.marks)

    def run(self) -> Iterator[Report]:
        global _broken
        while not self.finished:
            time.sleep(self.config.get("sleep", 0))
            self.mark += 1
            if self.mark == 2 and "sticky" in self.config:
                _broken = True
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            share = self.job.marks[self.mark - 1]
            values = {name: _ZERO[column.kind] for name, column in COLUMNS.items()}
            values |= {
                "mark": self.mark,
                "step": self.mark,
                "compute": self.job.budget * share,
                "progress": share,
                "exact_accuracy": 0.5,
            }
            yield Report(**values)

    def save(self, folder: Path) -> None:
        full = Path(self.job.folder, f"full-{self.job.trial}")
        if "full" in self.config and self.mark == 2 and not full.exists():
            full.touch()
            raise OSError(errno.ENOSPC, "No space left on device", str(folder))
        folder.mkdir(parents=True)
        (folder / "mark").write_text(str(self.mark))
        if "litter" in self.config and self.mark == 1:
            (folder.parent.parent / ".DS_Store").touch()

    def load(self, folder: Path) -> None:
        self.mark = int((folder / "mark").read_text())

    def provenance(self) -> dict[str, Any]:
        return {"data_hash": "toy"}

    def findings(self) -> list[dict[str, Any]] | None:
        return None


class Source:
    floor = 0.0

    def __init__(self, ledger: Any) -> None:
        self.waiting = [trial for trial in ledger.trials.values() if trial.outcome is None]

    def next(self) -> Any:
        return self.waiting.pop(0) if self.waiting else None

    def exhausted(self) -> bool:
        return not self.waiting

    def score(self, row: Any) -> Any:
        return row["exact_accuracy"]

    def on_report(self, trial: Any, row: Any) -> str:
        return "continue"

    def on_end(self, trial: Any) -> None:
        pass


def main(run: str, configs: str, parallel: str) -> int:
    from cluster.connect import connected
    from search.engine.ray_tune import run_trials
    from search.ledger.ledger import Ledger
    from search.ledger.reader import holds_ledger

    folder = Path(run)
    try:
        with Ledger.open(folder) if holds_ledger(folder) else Ledger.create(folder) as ledger:
            if not ledger.trials:
                for seed, config in enumerate(json.loads(configs)):
                    ledger.add_trial(stage="explore", params={}, config=config, seed=seed)
            with connected(cpus=int(parallel)):
                print("connected", flush=True)
                run_trials(
                    Source(ledger), ledger, parallel=int(parallel), budget=1e9,
                    marks=(0.25, 0.5, 0.75, 1.0), path=[str(Path(__file__).parent)],
                    factory="toy:Toy",
                )  # fmt: skip
            for trial in ledger.trials.values():
                print(trial.id, trial.outcome, trial.attempts, trial.reason[:80])
    except KeyboardInterrupt:
        print("interrupted cleanly", flush=True)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
