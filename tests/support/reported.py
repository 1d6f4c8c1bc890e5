"""Run folders for reports: a made-up search of any size, with failures, a race and a promise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from search.config.plan import Plan, simulated_plan, write_plan
from search.config.seeds import REFERENCE
from search.explore.candidates import best_first, explored
from search.ledger.ledger import Ledger
from search.ledger.parquet import BLOCK, CURVES, TRIALS, part, trial_row, write_part
from search.ledger.reader import read_book
from search.ledger.trial import Row, Trial
from search.stability.result import Finalist, Promise, Result
from search.stats.intervals import prediction_interval, robust_scores
from trm.report import COLUMNS

MARKS = 10
BUDGET = 1e11
TREE: dict[str, Any] = {
    "name": "made-up",
    "task": {"name": "arrows", "size": 4},
    "model": {
        "mixer": "mlp_t", "hidden_size": 32, "L_layers": 2, "expansion": 1.0, "swiglu_multiple": 32,
        "puzzle_emb_len": 1, "halt_max_steps": 4,
        "H_cycles": {"int": {"low": 1, "high": 3, "default": 2}},
        "L_cycles": {"int": {"low": 1, "high": 6, "default": 2}},
        "halt_exploration_prob": {"uniform": {"low": 0.0, "high": 0.6, "default": 0.5}},
    },
    "loss": {"halt_weight": {"loguniform": {"low": 0.05, "high": 4.0, "default": 0.5}}},
    "optimizer": {
        "choice": {
            "options": [
                {
                    "name": "adamw",
                    "lr": {"loguniform": {"low": 3e-3, "high": 3e-2, "default": 1e-2}},
                    "weight_decay": {"loguniform": {"low": 0.01, "high": 1.0, "default": 0.1}},
                },
                {"name": "adam_atan2", "lr": {"loguniform": [1e-3, 1e-2]}},
            ],
            "default": "adamw",
        }
    },
    "curriculum": {
        "depth": {
            "choice": {
                "options": [
                    {"name": "none"},
                    {
                        "name": "stages",
                        "stages": [{"at": 0.0, "H_cycles": 1, "L_cycles": 1}, {"at": 0.6}],
                    },
                ],
                "default": "none",
            }
        }
    },
    "train": {
        "batch_size": 64, "budget": {"flops": BUDGET}, "reports": MARKS, "ema": None,
        "valid_examples": 500,
    },
    "search": {"trials": 200},
    "stability": {"candidates": 4, "seeds": 4, "promise_seeds": 4},
}  # fmt: skip
LR = "optimizer[adamw].lr"


def quality(params: dict[str, Any]) -> float:
    """The best learning rate lies at the upper end of its range; deeper is worse."""
    good = 0.55
    if params["optimizer"] == "adamw":
        good = 0.9 - 0.5 * abs(math.log10(params[LR] / 0.026))
    good -= 0.03 * (params["model.L_cycles"] - 1) + 0.02 * (params["model.H_cycles"] - 1)
    good += 0.05 * (params["curriculum.depth"] == "stages")
    return good - 0.05 * abs(math.log10(params["loss.halt_weight"] / 0.3))


def fails(params: dict[str, Any], rng: np.random.Generator) -> bool:
    """A high learning rate with little weight decay usually diverges."""
    if params["optimizer"] != "adamw":
        return bool(rng.random() < 0.02)
    wild = params[LR] > 0.012 and params["optimizer[adamw].weight_decay"] < 0.05
    return bool(rng.random() < (0.85 if wild else 0.03))


def curve(trial: int, params: dict[str, Any], seed: int, end: int, *, diverges: bool) -> list[Row]:
    """The reports of a made-up run up to mark `end`."""
    rng = np.random.default_rng([trial, seed])
    final = min(max(quality(params) + rng.normal(0, 0.02), 0.0), 1.0)
    rate = rng.uniform(2, 6)
    staged = params["curriculum.depth"] == "stages"
    rows = []
    for mark in range(1, end + 1):
        share = mark / MARKS
        score = final * (1 - math.exp(-rate * share)) / (1 - math.exp(-rate))
        score = min(max(score + rng.normal(0, 0.015), 0.0), 1.0)
        lost = diverges and mark == end
        row: Row = {
            name: {"int": 0, "float": 0.0, "bool": False}[column.kind]
            for name, column in COLUMNS.items()
        }
        rows.append(
            row
            | {
                "trial": trial, "attempt": 1, "mark": mark, "step": 100 * mark, "progress": share,
                "compute": BUDGET * share, "seconds": 20.0 * share, "train_seconds": 18.0 * share,
                "exact_accuracy": score, "cell_accuracy": 1 - 0.3 * (1 - score),
                "early_exact_accuracy": max(score - 0.05 - 0.05 * rng.random(), 0.0),
                "mean_steps": 1 + 2 * rng.random(), "train_loss": math.nan if lost else 1 - score,
                "lm_loss": math.nan if lost else 1 - score, "diverged": lost,
                "H_cycles": 1 if staged and share < 0.6 else params["model.H_cycles"],
                "L_cycles": 1 if staged and share < 0.6 else params["model.L_cycles"],
                "supervision_steps": 4, "halt_weight": params["loss.halt_weight"],
                "learning_rate": 1e-2 * (1 - 0.9 * share), "parameters": 12000,
                "exact_accuracy_2x": score - 0.01, "exact_accuracy_4x": score - 0.04,
                "exact_accuracy_8x": score - 0.1, "depth_drop": 0.04, "evaluated": 500,
                "spectral_radius": 1.2 - 0.4 * share + 0.05 * rng.random(),
                "late_residual": 0.2 * (1 - share), "settled": share, "ema_gap": 0.0,
                "train_gap": 0.02, "halt_auc": 0.8, "live_exact_accuracy": score,
                "train_exact_accuracy": score, "update_ratio": 0.01, "lr_factor": 1.0,
                "latency": 1e-4 * params["model.L_cycles"],
            }
        )  # fmt: skip
    return rows


def made(
    folder: Path,
    trials: int = 200,
    *,
    result: bool = True,
    changes: dict[str, Any] | None = None,
    tree: dict[str, Any] | None = None,
) -> Path:
    """Write a run folder.

    Args:
        trials: of the search; a seventh fails, a third is stopped early.
        result: whether the confirm stage has ended.
        changes: of the sweep's search section.
        tree: instead of the file above.
    """
    tree = deepcopy(tree or TREE)
    tree["search"] = {**tree["search"], "trials": trials, **(changes or {})}
    plan = simulated_plan(tree)
    folder.mkdir(parents=True)
    with Ledger.create(folder):
        pass
    write_plan(folder, plan)
    rng = np.random.default_rng(0)
    stored: list[Trial] = []
    rows: list[Row] = []
    for number in range(trials):
        params, config = plan.space.default() if not number else plan.space.sample(rng)
        wild = fails(params, rng)
        end = int(rng.integers(2, MARKS)) if wild or rng.random() < 0.33 else MARKS
        outcome = "diverged" if wild else "completed" if end == MARKS else "pruned"
        _add(stored, rows, "explore", number, 0, params, config, outcome, end)
    _store(folder, stored, rows)
    if result:
        _confirm(folder, plan, stored, rows)
    return folder


def _add(
    stored: list[Trial],
    rows: list[Row],
    stage: Any,
    candidate: int,
    seed: int,
    params: dict[str, Any],
    config: dict[str, Any],
    outcome: Any,
    end: int,
) -> Trial:
    number = len(stored)
    own = curve(number, params, seed, end, diverges=outcome == "diverged")
    rows += own
    last = own[-1]
    reason = "non-finite loss or gradient by step 500" if outcome == "diverged" else ""
    trial = Trial(
        id=number, stage=stage, candidate=candidate, seed=seed, params=params, config=config,
        outcome=outcome, reason=reason, mark=end, compute=last["compute"], attempts=1,
        score=0.0 if outcome == "diverged" else last["exact_accuracy"], seconds=last["seconds"],
        provenance={"torch": "2.13.0", "data_hash": "0123abcd", "resolved": {"precision": "fp32"}},
    )  # fmt: skip
    stored.append(trial)
    return trial


def _store(folder: Path, trials: list[Trial], rows: list[Row]) -> None:
    for block in range(1 + (len(trials) - 1) // BLOCK):
        mine = range(block * BLOCK, (block + 1) * BLOCK)
        own = [trial for trial in trials if trial.id in mine]
        write_part(part(folder / "trials", block), map(trial_row, own), TRIALS, 1)
        write_part(
            part(folder / "curves", block), (r for r in rows if r["trial"] in mine), CURVES, 1
        )


def _confirm(folder: Path, plan: Plan, stored: list[Trial], rows: list[Row]) -> None:
    """Race the best four, and make the promise of the winner and of the reference recipe."""
    book = read_book(folder)
    best = best_first(plan, explored(plan, book))[:4]
    samples = {}
    for one in best:
        params, config = one.trial.params, one.trial.config
        samples[one.trial.id] = [
            _add(stored, rows, "confirm", one.trial.id, seed, params, config, "completed", MARKS)
            .score or 0.0
            for seed in range(1, 5)
        ]  # fmt: skip
    scores = robust_scores(samples, examples=500)
    candidates = [
        Finalist(
            trial=one.trial.id, explored=one.score, robust=scores[one.trial.id].lower,
            mean=scores[one.trial.id].mean, scores=samples[one.trial.id], failures=0,
        )
        for one in sorted(best, key=lambda one: -scores[one.trial.id].lower)
    ]  # fmt: skip
    winner = stored[candidates[0].trial]
    promised = [
        _add(stored, rows, "promise", winner.id, seed, winner.params, winner.config,
             "completed", MARKS)
        for seed in range(1001, 1005)
    ]  # fmt: skip
    params, config = plan.space.default()
    reference = [
        _add(stored, rows, "reference", REFERENCE, seed, params, config, "completed", MARKS)
        for seed in range(1001, 1005)
    ]
    _store(folder, stored, rows)
    Result(
        winner=winner.id,
        objective="exact_accuracy",
        confidence=0.9,
        candidates=candidates,
        promise=_promise(promised),
        reference=_promise(reference),
    ).save(folder)


def _promise(trials: list[Trial]) -> Promise:
    scores = [trial.score or 0.0 for trial in trials]
    interval = prediction_interval(scores, examples=500)
    return Promise(
        seeds=[trial.seed for trial in trials], scores=scores, mean=sum(scores) / len(scores),
        low=interval.low, high=interval.high, test=scores,
    )  # fmt: skip


def strings(node: Any) -> Iterator[str]:
    """Every string in a tree of plain values."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for child in node.values():
            yield from strings(child)
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from strings(child)
