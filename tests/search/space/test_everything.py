"""The space that chooses between every part of a TRM: it names them all, and its draws train."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.config.file import load_tree
from search.space.space import Space
from trm.config import Experiment, experiment_from
from trm.errors import UserError
from trm.learning.halting import HALTING_RULES
from trm.learning.losses import TOKEN_LOSSES, LossConfig
from trm.learning.optimizers import OPTIMIZERS
from trm.network.mixers import MIXERS
from trm.network.model import ModelConfig
from trm.network.positions import POSITIONS
from trm.network.transfer import STATE_TRANSFERS
from trm.training.trainer import Trainer

PATH = Path(__file__).parents[2] / "benchmarks/spaces/everything-arrows4.yaml"
REASONS = ("pos_encodings 'rope_2d' has no effect with mixer", "initial_state 'learned' needs")
"""Why parts do not go together; everything else does."""


@pytest.fixture(scope="module")
def space() -> Space:
    return Space.parse(load_tree(PATH))


def drawn(space: Space, draws: int) -> tuple[list[Experiment], Counter[str]]:
    """Valid experiments, and how often a draw was refused, by the reason."""
    rng, found, refused = np.random.default_rng(0), [], Counter[str]()
    for _ in range(draws):
        try:
            found.append(experiment_from(space.sample(rng)[1]))
        except UserError as error:
            refused[next((one for one in REASONS if one in str(error)), str(error))] += 1
    return found, refused


def test_every_part_is_an_option(space: Space) -> None:
    found, _ = drawn(space, 400)
    seen: dict[str, set[Any]] = {
        "mixer": {name for one in found for name in one.model.mixers},
        "positions": {one.model.positions for one in found},
        "transfer": {one.model.state_transfer.name for one in found},
        "halting": {one.halting.name for one in found},
        "loss": {one.loss.loss_type for one in found},
        "optimizer": {one.optimizer.name for one in found},
    }
    ours = {
        "mixer": MIXERS, "positions": POSITIONS, "transfer": STATE_TRANSFERS,
        "halting": HALTING_RULES, "loss": TOKEN_LOSSES, "optimizer": OPTIMIZERS,
    }  # fmt: skip
    for kind, registry in ours.items():
        named = {name for name, one in registry.items() if _is_ours(one)}
        assert named <= seen[kind], kind
    still = {"rope_theta", "rms_norm_eps", "puzzle_emb_ndim", "carry_latent", "one_step_gradient"}
    for model, parts in ((ModelConfig, [one.model for one in found]),
                         (LossConfig, [one.loss for one in found])):  # fmt: skip
        for key, field in model.model_fields.items():
            values = {str(getattr(part, key)) for part in parts}
            sized = key in ("hidden_size", "L_layers", "expansion", "swiglu_multiple",
                            "puzzle_emb_len", "continue_weight")  # fmt: skip
            assert len(values) > 1 or key in still or sized, (key, field.default)


def _is_ours(component: Any) -> bool:
    return str(getattr(component, "__module__", "trm")).startswith("trm")


def test_a_draw_is_valid_or_says_why_not(space: Space) -> None:
    found, refused = drawn(space, 300)
    assert set(refused) == set(REASONS)
    assert 60 < sum(refused.values()) < 120
    assert len(found) + sum(refused.values()) == 300


@pytest.mark.slow
def test_sixty_draws_train(space: Space) -> None:
    found, _ = drawn(space, 100)
    tasks: dict[str, Any] = {}
    ends = Counter[str]()
    for experiment in found[:60]:
        key = str(experiment.task)
        tasks.setdefault(key, experiment.task.build())
        run = Trainer(experiment, tasks[key], marks=(1.0,))
        run.budget = run._flops(run.stage.depth) * 8
        run._goals = (run.budget,)
        (report,) = run.run()
        assert report.diverged or math.isfinite(report.train_loss)
        ends["diverged" if report.diverged else "trained"] += 1
    assert ends["trained"] >= 55
