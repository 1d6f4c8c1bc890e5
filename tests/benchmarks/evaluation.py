"""What a report costs: evaluating the preset `arrows4` against training a quarter of its budget."""

from __future__ import annotations

import torch

from search.config.file import load_tree
from search.space.space import Space
from tests.benchmarks.side_by_side import compare
from trm.config import experiment_from
from trm.training.trainer import Trainer

STEPS = 225


def main() -> None:
    torch.set_num_threads(1)
    config = experiment_from(Space.parse(load_tree("arrows4")).default()[1])
    trainer = Trainer(config, config.task.build())

    def train() -> None:
        for _ in range(STEPS):
            trainer.train_step()
        assert not trainer.counters.diverged

    evaluating, training = compare(trainer.evaluate, train, rounds=5)
    print(f"evaluation {evaluating:.2f} s, {STEPS} training steps {training:.2f} s, "
          f"ratio {evaluating / training:.3f}")  # fmt: skip
