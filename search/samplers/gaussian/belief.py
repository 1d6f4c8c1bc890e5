"""What is believed of every candidate of a history, and what each next step would be worth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from search.samplers.gaussian.acquisition import (
    log_expected_improvement,
    most_promising,
    moved,
)
from search.samplers.gaussian.encoding import Encoding
from search.samplers.gaussian.observations import Forecasts, Observation, Scale, observations
from search.samplers.gaussian.prior import Prior, earned
from search.samplers.gaussian.process import GaussianProcess
from search.samplers.gaussian.threads import one_thread
from search.samplers.history import History
from search.space.space import Space

FloatArray = npt.NDArray[np.float64]


class Belief:
    """A process over all seeds, ended and foreseen, and over what runs as it is expected to end.

    Attributes:
        scale: of the targets.
        seen: numbers of the candidates that have been drawn, those that run included.
        process: the process.
        mean: of each candidate of `seen`, `[seen]`.
        deviation: likewise.
    """

    def __init__(self, history: History, space: Space, most: int | None) -> None:
        self.scale = Scale(history)
        self._history = history
        self._encoding = Encoding(space)
        self._proposed: dict[int, tuple[FloatArray, float]] = {}
        known, pending = observations(history, self.scale)
        records = {record.number: record for record in (*history.warm, *history.records)}
        self.seen: list[int] = sorted(records)
        self._place = {number: place for place, number in enumerate(self.seen)}
        self._rows = np.stack([self._encoding.shares(records[n].params) for n in self.seen])
        self._points = self._encoding.points(self._rows)
        # What trains needs the cores.
        with one_thread():
            self.process = self._conditioned(known, pending, most)
            self.mean, self.deviation = self.process.posterior(self._points)

    def _conditioned(
        self, known: Sequence[Observation], pending: Sequence[int], most: int | None
    ) -> GaussianProcess:
        """The process fitted to what is settled and told the rest, and what is expected of it."""
        settled = [one for one in known if one.settled]
        if most is not None and len(settled) > most:
            settled = _spread(settled, most)
        process = GaussianProcess(
            *self._data(settled), varies=len(settled) >= 8, spread=self.scale.spread
        )
        if self._history.prior:
            places = [self._place[one.number] for one in settled]
            process = earned(self._prior(), self._points[places], settled, process)
        rest = [one for one in known if not one.settled]
        if rest:
            process = GaussianProcess(*self._data([*settled, *rest]), like=process)
        if pending:
            process = process.believing(self._points[[self._place[n] for n in pending]])
        return process

    def _prior(self) -> Prior:
        key = ("prior", id(self._encoding.space))
        if key not in self._history.views:
            self._history.views[key] = Prior(self._history, self._encoding)
        found: Prior = self._history.views[key]
        return found

    def _data(
        self, known: Sequence[Observation]
    ) -> tuple[FloatArray, FloatArray, npt.NDArray[np.int64], FloatArray, FloatArray]:
        places = [self._place[one.number] for one in known]
        return (
            self._points[places],
            np.array([one.target for one in known]),
            self._encoding.owner,
            np.array([one.extra for one in known]),
            np.array([one.common for one in known]),
        )

    def place(self, number: int) -> int:
        """Where a candidate stands in `mean` and `deviation`."""
        return self._place[number]

    @cached_property
    def best(self) -> float:
        """The highest mean of any candidate drawn so far."""
        return float(self.mean.max())

    def chance(self, number: int) -> float:
        """That a candidate is better than the best mean of the others."""
        place = self._place[number]
        others = np.delete(self.mean, place)
        best = float(others.max()) if len(others) else -np.inf
        return float(ndtr((self.mean[place] - best) / self.deviation[place]))

    def standing(self, number: int) -> float:
        """The share of runs that promised more than a candidate's first where that one stands."""
        run = self._history.records[number].runs[0]
        return Forecasts(self._history, self.scale).standing(run)

    def gain(self, number: int) -> float:
        """By how much one more seed of a candidate would raise the best mean."""
        place = self._place[number]
        others = np.delete(self.mean, place)
        if not len(others):
            return float(self.deviation[place])
        mean = self.mean[[place]]
        moves = moved(self.deviation[[place]], self.process.noise(mean))
        gap = -abs(float(mean[0] - others.max()))
        return float(np.exp(log_expected_improvement(np.array([gap]), moves, 0.0))[0])

    def propose(self, entropy: int) -> tuple[FloatArray, float]:
        """The row of shares of highest expected gain, and that."""
        if entropy not in self._proposed:
            with one_thread():
                row, gain = most_promising(
                    self.process, self._encoding, self._rows, np.random.default_rng(entropy)
                )
            self._proposed[entropy] = row, float(np.exp(gain))
        return self._proposed[entropy]

    @property
    def rows(self) -> FloatArray:
        """The candidates of `seen` as rows of shares."""
        return self._rows

    @property
    def encoding(self) -> Encoding:
        """Of the space."""
        return self._encoding


def _spread(known: list[Observation], most: int) -> list[Observation]:
    """The best half, and an even spread over the others by target."""
    from search.samplers.ranking import spread

    order = sorted(known, key=lambda one: (-one.target, one.number))
    return [order[place] for place in spread(len(order), most)]


def belief_of(history: History, space: Space, most: int | None) -> Belief:
    """The history's belief, kept with it until the history changes."""
    key = ("belief", id(space), most)
    version, belief = history.views.get(key, (-1, None))
    if version != history.version:
        belief = Belief(history, space, most)
        history.views[key] = history.version, belief
    return belief  # type: ignore[no-any-return]
