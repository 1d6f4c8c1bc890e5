"""How many threads a trial has, on synthetic curves of throughput."""

from __future__ import annotations

import pytest

from cluster.resources import Share, room
from cluster.threads import (
    Paced,
    ThreadPace,
    climb,
    memory_share,
    most_threads,
    places,
    scarce_memory,
    threads_for,
)


def curve(serial: float) -> dict[int, float]:
    """Steps a second by threads where a share of the work has one thread (Amdahl's law)."""
    return {n: 1.0 / (serial + (1.0 - serial) / n) for n in range(1, 129)}


def measured(serial: float, most: int = 64) -> ThreadPace:
    rates = curve(serial)
    return ThreadPace(*(lambda found: (found[0], 0.0, found[1]))(climb(lambda n: rates[n], most)))


def together(pace: ThreadPace, threads: int, trials: int, cores: int) -> float:
    """Steps a second of all that run at once."""
    rate = next(one.rate for one in pace.paced if one.threads == threads)
    return min(trials, cores // threads) * rate


@pytest.mark.parametrize("serial", [0.0, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("cores", [2, 8, 64])
@pytest.mark.parametrize("trials", [1, 2, 3, 6, 64, 500])
def test_no_other_number_has_more_throughput_with_as_many_trials_at_once(
    serial: float, cores: int, trials: int
) -> None:
    pace = measured(serial)
    found = threads_for(pace, [{"CPU": float(cores)}], Share(), trials)
    at_once = min(trials, cores)
    kept = [n.threads for n in pace.paced if cores // n.threads >= at_once]
    best = max(together(pace, n, trials, cores) for n in kept)
    assert together(pace, found, trials, cores) == best
    if trials >= cores or serial == 1.0:
        assert found == 1


def test_a_training_that_gets_slower_by_threads_has_one() -> None:
    found, why = climb(lambda n: 20.0 if n == 1 else 0.6, 8)
    assert [one.threads for one in found] == [1]
    assert why == "2 are not 10% faster"
    assert threads_for(ThreadPace(found), [{"CPU": 64.0}], Share(), 1) == 1


def test_what_cannot_be_measured_ends_the_climb() -> None:
    found, why = climb(lambda n: 10.0 * n if n < 3 else "3 took too long", 8)
    assert ([one.threads for one in found], why) == ([1, 2], "3 took too long")
    assert climb(lambda n: "broken", 8) == ((), "broken")
    assert climb(lambda n: 10.0 * n, 6)[1] == "no more than 6 were to be tried"


def test_unequal_nodes_hold_all_trials_still() -> None:
    pace = ThreadPace(tuple(Paced(n, float(n)) for n in (1, 2, 4, 8, 16)))
    nodes = [{"CPU": 32.0}, {"CPU": 8.0}, {"CPU": 0.0}]
    assert threads_for(pace, nodes, Share(), 1) == 16
    assert threads_for(pace, nodes, Share(), 5) == 8, "four on the large one, one on the small one"
    assert threads_for(pace, nodes, Share(), 6) == 4
    assert threads_for(pace, [], Share(), 6) == 16, "no trial waits where none runs"


def test_memory_caps_how_many_run_at_once_and_leaves_cores() -> None:
    pace = ThreadPace(tuple(Paced(n, float(n)) for n in (1, 2, 4, 8)), memory=9e9)
    nodes = [{"CPU": 64.0, "memory": 80e9}]
    share = Share(memory=memory_share(pace, nodes))
    assert share.memory == pytest.approx(10e9)
    assert room(nodes[0], share) == places(nodes, share) == 8
    assert share.request() == {"CPU": 1.0, "memory": 10e9}
    assert threads_for(pace, nodes, share, 500) == 8
    assert room({"CPU": 64.0}, share) == 0, "a node that does not say holds none"
    small = [{"CPU": 4.0, "memory": 4e9}]
    assert places(small, Share(memory=memory_share(pace, small))) == 1, "one may always try"


def test_what_is_worth_a_look() -> None:
    assert most_threads([{"CPU": 2.0}], 3) == 1
    assert most_threads([{"CPU": 8.0}], 3) == 2
    assert most_threads([], 3) == 1
    assert scarce_memory([{"CPU": 16.0, "memory": 32e9}], 16)
    assert not scarce_memory([{"CPU": 16.0, "memory": 128e9}], 16)
    assert not scarce_memory([{"CPU": 1.0, "memory": 1e9}], 16)
