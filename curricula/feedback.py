"""What adaptive schedules learn from training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Feedback:
    """Means over one window of training. They cost nothing: no example is evaluated for them.

    Attributes:
        loss: mean training loss, as optimised.
        exact_accuracy: share of the examples that halted which were right, in [0, 1].
        halt_accuracy: balanced accuracy of the halting decisions, the mean of the share of right
            answers at which the model would halt and the share of wrong ones at which it would
            not; in [0, 1]. A plain share would be near 1 while nothing is solved; this is at most
            0.5 then.
        by_difficulty: for each of the equal bins of difficulty, the easiest first, how many
            examples halted and the share of them that were right. Empty if no schedule asked.

    >>> Feedback(loss=0.4, exact_accuracy=0.5, halt_accuracy=0.8).by_difficulty
    ()
    """

    loss: float
    exact_accuracy: float
    halt_accuracy: float
    by_difficulty: tuple[tuple[int, float], ...] = ()
