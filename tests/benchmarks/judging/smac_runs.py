"""SMAC's hyperparameter optimisation facade on full runs: random forests, several seeds a config.

Source: Lindauer et al., "SMAC3", JMLR 23, 2022. It is no dependency: `pip install smac` first.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Mapping
from typing import Any

from search.config.plan import Plan
from search.ledger.trial import Row
from search.simulator.simulator import Incumbent, Simulated
from search.simulator.virtual_clock import START, Stretch, VirtualClock
from search.simulator.world import Params, World
from search.space.distributions import Choice
from search.space.space import Space


def simulate_smac(
    world: World, plan: Plan, seed: int, *, workers: int, compute: float
) -> Simulated:
    """One sweep at SMAC's defaults, told how many runs there are. It tries our default first."""
    from smac import HyperparameterOptimizationFacade, Scenario

    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(
            config_space(plan.space), n_trials=round(compute / plan.budget), seed=seed,
            deterministic=False, output_directory=folder,
        )  # fmt: skip
        default = scenario.configspace.get_default_configuration()
        facade = HyperparameterOptimizationFacade(
            scenario,
            lambda config, seed=0: math.nan,
            initial_design=HyperparameterOptimizationFacade.get_initial_design(
                scenario, additional_configs=[default]
            ),
            logging_level=logging.ERROR,
            overwrite=True,
        )
        clock = VirtualClock(workers)
        run = _Smac(world, plan, facade, clock)
        clock.run(run, compute)
    quality = run.points[-1].quality if run.points else plan.objective.worst(world.floor)
    return Simulated(run.pick, quality, clock.compute, clock.now, len(run.runs), run.points)


def config_space(space: Space) -> Any:
    """A space without conditions in SMAC's terms."""
    from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer

    found = ConfigurationSpace()
    for name, d in space.parameters.items():
        assert not d.condition, name
        if isinstance(d, Choice):
            found.add(Categorical(name, list(d.options), default=d.first()))
        elif d.integer:
            found.add(Integer(name, (int(d.low), int(d.high)), log=d.log, default=d.first()))
        else:
            found.add(Float(name, (d.low, d.high), log=d.log, default=d.first()))
    return found


class _Smac:
    """A facade as a source of runs."""

    def __init__(self, world: World, plan: Plan, facade: Any, clock: VirtualClock) -> None:
        self.world, self.plan, self.facade, self.clock = world, plan, facade, clock
        self.runs: dict[str, tuple[Any, Params]] = {}
        self.points: list[Incumbent] = []
        self.pick: Params | None = None
        self._seeds: dict[int, int] = {}

    def next(self) -> Stretch | None:
        info = self.facade.ask()
        params = self._params(info.config)
        key = str(len(self.runs))
        self.runs[key] = info, params
        run = self.world.run(params, self._seeds.setdefault(info.seed, len(self._seeds)))
        return Stretch(key, list(run.rows), START, run.outcome == "completed")

    def on_report(self, key: str, row: Row, *, last: bool) -> bool:
        if last:
            self._tell(key, self.plan.objective.value(row))
        return not last

    def on_failure(self, key: str) -> None:
        self._tell(key, self.plan.objective.worst(self.world.floor))

    def _tell(self, key: str, value: float) -> None:
        from smac.runhistory.dataclasses import TrialValue

        info, _ = self.runs[key]
        self.facade.tell(info, TrialValue(cost=-self.plan.objective.merit(value)))
        best = self.facade.intensifier.get_incumbent()
        pick = None if best is None else self._params(best)
        if pick is not None and pick != self.pick:
            self.pick = pick
            quality = self.world.truth(pick)
            self.points.append(Incumbent(self.clock.arrived, self.clock.now, quality))

    def _params(self, config: Mapping[str, Any]) -> Params:
        cast = {
            name: d.cast(config[name]) if isinstance(d, Choice) else d.snap(float(config[name]))
            for name, d in self.plan.space.parameters.items()
        }
        return self.world.stands_for(cast)
