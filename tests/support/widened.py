"""A stored run with more configs than it came with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from search.config.plan import read_plan
from search.ledger.ledger import Ledger


def widened(folder: Path, configs: int) -> Path:
    """Add configs that ran to their end, with the curves of trial 0 raised or lowered."""
    plan = read_plan(folder)
    column = plan.objective.column
    with Ledger.open(folder) as ledger:
        rows, rng = ledger.curve(0), np.random.default_rng(len(ledger.trials))
        for _ in range(configs):
            params, config = plan.space.sample(rng)
            change = float(rng.uniform(0.5, 1.5))
            trial = ledger.add_trial(stage="explore", params=params, config=config, seed=0)
            attempt = ledger.begin_attempt(trial.id)
            for row in rows:
                ledger.acknowledge(trial.id, attempt, {**row, column: change * row[column] / 2})
            ledger.finish(trial.id, "completed", change * rows[-1][column] / 2)
    return folder
