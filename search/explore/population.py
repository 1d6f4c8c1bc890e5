"""The population stage: a curriculum is learned by runs that take over from each other.

One stretch of a member's training, from one decision to the next, is one trial of the ledger. Its
config holds the whole history of settings along its line of ancestors as a plain curriculum, so
that training the config from the start is the same run, step for step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

import numpy as np

from curricula.learned import (
    Knob,
    KnobName,
    as_curriculum,
    draw_settings,
    knobs_of,
    plain_settings,
)
from search.config.plan import Plan
from search.ledger.ledger import Ledger
from search.ledger.lineage import GENERATION, MEMBER, PARENT, SETTING, learned_history, settings_of
from search.ledger.trial import Trial
from search.objectives.outcome import failed
from search.schedulers.pbt import next_generation
from trm.config import Experiment
from trm.errors import UserError
from trm.training.curriculum import full_stage

_MOST_INFEASIBLE = 200


@dataclass(frozen=True)
class _Stretch:
    """What becomes a trial: its place, the plain curriculum so far, and where it goes on from."""

    params: dict[str, Any]
    config: dict[str, Any]
    checkpoint: str | None = None


class Population:
    """A source of population trials for the engine; rebuilt from the ledger on resume."""

    def __init__(self, plan: Plan, ledger: Ledger, floor: float) -> None:
        scheduler = plan.population
        self.plan = plan
        self.floor = floor
        self.scheduler = scheduler
        self._ledger = ledger
        self._ends = scheduler.marks(slow_start=False)
        self._generations: list[dict[int, Trial]] = [{} for _ in self._ends]
        for trial in ledger.trials.values():
            if trial.breeds:
                self._generations[trial.params[GENERATION]][trial.params[MEMBER]] = trial
        for trial in self._all():
            self._finish_if_done(trial)
        for number, _ in enumerate(self._generations):
            self._forget_before(number)
        self._waiting = deque(trial for trial in self._all() if not trial.ended)
        self._failed = False

    @property
    def wanted(self) -> int:
        """Stretches of training that the stage is to have."""
        return self.plan.wanted

    @property
    def done(self) -> int:
        """Stretches that have ended."""
        return sum(trial.ended for trial in self._all())

    def next(self) -> Trial | None:
        """The next stretch; None while a generation waits for its last members."""
        if not self._waiting and not self.exhausted():
            self._begin_generation()
        return self._waiting.popleft() if self._waiting else None

    def beside(self, trial: Trial, most: int) -> list[Trial]:
        """None: no two stretches are of one config."""
        return []

    def exhausted(self) -> bool:
        """Whether `next` will never give a trial again."""
        complete = len(self._generations[-1]) == self.scheduler.members
        return self._failed or (complete and not self._waiting)

    def waiting(self) -> int:
        """Stretches that could start now."""
        return len(self._waiting)

    def score(self, row: Mapping[str, Any]) -> float:
        """The objective of a report."""
        return self.plan.objective.value(row)

    def on_report(
        self, trial: Trial, row: Mapping[str, Any]
    ) -> Literal["continue", "stop", "complete"]:
        """A stretch is complete at the end of its generation."""
        end = self._ends[trial.params[GENERATION]]
        return "complete" if row["progress"] >= end * (1.0 - 1e-9) else "continue"

    def on_end(self, trial: Trial) -> None:
        """Once a generation has ended, nothing goes on from the one before it."""
        self._forget_before(trial.params[GENERATION])

    def _forget_before(self, number: int) -> None:
        """Remove the checkpoints of the generation before one that has ended as a whole."""
        members = self._generations[number].values()
        ended = len(members) == self.scheduler.members and all(t.outcome for t in members)
        if number and ended:
            for old in self._generations[number - 1].values():
                self._ledger.forget_checkpoints(old.id, None)

    def _all(self) -> list[Trial]:
        return [trial for members in self._generations for trial in members.values()]

    def _begin_generation(self) -> None:
        """Draw up the first generation that is not complete, once the one before it has ended."""
        number = next(
            index
            for index, members in enumerate(self._generations)
            if len(members) < self.scheduler.members
        )
        before = self._generations[number - 1] if number else {}
        if any(not trial.ended for trial in before.values()):
            return
        planned = self._next(number, before) if number else self._first()
        for member, stretch in planned.items():
            # A driver that died in here had stored some of them.
            if member not in self._generations[number]:
                trial = self._ledger.add_trial(
                    stage="population",
                    params=stretch.params,
                    config=stretch.config,
                    seed=self.plan.default.train.seed,
                    checkpoint=stretch.checkpoint,
                )
                self._generations[number][member] = trial
                self._waiting.append(trial)

    def _first(self) -> dict[int, _Stretch]:
        """Member 0 has the file's default values, with nothing learned; the others are drawn."""
        planned = {}
        for member in range(self.scheduler.members):
            random = Random(f"{self.plan.sections.search.seed}/0/{member}")
            params, tree, config = self._draw(member, random)
            knobs = self._knobs(config)
            settings = draw_settings(knobs, random) if member else plain_settings(knobs)
            place = {GENERATION: 0, MEMBER: member, PARENT: None, **params}
            planned[member] = _Stretch(
                {**place, **_named(settings)}, _with_history(tree, config, [(0.0, settings)])
            )
        return planned

    def _draw(
        self, member: int, random: Random
    ) -> tuple[dict[str, Any], dict[str, Any], Experiment]:
        """What the file's distributions come to for a member: parameters, tree and experiment."""
        space = self.plan.space
        if not member:
            return *space.default(), self.plan.default
        rng = np.random.default_rng(random.getrandbits(64))
        error = None
        for _ in range(_MOST_INFEASIBLE):
            params, tree = space.sample(rng)
            try:
                return params, tree, self.plan.experiment(tree)
            except UserError as refused:
                error = refused
        raise UserError(
            f"{_MOST_INFEASIBLE} draws in a row were infeasible, the last because {error}: "
            "narrow the space"
        )

    def _next(self, number: int, before: Mapping[int, Trial]) -> dict[int, _Stretch]:
        """What each member does after a generation that has ended."""
        try:
            steps = next_generation(
                self.scheduler,
                {m: self._knobs(self.plan.experiment(trial.config)) for m, trial in before.items()},
                {member: settings_of(trial) for member, trial in before.items()},
                {member: self._standing(trial) for member, trial in before.items()},
                f"{self.plan.sections.search.seed}/{number}",
            )
        except ValueError:
            self._failed = True
            return {}
        planned = {}
        for member, step in steps.items():
            parent = before[step.parent]
            history = [
                *learned_history(self._ledger.trials, parent, self._ends),
                (self._ends[number - 1], step.settings),
            ]
            place = {GENERATION: number, MEMBER: member, PARENT: parent.id}
            params = {**parent.params, **place, **_named(step.settings)}
            config = _with_history(parent.config, self.plan.experiment(parent.config), history)
            planned[member] = _Stretch(params, config, parent.checkpoint)
        return planned

    def _knobs(self, config: Experiment) -> dict[KnobName, Knob]:
        knobs = knobs_of(full_stage(config))
        return {name: knobs[name] for name in self.scheduler.learn}

    def _standing(self, trial: Trial) -> float | None:
        """What a member is compared by; None if it failed."""
        if not trial.completed:
            return None
        curve = self._ledger.curve(trial.id)
        if not curve:  # one step of a model much larger than the default can outlast a generation
            return None
        if self.scheduler.metric is not None:
            return float(curve[-1][self.scheduler.metric])
        return self.plan.objective.merit(self.plan.objective.value(curve[-1]))

    def _finish_if_done(self, trial: Trial) -> None:
        """Give a stretch the outcome that a killed driver had no time to give it."""
        if trial.ended or not trial.mark:
            return
        row = self._ledger.curve(trial.id)[-1]
        if not failed(row) and self.on_report(trial, row) == "complete":
            self._ledger.finish(trial.id, "completed", self.score(row))


def _named(settings: Mapping[str, float]) -> dict[str, float]:
    return {f"{SETTING}{name}": value for name, value in settings.items()}


def _with_history(
    tree: Mapping[str, Any],
    config: Experiment,
    history: list[tuple[float, dict[str, float]]],
) -> dict[str, Any]:
    """A config tree whose curriculum is its own with the learned parts in place of others."""
    base = config.tree()["curriculum"]
    return {
        **deepcopy(dict(tree)),
        "curriculum": {**base, "name": "custom", **as_curriculum(history)},
    }
