"""What a trial costs besides its training: our engine, with its ledger, against stock Ray Tune.

Both run trivial trials with three reports each, two at a time, in reused workers; stock Tune has
its automatic loggers off. Ours also fsyncs every report and writes a checkpoint a report.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from cluster.connect import connected
from search.engine import run_trials
from search.ledger import Ledger

HERE = Path(__file__).parent
TRIALS = 60
ROUNDS = 5


def main() -> None:
    os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}
    import sys

    from ray import tune

    from tests.benchmarks.side_by_side import compare

    support = str(HERE.parent / "search")
    sys.path.append(support)
    from sources import FixedSource, add_trials

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

    with (
        tempfile.TemporaryDirectory() as folder,
        connected(cpus=2),
        Ledger.create(Path(folder, "run")) as ledger,
    ):

        def ours() -> None:
            add_trials(ledger, [{"steps": 1}] * TRIALS)
            run_trials(
                FixedSource(ledger), ledger, parallel=2, budget=1e9, marks=(0.25, 0.5, 1.0),
                path=[support], factory="toy_training:ToyTraining",
            )  # fmt: skip

        def stock() -> None:
            tune.Tuner(
                tune.with_resources(Trivial, {"cpu": 1}),
                tune_config=tune.TuneConfig(
                    num_samples=TRIALS, max_concurrent_trials=2, reuse_actors=True
                ),
                run_config=tune.RunConfig(storage_path=str(Path(folder, "tune")), verbose=0),
            ).fit()

        mine, theirs = compare(ours, stock, ROUNDS)
        assert all(trial.outcome == "completed" for trial in ledger.trials.values())
    print(f"{TRIALS} trials: ours {mine:.1f} s, stock {theirs:.1f} s, ratio {mine / theirs:.2f}")
