"""What to do next with a run that has a winner, as commands."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from search.config.plan import Plan
from search.ledger.book import Book
from search.stability.failings import OFTEN, Failing
from search.stability.result import Result
from search.stability.standing import against_defaults, lead, little

FEWEST_SEEDS = 3
"""Promise seeds with which a winner may be used without care."""
WIDE = 0.3
"""A promise of a share that is wider says little."""
MOST_LOST = 0.05
"""Of exact accuracy, deeper than trained, that is no reason for care."""
LONGER = 4
"""Times the training that is advised where next to nothing was learned."""
MOST_SEEDS = 16
"""Promise seeds that are advised; more cost more than they tell."""


@dataclass(frozen=True)
class NextStep:
    """What to do.

    Attributes:
        command: as a user types it.
        why: what it is for.
    """

    command: str
    why: str


def next_steps(
    plan: Plan, result: Result, book: Book, found: Sequence[Failing], run: str
) -> list[NextStep]:
    steps = []
    if result.winning.reservation:
        steps.append(NextStep(f"trm diagnose {run}", "says what went wrong in each trial"))
    elif little(plan, result, book):
        longer = f"--set train.budget.flops={LONGER * plan.budget:.3g}"
        steps.append(
            NextStep(
                f"trm sweep {run}/sweep.yaml {longer} --out {run}-longer",
                f"searches with {LONGER} times the training",
            )
        )
    standing = lead(plan, result, book)
    if standing.level and not result.winning.reservation:
        spent_runs = sum(len(c.scores) for c in result.candidates)
        more = spent_runs + 2 * (1 + len(standing.level))
        steps.append(
            NextStep(f"trm stability {run} --budget {more}", "more seeds for those that may win")
        )
    seeds = _more_seeds(plan, result, book)
    if seeds:
        steps.append(
            NextStep(f"trm stability {run} --promise-seeds {seeds}", "a surer, narrower promise")
        )
    deep = result.promise.deeper
    lost = deep is not None and deep.mean > MOST_LOST
    if lost or any(one.detector == "depth_divergence" for one in found):
        column = "depth_drop_x16" if lost else "depth_drop"
        keep = shlex.quote(f'search.constraints=["{column} <= {MOST_LOST}"]')
        steps.append(
            NextStep(
                f"trm sweep {run}/sweep.yaml --set {keep} --out {run}-deep",
                "searches among configs that hold when they are run deeper",
            )
        )
    elif any(one.trials >= OFTEN * one.of for one in found):
        steps.append(NextStep(f"trm diagnose {run}", "says what to try against each finding"))
    if not steps:
        steps.append(NextStep(f"trm train {run}/best.yaml", "trains it alone"))
        steps.append(NextStep(f"trm eval {run} --split test", "looks at its kept weights"))
    return steps[:3]


def _more_seeds(plan: Plan, result: Result, book: Book) -> int:
    """Promise seeds that would tell more; 0 where there are enough."""
    promise, have = result.promise, len(result.promise.scores)
    wide = plan.objective.is_share and promise.high - promise.low > WIDE and not promise.undefined
    found = against_defaults(plan, result, book)
    if found is not None and not found.settled and found.seeds is not None:
        return 0 if found.seeds > MOST_SEEDS * 4 else min(max(found.seeds, have + 2), MOST_SEEDS)
    return max(8, 2 * have) if (wide or have < FEWEST_SEEDS) and have < MOST_SEEDS else 0
