"""A real training as stock Ray Tune's trainable, and what stops its sweep once it is spent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray.tune import Stopper, Trainable

from search.config.file import load_tree
from search.space.space import Space
from trm.config import experiment_from
from trm.files.run_folder import cache_folder
from trm.report import Report
from trm.training.trainer import Trainer


class RealTraining(Trainable):  # type: ignore[misc]  # Ray is untyped here
    """A training of the config that the searcher suggests; a step is the next report.

    One that diverges has an exact accuracy of 0 from there on, and ends.
    """

    def setup(self, config: dict[str, Any], file: str = "", repetition: int = 0) -> None:
        """Draw nothing: build the tree of the suggested values."""
        import torch

        torch.set_num_threads(1)
        self._file, self._repetition = Path(file), repetition
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another config in the same process."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        tree = load_tree(self._file)
        space = Space.parse(tree)
        known = {name: config[name] for name in space.parameters if name in config}
        seed = 1000 * (self._repetition + 1) + int(self.trial_id.rsplit("_", 1)[-1], 16) % 997
        drawn = space.apply(known)
        budget = float(tree["train"]["budget"]["flops"])
        self._share = budget / int(tree["train"]["reports"])
        self._reports: Iterator[Report] | None = None
        try:
            experiment = experiment_from(
                {**drawn, "train": {**drawn["train"], "seed": seed, "threads": 1}}
            )
        except ValueError:
            return
        self._reports = Trainer(experiment, experiment.task.build(cache_folder())).run()

    def step(self) -> dict[str, Any]:
        """The next report's accuracy; `done` with the last one."""
        report = None if self._reports is None else next(self._reports, None)
        if report is None:
            return {"exact_accuracy": 0.0, "flops": 0.0, "done": True}
        row = report.row()
        over = bool(row["diverged"] or row["collapsed"]) or row["progress"] >= 1.0
        accuracy = 0.0 if row["diverged"] else row["exact_accuracy"]
        return {"exact_accuracy": accuracy, "flops": self._share, "done": over}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing goes on from here: ASHA pauses nobody."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """See `save_checkpoint`."""


class UntilSpent(Stopper):  # type: ignore[misc]
    """Stops every trial once all of them have used so many training FLOPs."""

    def __init__(self, limit: float) -> None:
        self.limit, self.flops = limit, 0.0

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        self.flops += result["flops"]
        return False

    def stop_all(self) -> bool:
        return self.flops >= self.limit
