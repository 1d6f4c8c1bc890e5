"""Best first, whatever the order in which candidates end."""

from __future__ import annotations

import random

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, create_trial

from search.objectives.objective import Direction
from search.samplers.history import History, PastTrial, standing
from search.samplers.ranking import ParetoRanking, SingleRanking, spread, violation
from search.samplers.view import view_of
from search.space.space import Space

SPACE = Space.parse({"x": {"uniform": [0, 1]}})


def some(count: int, objectives: int, seed: int) -> list[PastTrial]:
    rng = random.Random(seed)
    records = []
    for number in range(count):
        # Few different values, so that ties and dominance are frequent.
        values = tuple(round(rng.random(), 1) for _ in range(objectives))
        end = rng.choice(["completed", "completed", "pruned", "diverged", "infeasible"])
        records.append(
            PastTrial(
                number,
                {"x": rng.random()},
                end,
                () if end == "infeasible" else values,
                {0: values[0]} if end == "pruned" else {},
                {"c": rng.choice([-1.0, -1.0, 0.5])} if end == "completed" else {},
                rng.choice([0.3, 0.6]),
            )
        )
    return records


@pytest.mark.parametrize("seed", range(5))
def test_one_objective_is_ranked_by_standing(seed: int) -> None:
    records = some(80, 1, seed)
    ranking, shuffled = SingleRanking("minimize"), SingleRanking("minimize")
    for record in records:
        ranking.add(record)
    for record in random.Random(seed).sample(records, len(records)):
        shuffled.add(record)
    order = ranking.pick(range(80))
    assert order == shuffled.pick(range(80))
    assert order == sorted(range(80), key=lambda n: (standing(records[n], "minimize"), n))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("directions", [("maximize", "minimize"), ("minimize",) * 3])
def test_several_objectives_are_ranked_by_dominance(
    seed: int, directions: tuple[Direction, ...]
) -> None:
    records = some(150, len(directions), seed)
    ranking = ParetoRanking(directions)
    for record in random.Random(seed).sample(records, len(records)):
        ranking.add(record)
    signs = [1 if d == "minimize" else -1 for d in directions]

    def dominates(one: PastTrial, other: PastTrial) -> bool:
        both = zip(signs, one.values, other.values, strict=False)  # infeasible ones have none
        pairs = [(s * a, s * b) for s, a, b in both]
        return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)

    def key(record: PastTrial) -> tuple[float, int, int]:
        alike = [r for r in records if violation(r) == violation(record)]
        return violation(record), sum(dominates(r, record) for r in alike), record.number

    assert ranking.pick(range(150)) == [r.number for r in sorted(records, key=key)]


def test_optuna_ranks_what_it_is_shown_in_the_same_classes() -> None:
    """TPE of several objectives: completed, then by how far something is violated."""
    directions: tuple[Direction, ...] = ("maximize", "minimize")
    records = [
        PastTrial(0, {"x": 0.1}, "infeasible"),
        PastTrial(1, {"x": 0.2}, "crashed", (0.0, 0.0)),
        PastTrial(2, {"x": 0.3}, "pruned", (0.9, 0.1), progress=0.2),
        PastTrial(3, {"x": 0.4}, "pruned", (0.1, 0.9), progress=0.7),
        PastTrial(4, {"x": 0.5}, "completed", (0.9, 0.1), violations={"c": 0.1}),
        PastTrial(5, {"x": 0.6}, "completed", (0.2, 0.8)),
        PastTrial(6, {"x": 0.7}, "completed", (0.3, 0.7)),
    ]
    view = view_of(History(directions, (), records), SPACE, as_pruned=False)
    split = optuna.samplers._tpe.sampler._split_trials
    study = optuna.create_study(directions=[*directions])
    best: list[int] = []
    for below in range(1, len(records)):
        chosen, _ = split(study, view.trials(None), below)
        best += [trial.number for trial in chosen if trial.number not in best]
    assert best == [6, 5, 4, 3, 2, 1]
    assert view.ranking.pick(range(7)) == [6, 5, 4, 3, 2, 1, 0]


def test_optuna_selects_parents_in_the_same_classes() -> None:
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    records = [
        PastTrial(0, {"x": 0.2}, "crashed", (0.9, 0.0)),
        PastTrial(1, {"x": 0.3}, "pruned", (0.9, 0.1), progress=0.2),
        PastTrial(2, {"x": 0.4}, "pruned", (0.1, 0.9), progress=0.7),
        PastTrial(3, {"x": 0.6}, "completed", (0.2, 0.8)),
    ]
    view = view_of(History(("maximize", "minimize"), (), records), SPACE, as_pruned=False)
    strategy = optuna.samplers.nsgaii._elite_population_selection_strategy
    ranks = strategy._rank_population(view.trials(None), directions, is_constrained=True)
    assert [[trial.number for trial in rank] for rank in ranks] == [[3], [2], [1], [0]]


@pytest.mark.parametrize(("count", "most"), [(10, 4), (1000, 150), (151, 150), (5, 50), (7, None)])
def test_a_spread_holds_the_best_and_reaches_the_worst(count: int, most: int | None) -> None:
    places = spread(count, most)
    assert places == sorted(set(places))
    assert len(places) == min(count, most or count)
    assert places[-1] < count
    if most is not None and count > most:
        assert places[: most // 2] == [*range(most // 2)]
        gaps = [b - a for a, b in zip(places[most // 2 :], places[most // 2 + 1 :], strict=False)]
        assert max(gaps, default=0) - min(gaps, default=0) <= 1
        assert count - places[-1] <= max(gaps, default=count)


def test_a_trial_is_built_once() -> None:
    history = History()
    for x in (0.1, 0.2):
        history.begin({"x": x})
    history.end(PastTrial(0, {"x": 0.1}, "completed", (0.5,)))
    first: list[FrozenTrial] = view_of(history, SPACE, as_pruned=True).trials(None)
    history.end(PastTrial(1, {"x": 0.2}, "pruned", (), {0: 0.1}))
    second = view_of(history, SPACE, as_pruned=True).trials(None)
    assert second[0] is first[0]
    assert (first[1].state.name, second[1].state.name) == ("RUNNING", "PRUNED")
    assert create_trial(value=0.5).state == second[0].state
