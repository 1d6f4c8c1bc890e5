"""The course of a race, found again from its runs alone."""

from __future__ import annotations

import numpy as np

from search.stats.race_rules import Entrant, Exit, Rules, exits, next_seed

RULES = Rules(seeds=2, budget=40, max_seeds=20)
MEANS = {7: 0.9, 3: 0.88, 5: 0.5, 2: 0.3}


def raced(seed: int = 0, rules: Rules = RULES) -> list[tuple[int, float]]:
    """A whole race of one worker."""
    rng = np.random.default_rng(seed)
    merits: dict[int, list[float]] = {key: [] for key in MEANS}
    runs = []
    while (key := next_seed({k: Entrant(m) for k, m in merits.items()}, rules)) is not None:
        merits[key].append(float(MEANS[key] + rng.normal(0, 0.03)))
        runs.append((key, merits[key][-1]))
    return runs


def test_who_is_out_gets_no_further_run() -> None:
    runs = raced()
    found = {one.candidate: one for one in exits(runs, RULES)}
    assert set(found) == set(MEANS)
    assert {key for key, one in found.items() if one.why == "behind"} >= {5, 2}
    for key in (5, 2):
        assert all(candidate != key for candidate, _ in runs[found[key].after :])
        own = [merit for candidate, merit in runs[: found[key].after] if candidate == key]
        assert found[key].seeds == len(own)
        assert found[key].merit == sum(own) / len(own)


def test_an_exit_is_the_first_moment_from_which_it_holds() -> None:
    for seed in range(5):
        runs = raced(seed)
        for one in exits(runs, RULES):
            if one.why == "open":
                continue
            for after in range(8, len(runs) + 1):
                samples = {key: [merit for k, merit in runs[:after] if k == key] for key in MEANS}
                inside = one.candidate in RULES.left(samples)
                assert not inside if after >= one.after else inside or after < one.after - 1
            before = {k: [m for key, m in runs[: one.after - 1] if key == k] for k in MEANS}
            assert min(map(len, before.values())) < 2 or one.candidate in RULES.left(before)


def test_the_last_ones_in_end_with_the_best() -> None:
    runs = [(1, 0.9), (2, 0.75), (1, 0.5), (2, 0.75)]
    found = exits(runs, RULES)
    assert [one.why for one in found] == ["open", "open"]
    assert found[-1] == Exit(2, 4, "open", 2, 0.75, 2, 0.75)


def test_a_comeback_is_no_exit() -> None:
    """Far behind by four runs that agree, and level once a fifth widens the spread."""
    runs = [(1, 0.90), (2, 0.80), (1, 0.91), (2, 0.81)]
    (out, _) = exits(runs, RULES)
    assert (out.candidate, out.why, out.after) == (2, "behind", 4)
    assert {one.why for one in exits([*runs, (1, 0.4)], RULES)} == {"open"}


def test_a_broken_constraint_is_out_with_the_first_seeds() -> None:
    runs = [(1, 0.9), (2, 0.99), (3, 0.88), (1, 0.9), (2, 0.99), (3, 0.9), (1, 0.91)]
    first, *_ = exits(runs, RULES, barred=[2])
    assert (first.candidate, first.why, first.after) == (2, "constraint", 6)
    assert first.leader == 1, "who may not win does not lead"
    everyone = exits(runs, RULES, barred=[1, 2, 3])
    assert "constraint" not in {one.why for one in everyone}, "where none may win, all may"


def test_without_first_seeds_for_all_nobody_is_out() -> None:
    assert {one.why for one in exits([(1, 0.9), (1, 0.9), (2, 0.1)], RULES)} == {"open"}
    assert exits([], RULES) == []
