"""How far a step moves a state."""

from __future__ import annotations

from torch import Tensor


def residual(before: Tensor, after: Tensor) -> Tensor:
    """||after - before|| / ||before|| of each example's state, `[batch]`.

    Args:
        before: a state of every example, `[batch, positions, hidden]`.
        after: the same a step later.

    Computed in float32: the difference of two bfloat16 states would be rounded once more.
    """
    old, new = before.float().flatten(1), after.float().flatten(1)
    share: Tensor = (new - old).norm(dim=1) / old.norm(dim=1).clamp(min=1e-12)
    return share
