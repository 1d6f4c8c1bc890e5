"""The racing policy: who is served, when it waits and ends, and that its shares are the best."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from search.stats.race_rules import Entrant, Rules, allocation, ending, next_seed

RULES = Rules(seeds=2, budget=12, max_seeds=8)
FAR = {0: Entrant([0.9, 0.92]), 1: Entrant([0.2, 0.22]), 2: Entrant([0.1, 0.12])}


def play(scores: dict[int, np.ndarray], rules: Rules) -> dict[int, int]:
    """How many seeds each gets, when every run ends before the next is given."""
    given = dict.fromkeys(scores, 0)
    while True:
        entrants = {key: Entrant(scores[key][:n].tolist()) for key, n in given.items()}
        chosen = next_seed(entrants, rules)
        if chosen is None:
            return given
        given[chosen] += 1


def test_first_seeds_come_seed_by_seed_and_nobody_overtakes() -> None:
    entrants = {key: Entrant([]) for key in "abc"}
    order = []
    for _ in range(6):
        key = next_seed(entrants, RULES)  # type: ignore[arg-type]
        order.append(key)
        entrants[key] = Entrant([], entrants[key].running + 1)  # type: ignore[index]
    assert order == list("abcabc")
    # All are given and none has ended: an idle worker waits.
    assert next_seed(entrants, RULES) is None  # type: ignore[arg-type]


def test_it_ends_once_the_winner_is_separated_and_not_before() -> None:
    assert next_seed(FAR, RULES) is None
    assert ending(FAR, RULES) == "separated"
    near = {**FAR, 1: Entrant([0.88, 0.93])}
    assert next_seed(near, RULES) in (0, 1), "the third is out of the race"


def test_budget_and_max_seeds_end_it() -> None:
    rng = np.random.default_rng(0)
    equal = {key: rng.normal(0.5, 0.1, 50) for key in range(3)}
    given = play(equal, RULES)
    assert sum(given.values()) == 12
    entrants = {key: Entrant(equal[key][:n].tolist()) for key, n in given.items()}
    assert ending(entrants, RULES) == "budget"
    few = Rules(seeds=2, budget=100, max_seeds=5)
    assert play(equal, few) == {0: 5, 1: 5, 2: 5}
    entrants = {key: Entrant(scores[:5].tolist()) for key, scores in equal.items()}
    assert ending(entrants, few) == "seeds"
    # A budget below the first seeds: all get fewer, as even as can be.
    assert sorted(play(equal, Rules(seeds=6, budget=10, max_seeds=9)).values()) == [3, 3, 4]
    off = Rules(seeds=4, budget=12, max_seeds=12, racing=False)
    assert play(equal, off) == {0: 4, 1: 4, 2: 4}


def test_a_new_candidate_gets_its_first_seeds_whatever_others_had() -> None:
    entrants = {0: Entrant([0.5] * 9), 1: Entrant([0.4] * 9), 2: Entrant([])}
    assert next_seed(entrants, RULES) == 2
    entrants[2] = Entrant([0.9])
    assert next_seed(entrants, RULES) == 2
    entrants[2] = Entrant([0.9, 0.1])
    assert next_seed(entrants, RULES) is None, "20 runs are beyond the budget"


def test_runs_under_way_count_as_given() -> None:
    near = {0: Entrant([0.9, 0.8]), 1: Entrant([0.88, 0.83]), 2: Entrant([0.86, 0.84])}
    served = []
    for _ in range(6):
        key = next_seed(near, RULES)
        assert key is not None
        served.append(key)
        near[key] = Entrant(near[key].merits, near[key].running + 1)
    assert next_seed(near, RULES) is None
    assert max(served.count(key) for key in near) <= 3, "one candidate does not get all of them"


def test_who_breaks_a_constraint_gets_its_first_seeds_only() -> None:
    near = {
        0: Entrant([0.99, 0.97], eligible=False),
        1: Entrant([0.9, 0.8]),
        2: Entrant([0.88, 0.83]),
    }
    for _ in range(4):
        key = next_seed(near, RULES)
        assert key in (1, 2)
        near[key] = Entrant([*near[key].merits, 0.85])
    none = {key: Entrant([0.9, 0.8 + 0.01 * key], eligible=False) for key in range(3)}
    assert next_seed(none, RULES) is not None, "where none may win all race on"


def test_seeds_go_where_they_matter() -> None:
    rng = np.random.default_rng(1)
    totals = np.zeros(4)
    for _ in range(100):
        means = [0.8, 0.78, 0.6, 0.4]
        scores = {key: rng.normal(mean, 0.1, 40) for key, mean in enumerate(means)}
        totals += list(play(scores, Rules(seeds=2, budget=20, max_seeds=20)).values())
    assert totals[0] > 2.5 * totals[3]
    assert totals[1] > 1.3 * totals[2] > totals[3]


@pytest.mark.parametrize("means", [(1.0, 0.8, 0.5), (1.0, 0.7, 0.65)])
def test_the_shares_are_those_that_see_the_best_as_the_best(means: tuple[float, ...]) -> None:
    """Against brute force on Bonferroni's bound of that probability, with many runs in all."""
    sd, total = 0.5, 400.0
    draws = {key: mean + np.array([-1, 1] * 200) * sd for key, mean in enumerate(means)}
    shares = allocation({key: scores.tolist() for key, scores in draws.items()})

    def wrong(free: np.ndarray) -> float:
        n = total * np.array([1 - free.sum(), *free])
        if n.min() <= 0:
            return 9.0
        errors = sd * np.sqrt(1 / n[0] + 1 / n[1:])
        return float(np.sum(stats.norm.cdf((np.array(means[1:]) - means[0]) / errors)))

    found = optimize.minimize(wrong, [0.3, 0.3], method="Nelder-Mead", tol=1e-9)
    ours = np.array([shares[key] for key in range(3)])
    assert sum(ours) == pytest.approx(1.0)
    # The rule is optimal to first order: the bound that it reaches is as good as the best one's.
    assert np.log(wrong(ours[1:])) == pytest.approx(np.log(found.fun), rel=0.03)
    assert wrong(ours[1:]) < 0.8 * wrong(np.array([1 / 3, 1 / 3]))


def test_a_tie_does_not_ask_for_every_run() -> None:
    shares = allocation({0: [0.8, 0.82], 1: [0.8, 0.82], 2: [0.79, 0.83]})
    assert max(shares.values()) < 0.5
    assert allocation({0: [0.5, 0.5], 1: [0.5, 0.5]}) == pytest.approx({0: 0.5, 1: 0.5})
