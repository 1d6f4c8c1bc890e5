"""A small real training run in pure Python: deterministic, seeded, with a state, and wilful.

Its config: `steps` a mark, `lr` (above 1 it diverges), and what is to happen at the mark `at`:
`crash`, `oom`, `die` (once, unless `always`), `eat` (memory, once, up to so many GB or until it is
killed) or `sleep` (seconds a mark).
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from search.engine.job import Job
from search.ledger.files import write_atomically
from search.ledger.storage import place
from trm.report import COLUMNS, Report

SWEPT = "tests.support.toy_training:SweptTraining"
"""The second one as workers are told of it; its module loads in a moment."""

_ZERO: dict[str, Any] = {"int": 0, "float": 0.0, "bool": False}


class ToyTraining:
    def __init__(self, job: Job) -> None:
        self.job = job
        self.config: dict[str, Any] = {"steps": 20, "lr": 0.1, "at": 2, **job.config}
        self.random = random.Random(job.seed)
        self.weight, self.step, self.mark, self.diverged = 1.0, 0, 0, False
        # A reused worker must look like a fresh one to the global generator too.
        self.shared = random.random()
        self.went_on_from = 0

    @property
    def finished(self) -> bool:
        return self.diverged or self.mark >= len(self.job.marks)

    def run(self) -> Iterator[Report]:
        while not self.finished:
            time.sleep(self.config.get("sleep", 0))
            for _ in range(self.config["steps"]):
                noise = self.random.gauss(0, 0.1)
                self.weight -= self.config["lr"] * (self.weight - noise)
                self.step += 1
            self.mark += 1
            if self.mark == self.config["at"]:
                self.misbehave()
            yield self.report()

    def misbehave(self) -> None:
        if "crash" in self.config:
            print("a wilful line of output")
            raise ValueError("a wilful\ncrash")
        if "oom" in self.config:
            raise MemoryError("a wilful lack of memory")
        self.diverged = self.config["lr"] > 1
        if not self.config.keys() & {"die", "eat"}:
            return  # one that writes nothing needs no folder
        died = place(self.job.folder) / f"died-{self.job.trial}"
        if "die" in self.config and (self.config["die"] == "always" or not died.exists()):
            write_atomically(died, "")
            os.kill(os.getpid(), signal.SIGKILL)
        if "eat" in self.config and not died.exists():
            died.touch()
            eaten = []
            while len(eaten) < 20 * self.config["eat"]:
                eaten.append(b"\x01" * 50_000_000)
                time.sleep(0.05)

    def report(self) -> Report:
        values: dict[str, Any] = {name: _ZERO[column.kind] for name, column in COLUMNS.items()}
        values |= {
            "mark": self.mark,
            "step": self.step,
            "compute": self.job.budget * self.job.marks[self.mark - 1],
            "progress": self.job.marks[self.mark - 1],
            "exact_accuracy": 1 / (1 + abs(self.weight)),
            "train_loss": math.nan if self.diverged else self.weight,
            "live_exact_accuracy": self.shared,
            "diverged": self.diverged,
        }
        return Report(**values)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        state = [self.weight, self.step, self.mark, self.random.getstate(), self.shared]
        (folder / "state.json").write_text(json.dumps(state))

    def load(self, folder: Path) -> None:
        state = json.loads((folder / "state.json").read_text())
        self.weight, self.step, self.mark, generator, self.shared = state
        self.went_on_from = self.mark
        self.random.setstate((generator[0], tuple(generator[1]), generator[2]))

    def provenance(self) -> dict[str, Any]:
        return {"data_hash": "toy", "went_on_from": self.went_on_from}

    def findings(self) -> list[dict[str, Any]] | None:
        return None


DIE_AFTER_SAVING = "die-after-saving"
"""A file in the run folder: a worker that finds it after saving dies before it reports."""


class SweptTraining(ToyTraining):
    """The same under a whole sweep's config: its learning rate, and its batch size in ms a mark."""

    def __init__(self, job: Job) -> None:
        lr, pause = job.config["optimizer"]["lr"], job.config["train"]["batch_size"]
        super().__init__(replace(job, config={"steps": 5, "lr": lr, "sleep": pause / 1000}))

    def save(self, folder: Path) -> None:
        super().save(folder)
        try:
            Path(self.job.folder, DIE_AFTER_SAVING).unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)
