"""A training under every kind of schedule at once, and the path that it takes."""

from __future__ import annotations

from torch import Tensor

from curricula.stage import Stage
from trm.training.trainer import Trainer

LINE = {"name": "linear", "start": 1.0, "end": 0.25}


# Easy enough that some puzzles are solved within 60 steps: the bandit needs accuracies that move.
EVERYTHING = {
    "task": {
        "name": "sudoku", "box": [2, 2], "blanks": 2,
        "train_examples": 120, "valid_examples": 20, "test_examples": 20,
    },
    "train.ema": 0.9,
    "train.budget.steps": 50,
    "optimizer.lr": 2e-2,
    "optimizer.lr_warmup_steps": 20,
    "model.hidden_size": 32,
    "model.swiglu_multiple": 32,
    "model.halt_max_steps": 4,
    "curriculum": {
        "depth": {
            "name": "competence", "levels": 2, "threshold": 0.0, "patience": 4, "fall_back": 1.05,
        },
        "supervision": {"name": "halt_growth", "threshold": 0.4, "patience": 8, "deadline": 0.95},
        "supervision_weights": {"name": "decay", "rate": 0.7},
        "difficulty": {"name": "bandit", "arms": 3},
        "halt_weight": LINE,
        "exploration": {"name": "cosine", "start": 0.0, "end": 3.0},
        "latent_noise": {**LINE, "start": 0.1},
        # A rate that the loss cannot follow: it rises, so the depth falls back.
        "learning_rate": {
            "name": "piecewise",
            "milestones": [{"at": 0.0, "value": 1.0}, {"at": 0.5, "value": 30.0}],
        },
        "rewarm_steps": 4,
        "feedback_every": 0.03,
    },
}  # fmt: skip


MARKS = (0.3, 0.7, 1.0)


def path_of(trainer: Trainer) -> list[Stage]:
    """The stages of a whole run, reports and all."""
    stages: dict[int, Stage] = {}

    def note() -> bool:
        stages[trainer.counters.step] = trainer.stage
        return False

    list(trainer.run(note))
    return [stages[step] for step in sorted(stages)]


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: t.detach().clone() for name, t in trainer.model.state_dict().items()}
