"""What a trial costs besides its training: our sweep against stock Ray Tune.

Both run trivial trials with three reports each, two at a time, in reused workers. Ours is the
explore stage as users get it: the default sampler, the ledger, which fsyncs every report, a
checkpoint a report, and the Optuna journal. Stock Tune draws at random and has its automatic
loggers off. `TRIALS=5000 ROUNDS=1 python -m tests.benchmarks orchestration` is the long form.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path
from typing import Any

from cluster.connect import connected
from search.engine.ray_tune import run_trials
from search.explore.explore import Explore
from search.ledger.ledger import Ledger
from search.logs.optuna_journal import STUDY_FILE
from tests.benchmarks.side_by_side import compare
from tests.support.folders import ROOT
from tests.support.planned import planned

HERE = Path(__file__).parent
TRIALS = int(os.environ.get("TRIALS", "500"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))

TREE: dict[str, Any] = {
    "name": "orchestration",
    "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 40,
             "valid_examples": 10, "test_examples": 10},
    "model": {"hidden_size": 16, "num_heads": 2, "H_cycles": {"int": [1, 3]},
              "L_cycles": {"int": [1, 6]}},
    "optimizer": {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-2]},
                  "weight_decay": {"loguniform": [0.01, 1.0]}},
    "train": {"budget": {"steps": 10}, "reports": 3},
    "search": {"trials": TRIALS, "scheduler": "none"},
}  # fmt: skip


def measure(trials: int, rounds: int) -> tuple[float, float]:
    """Seconds of so many trials, ours and stock; medians over the rounds."""
    os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}
    from ray import tune

    plan = planned({**TREE, "search": {**TREE["search"], "trials": trials}})
    turns = itertools.count()

    class Trivial(tune.Trainable):  # type: ignore[misc]
        def setup(self, config: dict[str, Any]) -> None:
            self.reports = 0

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.reports = 0
            return True

        def step(self) -> dict[str, Any]:
            self.reports += 1
            return {"score": 1.0, "done": self.reports == 3}

        def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
            return {}

        def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None: ...

    with tempfile.TemporaryDirectory() as folder, connected(cpus=2):

        def ours() -> None:
            with Ledger.create(Path(folder, f"run-{next(turns)}")) as ledger:
                explore = Explore(plan, ledger, 0.0, ledger.scratch / STUDY_FILE)
                run_trials(
                    explore, ledger, parallel=2, budget=1e9, marks=plan.marks,
                    path=[str(ROOT)], factory="tests.support.toy_training:ToyTraining",
                )  # fmt: skip
                explore.close()
                assert sum(t.outcome == "completed" for t in ledger.trials.values()) == trials

        def stock() -> None:
            tune.Tuner(
                tune.with_resources(Trivial, {"cpu": 1}),
                param_space={
                    "H_cycles": tune.randint(1, 4), "L_cycles": tune.randint(1, 7),
                    "lr": tune.loguniform(1e-4, 1e-2), "weight_decay": tune.loguniform(0.01, 1.0),
                },
                tune_config=tune.TuneConfig(
                    num_samples=trials, max_concurrent_trials=2, reuse_actors=True
                ),
                run_config=tune.RunConfig(storage_path=str(Path(folder, "tune")), verbose=0),
            ).fit()  # fmt: skip

        return compare(ours, stock, rounds, warm_up=trials <= 1000)


def main() -> None:
    mine, theirs = measure(TRIALS, ROUNDS)
    print(f"{TRIALS} trials: ours {mine:.1f} s, stock {theirs:.1f} s, ratio {mine / theirs:.2f}")
