"""A made-up search whose finalists race as the product has them race."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from search.config.plan import read_plan
from search.ledger.ledger import Ledger
from search.stability.confirm import finalists, rank
from search.stability.confirm_race import ConfirmRace
from search.stability.result import Promise, Result
from tests.support.reported import MARKS, TREE, curve, made

STABILITY = {"candidates": 6, "seeds": 2, "budget": 30, "promise_seeds": 2}


def raced(folder: Path, search: dict[str, Any] | None = None, racing: bool = True) -> Path:
    """Write such a run folder; the best of the search is the best of the race."""
    tree = {**TREE, "stability": {**STABILITY, "racing": racing}}
    made(folder, 60, result=False, tree=tree, changes=search)
    plan = read_plan(folder)
    with Ledger.open(folder) as ledger:
        chosen = finalists(plan, ledger)
        means = {trial.id: 0.9 - 0.06 * index for index, trial in enumerate(chosen)}
        run = ConfirmRace(plan, ledger, chosen, 500)
        while (trial := run.next()) is not None:
            ledger.begin_attempt(trial.id)
            for row in curve(trial.id, trial.params, trial.seed, MARKS, diverges=False):
                ledger.acknowledge(trial.id, 1, row)
            noise = 0.03 if trial.seed % 2 else -0.03
            ledger.finish(trial.id, "completed", means[trial.candidate] + noise)
        candidates = rank(plan, ledger, 500)
        promise = Promise([1001, 1002], [0.9, 0.9], 0.9, 0.8, 1.0, [0.9, 0.9])
        winner = next(c.trial for c in candidates if c.feasible)
        Result(winner, plan.objective.column, 0.9, candidates, promise, promise,
               race=run.summary()).save(folder)  # fmt: skip
    return folder
