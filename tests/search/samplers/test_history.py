"""What is known of candidates: refused nonsense, and where each stands."""

from __future__ import annotations

import itertools
import math

import pytest

from search.objectives.outcome import FAILURES
from search.samplers.history import History, PastTrial, finite_rungs, standing

PARAMS = {"x": 0.5}


def test_candidates_are_numbered_and_end_once() -> None:
    history = History()
    assert [history.begin({"x": x}) for x in (0.1, 0.2)] == [0, 1]
    history.end(PastTrial(1, {"x": 0.2}, "completed", (0.7,)))
    assert [*history.running] == [0]
    assert [record.number for record in history.ended] == [1]
    assert history.learned == 1
    with pytest.raises(ValueError, match="candidate 1 had ended before"):
        history.end(PastTrial(1, {"x": 0.2}, "completed", (0.8,)))
    with pytest.raises(ValueError, match="candidate 7 is unknown"):
        history.end(PastTrial(7, {}, "completed", (0.8,)))
    assert history.records[1].values == (0.7,)


@pytest.mark.parametrize("outcome", ["completed", *FAILURES])
@pytest.mark.parametrize("values", [(), (math.nan,), (math.inf,), (0.1, 0.2)])
def test_a_value_is_one_finite_number_an_objective(outcome: str, values: tuple[float, ...]) -> None:
    history = History()
    history.begin(PARAMS)
    with pytest.raises(ValueError, match="candidate 0"):
        history.end(PastTrial(0, PARAMS, outcome, values))
    assert history.running, "a refused end ends nothing"


def test_unknown_outcomes_and_gaps_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown outcome 'won'"):
        History(records=[PastTrial(0, PARAMS, "won", (1.0,))])
    with pytest.raises(ValueError, match="candidate 1 is missing"):
        History(records=[PastTrial(0, PARAMS), PastTrial(2, PARAMS)])


def test_a_history_is_rebuilt_from_its_records_in_any_order() -> None:
    records = [
        PastTrial(0, PARAMS),
        PastTrial(1, PARAMS, "pruned"),
        PastTrial(2, PARAMS, "oom", (0.0,)),
    ]
    warm = [PastTrial(-2, PARAMS, "completed", (0.3,)), PastTrial(-1, PARAMS, "stopped")]
    for order in itertools.permutations(records):
        history = History(("maximize",), reversed(warm), order)
        assert history.records == records
        assert [*history.running] == [0]
        assert history.warm == tuple(warm)
        assert history.learned == 3


@pytest.mark.parametrize(("direction", "better", "worse"), [("maximize", 1, 0), ("minimize", 0, 1)])
def test_where_candidates_stand(direction: str, better: float, worse: float) -> None:
    broken = {"a": 2.0, "b": -1.0}
    ranked = [
        PastTrial(0, PARAMS, "completed", (better,)),
        PastTrial(1, PARAMS, "completed", (worse,), violations={"a": -3.0}),
        PastTrial(2, PARAMS, "pruned", (better,), {0: worse, 2: better}),
        PastTrial(3, PARAMS, "stopped", (), {2: worse, 3: math.nan}),
        PastTrial(4, PARAMS, "pruned", (), {1: better}),
        PastTrial(5, PARAMS, "pruned"),
        PastTrial(6, PARAMS, "completed", (better,), violations=broken),
        PastTrial(7, PARAMS, "completed", (better,), violations={"a": 9.0, "b": 9.0}),
        PastTrial(8, PARAMS, "completed", (better,), violations={"a": math.inf, "b": 9.0}),
        PastTrial(9, PARAMS, "diverged", (worse,)),
        PastTrial(10, PARAMS, "infeasible"),
    ]
    places = [standing(record, direction) for record in ranked]  # type: ignore[arg-type]
    assert places == sorted(places)
    assert len({*places}) == len(places)
    assert ranked[6].excess == pytest.approx((2 / 3) / 2)


def test_what_says_nothing_does_not_count() -> None:
    assert not PastTrial(0, PARAMS).counts
    assert not PastTrial(0, PARAMS, "stopped").counts
    assert PastTrial(0, PARAMS, "stopped", rungs={0: 0.1}).counts
    assert PastTrial(0, PARAMS, "infeasible").counts
    assert finite_rungs(PastTrial(0, PARAMS, rungs={2: math.inf, 1: 0.5})) == {1: 0.5}
