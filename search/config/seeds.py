"""Which seeds belong to which stage: offsets from the file's own, so no two stages share one."""

from __future__ import annotations

MOST_SEEDS = 1000
"""Of a candidate in one stage; the seeds of the next stage begin after them."""

CONFIRM_SEEDS = 1
"""Offset of the confirm stage's first seed from the explore stage's."""
PROMISE_SEEDS = CONFIRM_SEEDS + MOST_SEEDS
"""Of the winner's and the reference recipe's, which took no part in the choice."""
EXPLORE_SEEDS = PROMISE_SEEDS + MOST_SEEDS
"""Of the second run of an explored config, where `search.seeds` asks for several."""
SENSITIVITY_SEEDS = EXPLORE_SEEDS + MOST_SEEDS
"""Of the runs around the winner's values."""
ABLATION_SEEDS = SENSITIVITY_SEEDS + MOST_SEEDS
"""Of the ablations."""

REFERENCE = -1
"""The candidate number of the reference recipe: the file's default values."""
