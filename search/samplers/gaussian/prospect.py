"""What further runs would add to the best candidate, as a Gaussian process believes it.

Functions are drawn from the process over the candidates that have ended and over a pool of others.
Each further run is of the pool's best by one of the draws (Thompson, "On the likelihood that one
unknown probability exceeds another", Biometrika 25, 1933). Then every draw is the truth in turn:
the runs are seen with its noise, the process is told, the candidate that it would pick now is
picked, and what the truth says of it and of the present pick is compared. So a gain may be negative
in a draw, as it may be in life.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from search.samplers.gaussian.belief import Belief
from search.samplers.gaussian.threads import one_thread

FloatArray = npt.NDArray[np.float64]

DRAWS = 256
MOST_RUNS = 48
"""Further runs that are foreseen at most; beyond, the gain is that of so many."""
_RANDOM, _LEADERS, _NEAR, _SCALE = 250, 5, 30, 0.1


def gains(belief: Belief, able: list[int], runs: int, caution: float, entropy: int) -> FloatArray:
    """How much better the pick would truly be after further runs, draw by draw, `[DRAWS]`, in the
    objective's units, more is better.

    Args:
        able: numbers of the candidates that may be picked now; at least one.
        runs: further runs, at least one.
        caution: deviations by which a pick's mean is lowered.
    """
    rng = np.random.default_rng(entropy)
    encoding, process = belief.encoding, belief.process
    places = [belief.place(number) for number in able]
    rows = belief.rows[places]
    leaders = rows[np.argsort(-belief.mean[places], kind="stable")[:_LEADERS]]
    near = encoding.mutated(rng, np.repeat(leaders, _NEAR, axis=0), _SCALE)
    points = encoding.points(np.concatenate([rows, encoding.random(rng, _RANDOM), near]))
    with one_thread():
        mean, covariance = process.joint(points)
        root = _root(covariance)
        truths = mean + rng.standard_normal((DRAWS, len(points))) @ root.T
        batch = _batch(truths[:, len(able) :], min(runs, MOST_RUNS)) + len(able)
        noise = process.noise(mean[batch])
        cross = covariance[:, batch]
        gain = cho_solve(cho_factor(cross[batch] + np.diag(noise)), cross.T).T
        errors = np.sqrt(noise) * rng.standard_normal((DRAWS, len(batch)))
        later = mean + (truths[:, batch] + errors - mean[batch]) @ gain.T
        left = np.sqrt(np.maximum(np.diag(covariance) - (gain * cross).sum(axis=1), 0.0))
    before = np.sqrt(np.diag(covariance))
    now = int(np.argmax((mean - caution * before)[: len(able)]))
    mays = np.concatenate([np.arange(len(able)), batch])
    picks = mays[np.argmax((later - caution * left)[:, mays], axis=1)]
    chosen = truths[np.arange(DRAWS), picks]
    return belief.scale.merits(chosen) - belief.scale.merits(truths[:, now])


def _batch(draws: FloatArray, runs: int) -> npt.NDArray[np.int64]:
    """The best of one draw after another, none twice."""
    found: list[int] = []
    for draw in draws[:runs]:
        order = np.argsort(-draw, kind="stable")
        found.append(next(int(place) for place in order if place not in found))
    return np.array(found)


def _root(covariance: FloatArray) -> FloatArray:
    """A square root of a matrix that rounding may have left with eigenvalues just below 0."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
