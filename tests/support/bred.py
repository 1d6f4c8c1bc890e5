"""A tiny population for reports, trained in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from search.config.plan import write_plan
from search.engine.job import Job, build_trainer
from search.explore.population import Population
from search.ledger.ledger import Ledger
from tests.support.planned import planned

TREE: dict[str, Any] = {
    "name": "bred",
    "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 150,
             "valid_examples": 40, "test_examples": 30},
    "model": {"mixer": "mlp_t", "hidden_size": {"choice": {"options": [16, 24], "default": "16"}},
              "L_layers": 1, "expansion": 1.0, "swiglu_multiple": 16, "puzzle_emb_len": 1,
              "H_cycles": 2, "L_cycles": 3, "halt_max_steps": 3},
    "optimizer": {"name": "adamw", "lr": 1e-2, "lr_warmup_steps": 5, "lr_min_ratio": 0.1},
    "train": {"batch_size": 16, "budget": {"steps": 24}, "reports": 1, "ema": 0.9},
    "search": {
        "objective": "cell_accuracy",
        "scheduler": {"name": "pbt", "members": 4, "generations": 3, "quantile": 0.5,
                      "learn": ["L_cycles", "halt_weight", "learning_rate"]},
    },
    "stability": {"candidates": 1, "seeds": 1, "promise_seeds": 2},
}  # fmt: skip


def bred(folder: Path, most: int = 10**9) -> Path:
    """A population, trained one member after another; the driver is gone after `most` stretches."""
    plan = planned(TREE)
    with Ledger.create(folder) as ledger:
        write_plan(folder, plan)
        source = Population(plan, ledger, 0.0)
        while most and (trial := source.next()) is not None:
            most -= 1
            attempt = ledger.begin_attempt(trial.id)
            job = Job(str(folder), trial.id, attempt, trial.config, trial.seed, plan.budget,
                      plan.marks, trial.checkpoint)  # fmt: skip
            training = build_trainer(job)
            for report in training.run():
                path = f"{job.checkpoints}/{attempt}/{report.mark}"
                training.save(folder / path)
                ledger.acknowledge(trial.id, attempt, report.row(), path)
                if source.on_report(trial, report.row()) == "complete":
                    ledger.finish(trial.id, "completed", source.score(report.row()))
                    source.on_end(trial)
                    break
    return folder
