"""What every sampler is: a pure function from what is known to the next candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from pydantic import Field

from curricula.component import Component
from search.samplers.history import History
from search.space.distributions import Distribution
from search.space.space import Draw, Space

MODEL_ATTEMPTS = 2
RANDOM_ATTEMPTS = 50
"""Draws from the model, then from the prior, that may repeat an earlier candidate in a row."""

DECAY = 0.1
"""How long the prior is drawn from beside a model, as a share of the planned candidates."""


def draw_seed(seed: int, number: int, attempt: int = 0) -> int:
    """The seed of a candidate's draw: nothing but the sweep's seed and the number matter."""
    return int(np.random.SeedSequence([seed, number, attempt]).generate_state(1)[0])


class SamplerConfig(Component):
    """How candidates are drawn. Subclasses fix `name` and say what they propose.

    A draw is a function of its arguments: no state is kept but what is derived from the history.
    """

    name: str

    def check(self, space: Space, objectives: int, trials: int) -> None:
        """Refuse a space or a sweep for which the sampler makes no sense, before anything starts.

        Raises:
            UserError: one line naming the key, its value and the remedy.
        """

    def size(self, space: Space) -> int | None:
        """How many different candidates there can be; None for any number."""
        return int(space.size) if math.isfinite(space.size) else None

    def sees_runs(self, space: Space, objectives: int, trials: int) -> bool:
        """Whether draws depend on the seeds and curves of candidates (`PastTrial.runs`)."""
        return False

    def reason(self, space: Space, objectives: int, trials: int) -> str:
        """Why it is this one, in one sentence, where it was not the file that said so."""
        return ""

    def exhausted(self, history: History, space: Space) -> bool:
        """Whether every candidate that there can be was drawn."""
        size = self.size(space)
        return size is not None and len(_drawn(history)) >= size

    def draw(self, history: History, space: Space, seed: int, trials: int) -> Draw:
        """The next candidate, number `len(history.records)`.

        One that repeats an earlier candidate would tell nothing, so it is drawn anew a few times,
        in the end from the prior; a small space runs out of others.

        Args:
            seed: the sweep's.
            trials: the planned number of candidates.
        """
        number = len(history.records)
        known = _drawn(history)
        for attempt in range(MODEL_ATTEMPTS):
            draw = self.propose(history, space, seed, trials, attempt)
            if _key(draw[0]) not in known:
                return draw
        for attempt in range(MODEL_ATTEMPTS, MODEL_ATTEMPTS + RANDOM_ATTEMPTS):
            draw = space.sample(np.random.default_rng(draw_seed(seed, number, attempt)))
            if _key(draw[0]) not in known:
                break
        return draw

    def propose(
        self, history: History, space: Space, seed: int, trials: int, attempt: int = 0
    ) -> Draw:
        """One draw, which may repeat an earlier candidate; another attempt gives another one."""
        raise NotImplementedError(self.name)


class LearningSamplerConfig(SamplerConfig):
    """A sampler that learns from what has ended, after `n_startup_trials` draws from the prior.

    If any parameter has a prior, a model knows it from the start-up draws, and later candidate n of
    N comes from the prior with probability min(1/2, 0.1 N / n). So the prior counts for less and
    less, with the 1/n of piBO (Hvarfner et al., ICLR 2022, arXiv 2204.11051, equation 6, where its
    exponent is N / 10 / n); that it is drawn from beside a model, and the model takes over as it
    learns better, is PriorBand's way (Mallik et al., NeurIPS 2023, arXiv 2306.12370).

    Attributes:
        n_startup_trials: draws from the prior before the model is used.
    """

    n_startup_trials: int = Field(default=10, ge=1, le=1_000_000)

    def propose(
        self, history: History, space: Space, seed: int, trials: int, attempt: int = 0
    ) -> Draw:
        number = len(history.records)
        entropy = draw_seed(seed, number, attempt)
        rng = np.random.default_rng(entropy)
        ready = history.learned >= self.n_startup_trials
        if not ready or (space.has_prior and rng.random() < prior_share(number, trials)):
            return space.sample(rng)
        return self.model(history, space, entropy)

    def model(self, history: History, space: Space, entropy: int) -> Draw:
        """A draw that uses the history, in which at least one candidate has ended."""
        raise NotImplementedError(self.name)


def prior_share(number: int, trials: int) -> float:
    """The probability with which a candidate is drawn from the prior once a model has learned.

    >>> [prior_share(number, 100) for number in (10, 20, 50, 100)]
    [0.5, 0.5, 0.2, 0.1]
    """
    return min(0.5, DECAY * trials / max(number, 1))


def single_value(distribution: Distribution) -> object:
    """The value of a distribution that has only one."""
    assert distribution.count == 1, distribution
    return distribution.first()


def _drawn(history: History) -> set[frozenset[tuple[str, object]]]:
    """The parameters of every candidate so far."""
    view = history.views.setdefault("drawn", {"seen": 0, "keys": set()})
    for record in history.records[view["seen"] :]:
        view["keys"].add(_key(record.params))
    view["seen"] = len(history.records)
    keys: set[frozenset[tuple[str, object]]] = view["keys"]
    return keys


def _key(params: Mapping[str, object]) -> frozenset[tuple[str, object]]:
    return frozenset(params.items())
