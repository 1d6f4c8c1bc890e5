"""Tree-structured Parzen estimator."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field

from search.samplers.base import LearningSamplerConfig, single_value
from search.samplers.history import History
from search.space.distributions import Condition, Distribution, Range
from search.space.space import Draw, Space

Suggest = Callable[[str, Distribution], Any]


class TpeConfig(LearningSamplerConfig):
    """Tree-structured Parzen estimator, multivariate over parameters that exist together.

    Those that one condition makes exist are a group; only groups of the options drawn are asked
    for. Running candidates count as bad ones ("constant liar"), so parallel draws spread out.
    Sources: Bergstra et al., NeurIPS 2011; Watanabe, arXiv 2304.11127.

    Attributes:
        n_ei_candidates: points of which the most promising is taken.
        max_observations: ended candidates that the model sees at most, the best half of them
            and an even spread over the rest by quality; null is all of them, whose draws cost
            time in proportion to their number. The model of good candidates is the same: it
            holds 25 at most.
    """

    name: Literal["tpe"] = "tpe"
    n_ei_candidates: int = Field(default=24, ge=1, le=100_000)
    max_observations: int | None = Field(default=250, ge=50)

    def model(self, history: History, space: Space, entropy: int) -> Draw:
        return space.draw(self.suggest(history, space, entropy))

    def suggest(self, history: History, space: Space, entropy: int) -> Suggest:
        """What `Space.draw` asks for each parameter."""
        import optuna

        from search.samplers.view import next_trial, study_of, view_of

        single = len(history.directions) == 1
        view = view_of(history, space, as_pruned=single)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                n_startup_trials=1,
                n_ei_candidates=self.n_ei_candidates,
                multivariate=True,
                constant_liar=True,
                seed=entropy,
            )
        study = study_of(view.trials(self.max_observations), history.directions, sampler)
        trial = next_trial(len(history.records))
        drawn: dict[Condition, dict[str, Any]] = {}

        def suggest(name: str, distribution: Distribution) -> Any:
            if distribution.count == 1:
                return single_value(distribution)
            group = distribution.condition
            if group not in drawn:
                wanted = view.translator.search_space(space.groups[group])
                drawn[group] = sampler.sample_relative(study, trial, wanted)
            return fit(distribution, drawn[group][name])

        return suggest


def fit(distribution: Distribution, value: Any) -> Any:
    """A value that Optuna drew, without its rounding errors at the ends."""
    return distribution.snap(value) if isinstance(distribution, Range) else value
