"""The candidate that a Gaussian process proposes, from where those of a history stand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from search.samplers.gaussian.acquisition import most_promising
from search.samplers.gaussian.encoding import Encoding
from search.samplers.gaussian.process import GaussianProcess
from search.samplers.gaussian.warping import warped
from search.samplers.history import History, PastTrial, standing
from search.samplers.ranking import spread
from search.space.space import Draw, Space

FloatArray = npt.NDArray[np.float64]


def proposed(history: History, space: Space, entropy: int, most: int | None) -> Draw:
    """The candidate of highest expected improvement.

    Args:
        most: ended candidates that the process sees; None is all of them.
    """
    encoding = Encoding(space)
    ranked = sorted(
        (record for record in history.ended if record.counts),
        key=lambda record: (standing(record, history.directions[0]), record.number),
    )
    kept = [ranked[place] for place in spread(len(ranked), most)]
    targets = warped(ranked, history.directions[0])[spread(len(ranked), most)]
    running = [history.records[number] for number in history.running]
    # The trials that are training need the cores.
    with threadpool_limits(1):
        rows = _rows(encoding, kept)
        process = GaussianProcess(encoding.points(rows), targets, encoding.owner)
        if running:
            further = _rows(encoding, running)
            process = process.believing(encoding.points(further))
            rows = np.concatenate([rows, further])
        chosen = most_promising(process, encoding, rows, np.random.default_rng(entropy))
    return encoding.draw(chosen)


def _rows(encoding: Encoding, records: list[PastTrial]) -> FloatArray:
    return np.stack([encoding.shares(record.params) for record in records])
