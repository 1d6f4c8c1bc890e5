"""Every detector fires on its failure, provoked in a real tiny training; silent ones beside it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from trm.config import experiment_from, set_value
from trm.detectors.detector import Finding
from trm.diagnostics import diagnose
from trm.report import Report
from trm.training.trainer import Trainer

Script = Callable[[Trainer], None]

TREE: dict[str, Any] = {
    "name": "provoked",
    "task": {
        "name": "sudoku", "box": [2, 2], "blanks": 8,
        "train_examples": 2000, "valid_examples": 200, "test_examples": 100,
    },
    "model": {
        "mixer": "mlp_t", "hidden_size": 32, "L_layers": 2, "H_cycles": 1, "L_cycles": 1,
        "expansion": 1.0, "swiglu_multiple": 32, "puzzle_emb_len": 1, "halt_max_steps": 4,
    },
    "optimizer": {
        "name": "adamw", "lr": 3e-3, "lr_warmup_steps": 20, "weight_decay": 0.1,
    },
    "train": {"batch_size": 64, "budget": {"steps": 250}, "reports": 8, "ema": None},
}  # fmt: skip


def train(
    cache: Path,
    changes: dict[str, Any] | None = None,
    at: float = 0.7,
    script: Script | None = None,
) -> tuple[list[Report], dict[str, Finding]]:
    """A run with values changed by path, and with a hand in it once, at a share of the budget."""
    tree = deepcopy(TREE)
    for path, value in (changes or {}).items():
        set_value(tree, path, value)
    config = experiment_from(tree)
    trainer = Trainer(config, config.task.build(cache))
    done = False

    def between_steps() -> bool:
        nonlocal done
        if script is not None and not done and trainer.progress >= at:
            script(trainer)
            done = True
        return False

    reports = list(trainer.run(between_steps))
    findings = diagnose([report.row() for report in reports], config.diagnostics)
    assert reports[-1].findings == len(findings)
    return reports, {finding.detector: finding for finding in findings}


def faster(factor: float) -> Script:
    """From now on the learning rate is `factor` times what it would be."""

    def script(trainer: Trainer) -> None:
        before = trainer.optimizer.set_factor
        trainer.optimizer.set_factor = lambda f: before(factor * f)  # type: ignore[method-assign]

    return script


def poison(trainer: Trainer) -> None:
    with torch.no_grad():
        trainer.model.lm_head.weight[0, 0] = torch.inf


def always_halt(trainer: Trainer) -> None:
    with torch.no_grad():
        assert trainer.model.q_head.bias is not None
        trainer.model.q_head.bias.fill_(8.0)
        trainer.model.q_head.weight.zero_()


def test_numeric_divergence(cache: Path) -> None:
    reports, found = train(cache, {"train.budget.steps": 60}, at=0.5, script=poison)
    assert list(found) == ["numeric_divergence"]
    assert reports[-1].diverged
    assert not reports[-1].collapsed
    assert found["numeric_divergence"].at == pytest.approx(0.5, abs=0.03)
    assert "step 30" in found["numeric_divergence"].words


def test_flat_line(cache: Path) -> None:
    _, found = train(cache, {"optimizer.lr": 1e-6, "train.budget.steps": 60})
    assert list(found) == ["flat_line"]


def test_an_average_that_lags(cache: Path) -> None:
    _, found = train(cache, {"train.ema": 0.9999, "optimizer.lr": 1e-2, "train.budget.steps": 130})
    finding = found["ema_dependence"]
    assert finding.value < -0.3
    assert "null" in finding.words


def test_halting_at_the_first_step(cache: Path) -> None:
    changes = {
        "loss.halt_weight": 0.0, "model.halt_exploration_prob": 0.0, "train.budget.steps": 60,
    }  # fmt: skip
    _, found = train(cache, changes, at=0.0, script=always_halt)
    assert found["halting_collapse"].severity == "failure"
    assert found["halting_collapse"].value == 1.0
    assert "halts at step 1.00" in found["halting_collapse"].words


@pytest.mark.slow
def test_halting_that_never_comes(cache: Path) -> None:
    changes = {"loss.halt_weight": 0.0, "optimizer.lr": 1e-2, "train.budget.steps": 130}
    _, found = train(cache, changes)
    assert list(found) == ["halting_collapse"]
    assert "never halts" in found["halting_collapse"].words


def test_a_wandering_latent(cache: Path) -> None:
    """Trained for a single supervision step, it has no reason to come to rest."""
    _, found = train(cache, {"model.halt_max_steps": 1, "train.budget.steps": 60})
    assert "wandering_latent" in found
    assert found["wandering_latent"].value > 0.3


def test_depth_divergence(cache: Path) -> None:
    changes = {
        "model.halt_max_steps": 1, "optimizer.lr": 1e-2, "optimizer.weight_decay": 0.0,
        "train.budget.steps": 60,
    }  # fmt: skip
    reports, found = train(cache, changes)
    assert found["depth_divergence"].value > 0.3
    last = reports[-1]
    assert last.exact_accuracy_4x is not None
    assert last.exact_accuracy_4x < last.exact_accuracy - 0.3


def test_an_overfit_plateau(cache: Path) -> None:
    changes = {
        "task.train_examples": 30, "task.augment": False, "optimizer.weight_decay": 0.0,
        "optimizer.lr": 1e-2, "train.budget.steps": 120,
    }  # fmt: skip
    reports, found = train(cache, changes)
    assert found["overfit_plateau"].value > 0.5
    assert reports[-1].trainset_exact_accuracy is not None
    assert reports[-1].trainset_exact_accuracy > 0.9


def test_a_loss_spike_and_a_late_collapse(cache: Path) -> None:
    reports, found = train(cache, {"optimizer.lr": 1e-2}, script=faster(30.0))
    assert found["loss_spike"].at == pytest.approx(0.75, abs=0.01)
    assert found["late_collapse"].at == pytest.approx(0.75, abs=0.01)
    assert found["late_collapse"].severity == "failure"
    assert [report.collapsed for report in reports] == [False] * 7 + [True]
    assert reports[-1].drop_from_peak > 0.5


@pytest.mark.slow
def test_an_exploding_gradient(cache: Path) -> None:
    """The step that meets the mark at 75 % is three hundred times as long as it should be."""
    _, found = train(cache, at=0.745, script=faster(300.0))
    assert found["gradient_explosion"].at == pytest.approx(0.75, abs=0.01)


@pytest.mark.slow
def test_a_run_ends_at_a_finding_to_stop_on(cache: Path) -> None:
    changes = {"diagnostics.stop_on": ["late_collapse"], "optimizer.lr": 1e-2}
    reports, _ = train(cache, changes, script=faster(30.0))
    assert len(reports) == 6
    assert reports[-1].collapsed
    assert not any(report.collapsed for report in reports[:-1])


@pytest.mark.slow
def test_what_is_off_is_silent(cache: Path) -> None:
    off = {"drop": None, "collapse": None, "spike_factor": None, "probe": None}
    changes = {f"diagnostics.{key}": value for key, value in off.items()}
    reports, found = train(cache, {**changes, "optimizer.lr": 1e-2}, script=faster(30.0))
    assert not found.keys() & {"late_collapse", "loss_spike"}
    assert not reports[-1].collapsed
    assert reports[-1].spectral_radius is None
