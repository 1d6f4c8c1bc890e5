"""A sweep's history as an Optuna study that samplers read, in memory and without copies."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.objectives.objective import Direction
from search.samplers.history import History, PastTrial
from search.samplers.optuna_trials import Translator
from search.samplers.ranking import ParetoRanking, Ranking, SingleRanking, spread
from search.space.space import Space

EXCESS = "constraints"
"""Name under which a sampler sees how far a completed candidate violates its constraints."""


class View:
    """The ended and the running candidates of a history as Optuna's trials, each built once."""

    def __init__(self, history: History, space: Space, *, as_pruned: bool) -> None:
        self.translator = Translator(space, as_pruned=as_pruned)
        self._history = history
        self._seen = 0
        self._ended: dict[int, FrozenTrial] = {}
        self._running: dict[int, FrozenTrial] = {}
        single = len(history.directions) == 1
        self.ranking: Ranking = (
            SingleRanking(history.directions[0]) if single else ParetoRanking(history.directions)
        )

    def catch_up(self) -> None:
        """Take in what has happened since the last call."""
        ended = self._history.ended
        for record in ended[self._seen :]:
            self._running.pop(record.number, None)
            if record.counts:
                self.ranking.add(record)
                self._ended[record.number] = self._trial(record)
        self._seen = len(ended)
        for number in self._history.running:
            if number not in self._running:
                self._running[number] = self._trial(self._history.records[number])

    @property
    def count(self) -> int:
        """How many ended candidates say anything."""
        return len(self._ended)

    def ended(self, number: int) -> FrozenTrial | None:
        """An ended candidate; None if it has not ended, or says nothing."""
        return self._ended.get(number)

    def trials(self, most: int | None) -> list[FrozenTrial]:
        """By number: at most `most` of the ended candidates, and all that run."""
        numbers = self.ranking.pick(spread(len(self._ended), most))
        chosen = [self._ended[number] for number in numbers]
        chosen += self._running.values()
        return sorted(chosen, key=lambda trial: trial.number)

    def _trial(self, record: PastTrial) -> FrozenTrial:
        excess = record.excess
        return self.translator.trial(
            record, record.number, constraints={EXCESS: excess} if excess else {}
        )


def view_of(history: History, space: Space, *, as_pruned: bool) -> View:
    """The history's view, kept with it and brought up to date."""
    key = ("view", id(space), as_pruned)
    if key not in history.views:
        history.views[key] = View(history, space, as_pruned=as_pruned)
    view: View = history.views[key]
    view.catch_up()
    return view


def study_of(
    trials: list[FrozenTrial], directions: Sequence[Direction], sampler: BaseSampler
) -> optuna.Study:
    """A study that holds the trials, in this order."""
    return optuna.load_study(
        study_name="history", storage=_Shelf(trials, directions), sampler=sampler
    )


def next_trial(number: int) -> FrozenTrial:
    """The trial that is about to be drawn."""
    trial = create_trial(state=TrialState.RUNNING)
    trial.number = number
    return trial


class _Shelf(BaseStorage):
    """One study of given trials, read-only; notes that samplers leave for others are dropped."""

    def __init__(self, trials: list[FrozenTrial], directions: Sequence[Direction]) -> None:
        self._trials = trials
        self._directions = [StudyDirection[direction.upper()] for direction in directions]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if states is None:
            return self._trials
        return [trial for trial in self._trials if trial.state in states]

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._directions

    def get_study_id_from_name(self, study_name: str) -> int:
        return 0

    def get_study_name_from_id(self, study_id: int) -> str:
        return "history"

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return {}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None: ...

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None: ...

    def _refuse(self, *_: object, **__: object) -> Any:
        raise NotImplementedError("a view of the history is read-only")

    create_new_study = delete_study = set_study_user_attr = get_all_studies = _refuse
    create_new_trial = set_trial_param = set_trial_state_values = _refuse
    set_trial_intermediate_value = set_trial_user_attr = get_trial = _refuse
