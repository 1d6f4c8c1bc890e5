"""Schedule-free AdamW against its three sequences in float64; its average where an EMA stands."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conftest import Tiny
from trm.checkpoint.reading import load_model
from trm.checkpoint.writing import save_checkpoint
from trm.config import experiment_from
from trm.errors import UserError
from trm.learning.optimizers import ScheduleFreeConfig
from trm.learning.schedule_free import OwnAverage, ScheduleFreeAdamW
from trm.tasks.base import Task
from trm.testing import check_optimizer
from trm.testing.fitting import check_trains
from trm.training.stacking.obstacles import obstacle
from trm.training.trainer import Trainer

RATES = [0.01, 0.02, 0.03, 0.03, 0.03, 0.03]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gradients(dtype: torch.dtype) -> list[Tensor]:
    shape = (3, 4)
    return [torch.randn(shape, generator=seeded(i)).to(dtype) * 10.0**-i for i in range(len(RATES))]


def by_hand(
    start: Tensor, betas: tuple[float, float], decay: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and z after all steps, as the algorithm of the paper names them."""
    beta1, beta2 = betas
    z = x = start.double().numpy()
    v, total = np.zeros_like(z), 0.0
    for t, (lr, gradient) in enumerate(zip(RATES, gradients(torch.float64), strict=True), start=1):
        g, y = gradient.numpy(), (1 - beta1) * z + beta1 * x
        v = beta2 * v + (1 - beta2) * g * g
        z = z - lr * (g / (np.sqrt(v / (1 - beta2**t)) + 1e-8) + decay * y)
        total += lr * lr
        c = lr * lr / total
        x = (1 - c) * x + c * z
    return x, (1 - beta1) * z + beta1 * x, z


@pytest.mark.parametrize("decay", [0.0, 0.5])
@pytest.mark.parametrize("betas", [(0.9, 0.95), (0.5, 0.0), (0.98, 0.999)])
@pytest.mark.parametrize("unread", [False, True])
def test_the_three_sequences(betas: tuple[float, float], decay: float, unread: bool) -> None:
    start = torch.randn(3, 4, generator=seeded(9), dtype=torch.float64)
    model = nn.Module()
    model.p = p = nn.Parameter(start.clone())
    optimizer = ScheduleFreeAdamW([p], 1.0, betas, decay)
    average = OwnAverage(model, optimizer)
    assert torch.equal(average.state_dict()["p"], start)
    for step, (lr, gradient) in enumerate(zip(RATES, gradients(torch.float64), strict=True)):
        rate = torch.tensor(lr, dtype=torch.float64) if unread else lr
        optimizer.param_groups[0]["lr"] = rate
        if unread and step == 3:  # one that is not sound changes nothing
            optimizer.found_inf = torch.tensor(1.0)
            p.grad = torch.full_like(p, math.nan)
            before = [p.detach().clone(), *(s.clone() for s in optimizer.state[p].values())]
            optimizer.step()
            assert all(map(torch.equal, before, [p.detach(), *optimizer.state[p].values()]))
        if unread:
            optimizer.found_inf = torch.tensor(0.0)
        p.grad = gradient
        optimizer.step()
    x, y, z = by_hand(start, betas, decay)
    # The sum of squared rates is float32.
    assert np.allclose(p.detach().numpy(), y, atol=1e-7)
    assert np.allclose(optimizer.state[p]["z"].numpy(), z, atol=1e-7)
    with average.swapped(model):
        assert np.allclose(model.p.detach().numpy(), x, atol=1e-6)
    assert np.allclose(model.p.detach().numpy(), y, atol=1e-7)


def test_it_conforms_and_goes_on_bit_for_bit() -> None:
    check_optimizer(ScheduleFreeConfig(weight_decay=0.1))
    check_trains({"optimizer": {"name": "schedule_free", "lr": 1e-2}, "train.ema": None})


@pytest.fixture
def task(tiny: Tiny, cache: Path) -> Task:
    return experiment_from(tiny()).task.build(cache)


@pytest.mark.parametrize("ema", [None, 0.9])
def test_its_average_is_what_is_evaluated_and_kept(
    tiny: Tiny, task: Task, tmp_path: Path, ema: float | None
) -> None:
    changes = {"optimizer.name": "schedule_free", "train.ema": ema}
    run = Trainer(experiment_from(tiny(changes)), task)
    report = list(run.run())[-1]
    assert isinstance(run.ema, OwnAverage)
    live, averaged = run.evaluate(live=True), run.evaluate()
    assert report.exact_accuracy == averaged.exact_accuracy
    assert report.live_exact_accuracy == live.exact_accuracy
    assert live.lm_loss != averaged.lm_loss
    save_checkpoint(tmp_path / "end", run)
    model, _ = load_model(tmp_path / "end", task)
    for name, weight in run.ema.state_dict().items():
        assert torch.equal(weight, model.get_parameter(name))
    assert not torch.equal(model.embed_tokens, run.model.embed_tokens)


def test_it_is_not_stacked_and_needs_a_place_between(tiny: Tiny) -> None:
    config = experiment_from(tiny({"optimizer.name": "schedule_free"}))
    assert "may not go element by element" in obstacle(config)
    with pytest.raises(UserError, match=r"optimizer\.beta1"):
        experiment_from(tiny({"optimizer": {"name": "schedule_free", "beta1": 0.0}}))
