"""Runs beyond a search, scored by hand: a winner's sensitivity analysis, and ablations.

Everything but the scores comes through the product: its designs, ledger, statistics and files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from search.config.plan import Plan, read_plan, simulated_plan, write_plan
from search.ledger.ledger import Ledger
from search.ledger.trial import Trial
from search.stability.ablations import ablation_trials
from search.stability.sensitivity import analyse
from search.stability.sensitivity_design import Request, design_trials, winner_of
from search.stability.sensitivity_result import Sensitivity, save_sensitivity
from tests.support.reported import MARKS, TREE, curve

Score = Callable[[Trial], float | None]
"""A trial's score; None if it diverges."""


def vary(folder: Path, request: Request, score: Score | None, examples: int = 500) -> Sensitivity:
    """Run a design around a run's winner, and write `sensitivity.json`; None: nothing has ended."""
    plan = read_plan(folder)
    with Ledger.open(folder) as ledger:
        winner = winner_of(folder, ledger)
        trials = design_trials(plan, ledger, winner, request)
        if score is not None:
            play(trials, ledger, score)
        found = analyse(plan, ledger, winner, request, examples)
    save_sensitivity(folder, found)
    return found


def play(trials: Iterable[Trial], ledger: Ledger, score: Score) -> None:
    """End every trial that has not ended."""
    for trial in trials:
        if trial.outcome is None:
            ledger.begin_attempt(trial.id)
            value = score(trial)
            ledger.finish(
                trial.id, "diverged" if value is None else "completed",
                0.0 if value is None else value,
            )  # fmt: skip


ABLATIONS: dict[str, Any] = {
    "seeds": 3,
    "named": {
        "no_act": {"model.no_ACT_continue": False},
        "wild": {"optimizer.lr": 0.5, "optimizer.weight_decay": 0.0},
        "softmax": {"loss.loss_type": "softmax_cross_entropy"},
        "one_step_gradient": {"model.one_step_gradient": True},
        "late": {"train.ema": 0.9},
    },
}


def ablated(
    folder: Path,
    scores: Mapping[str, Sequence[float | None]],
    section: Mapping[str, Any] | None = None,
    search: Mapping[str, Any] | None = None,
) -> Plan:
    """Write a run folder of ablations with learning curves.

    Args:
        scores: by ablation, one a seed; None diverges. What is left out has not run.
        section: `ablations`, instead of the one above.
        search: of the sweep.
    """
    tree = deepcopy(TREE)
    tree["model"] |= {"H_cycles": 2, "L_cycles": 2, "halt_exploration_prob": 0.5}
    tree["loss"] = {"halt_weight": 0.5}
    tree["optimizer"] = {"name": "adamw", "lr": 1e-2, "weight_decay": 0.1}
    tree["curriculum"] = {"name": "none"}
    plan = simulated_plan(
        {**tree, "ablations": dict(section or ABLATIONS), "search": dict(search or {})}
    )
    left = {name: list(values) for name, values in scores.items()}
    params = {
        "optimizer": "adam_atan2", "model.L_cycles": 2, "model.H_cycles": 2,
        "loss.halt_weight": 0.5, "curriculum.depth": "none",
    }  # fmt: skip
    with Ledger.create(folder) as ledger:
        write_plan(folder, plan)
        for trial in ablation_trials(plan, ledger):
            own = left.get(trial.params["ablation"])
            if not own:
                continue
            value = own.pop(0)
            ledger.begin_attempt(trial.id)
            for row in curve(trial.id, params, trial.seed, MARKS, diverges=value is None):
                ledger.acknowledge(trial.id, 1, row)
            ledger.finish(
                trial.id, "diverged" if value is None else "completed",
                0.0 if value is None else value,
                "non-finite loss or gradient by step 500" if value is None else "",
            )  # fmt: skip
    return plan
