"""How often the winner's bounds hold and the race drops the best, by today's rules and older ones.

The worlds of `racing`, one more whose seeds spread by what recorded configs of the same mean do,
and ties of equal candidates. The best 4 of 24 explored configs race over 16 or 40 runs, looked at
after each. `before` is one pooled spread, one level for every look, and a bound of each candidate
for itself. Both see the same seeds.

Said of each, in percent of the races: `dropped`, the best finalist is out when the race ends;
`mean`, the true mean of the winner is at least its robust score; `three`,
the mean of three further seeds is; `other`, likewise for a finalist that was not chosen;
`foreseen`, the mean of three further seeds is at least what is foreseen of it. In a tie every
candidate is as good as the best one: the one that is out most often at the end is said, and `ever`,
the one that is most often out at any look.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np

from search.simulator.methods import reseeded
from search.simulator.recording import read_recording
from search.simulator.simulator import plan_of, simulate
from search.simulator.world import RecordedWorld, splits
from search.stats.intervals import Bounds, RobustScore, robust_scores
from search.stats.odds import probability_of_best
from search.stats.race_rules import Entrant, Rules, next_seed
from search.stats.spreads import Key, floored, mean_of_seeds, pooled_spread
from search.stats.student import t_quantile
from tests.benchmarks.racing import (
    NOMINAL,
    RECORDING,
    Scores,
    World,
    finalists,
    worlds,
)

REPEAT = 1000
BUDGETS = (16, 40)
FURTHER = 3
SEEDS = 1 + max(BUDGETS) + FURTHER
SIMULATED, COMPUTE, WORKERS = 40, 26, 4
WIDE = (-9.0, 9.0)
MEANS = (0.0, 0.05, 0.2, 0.45, 0.68, 0.8, 0.87, 0.95, 1.0)
SPREADS = (0.01, 0.02, 0.14, 0.144, 0.105, 0.083, 0.051, 0.04, 0.03)
"""Standard deviations between the seeds of the recorded configs of about such a mean."""

TIES: dict[str, tuple[tuple[float, ...], int, int]] = {
    "4 alike, 16 runs": ((1, 1, 1, 1), 2, 16),
    "4 alike, 40 runs": ((1, 1, 1, 1), 2, 40),
    "sd 2, 3 of .5, 16 runs": ((2, 0.5, 0.5, 0.5), 2, 16),
    "sd 2, 3 of .5, 40 runs": ((2, 0.5, 0.5, 0.5), 2, 40),
    "sd .1, 3 of 1, 16 runs": ((0.1, 1, 1, 1), 2, 16),
    "sd 2, 3 of .1, 16 runs": ((2, 0.1, 0.1, 0.1), 2, 16),
    "3 alike, 9 runs": ((1, 1, 1), 2, 9),
    "sd 2, 2 of .5, 9 runs": ((2, 0.5, 0.5), 2, 9),
    "2 alike, 6 runs": ((1, 1), 2, 6),
    "sd 2, 1 of .1, 6 runs": ((2, 0.1), 2, 6),
    "4 alike, 3 first, 16 runs": ((1, 1, 1, 1), 3, 16),
    "4 alike, 1 first, 16 runs": ((1, 1, 1, 1), 1, 16),
}
"""Spreads of equal candidates, first seeds and budget."""
LEADS = {"by 2": (2, 0, 0, 0), "by 4": (4, 0, 0, 0), "by 10": (10, 0, 0, 0)}
"""Means in units of the spread: how many runs it takes to see who leads."""

Robust = Callable[..., dict[int, RobustScore]]


class PooledRules(Rules):
    """The race with one spread for all and one level for every look."""

    def left(
        self, samples: Mapping[int, Sequence[float]], examples: int | None = None
    ) -> list[int]:
        ranked = sorted(samples, key=lambda key: -mean_of_seeds(samples[key]))
        leader, *others = ranked
        spread = pooled_spread(samples)
        if spread.df == 0 or not others:
            return ranked
        best = mean_of_seeds(samples[leader])
        quantile = t_quantile(1 - (1 - self.confidence) / len(others), spread.df)
        sd = floored(spread.sd, best, examples)

        def behind(key: int) -> bool:
            error = sd * math.sqrt(1 / len(samples[leader]) + 1 / len(samples[key]))
            return best - mean_of_seeds(samples[key]) > quantile * error

        return [leader, *(key for key in others if not behind(key))]


def alone(
    samples: Mapping[Key, Sequence[float]],
    confidence: float,
    bounds: Bounds,
    examples: int | None = None,
    further: int = FURTHER,
) -> dict[Key, RobustScore]:
    """Each candidate's bound for itself, of one pooled spread."""
    spread, found = pooled_spread(samples), {}
    for key, scores in samples.items():
        mean, n = mean_of_seeds(scores), len(scores)
        margin = math.inf
        if spread.df:
            sd = floored(spread.sd, mean, examples)
            margin = t_quantile(confidence, spread.df) * sd
        low, fore = margin / math.sqrt(n), margin * math.sqrt(1 / n + 1 / further)
        found[key] = RobustScore(
            max(bounds[0], mean - low), mean, 0.0, n, max(bounds[0], mean - fore)
        )
    return found


RULES: dict[str, tuple[type[Rules], Robust]] = {
    "before": (PooledRules, alone),
    "after": (Rules, robust_scores),
}


@dataclass(frozen=True)
class Raced:
    """One race: its figures by name, and which candidates were out at the end and ever."""

    figures: dict[str, float]
    out: list[bool]
    ever: list[bool]


def by_mean(seeds: int) -> Callable[[np.random.Generator], World]:
    """Shares of 400 examples whose seeds spread as recorded ones of that mean do."""

    def world(rng: np.random.Generator) -> World:
        centres = np.clip(rng.normal(0.7, 0.15, (40, 1)), 0.02, 0.97)
        noise = np.interp(centres, MEANS, SPREADS) * rng.normal(size=(40, seeds))
        return World(np.clip(centres + noise, 0, 1), centres[:, 0], 400)

    return world


def race(world: World, chosen: Sequence[int], rules: Rules, robust: Robust) -> Raced:
    """Play one race of a single worker and see what holds of it."""
    samples: dict[int, list[float]] = {config: [] for config in chosen}
    ever, tied = dict.fromkeys(chosen, False), len(chosen) == len(world.means)
    while (
        key := next_seed({c: Entrant(s) for c, s in samples.items()}, rules, world.examples)
    ) is not None:
        samples[key].append(float(world.scores[key, 1 + len(samples[key])]))
        if tied and min(map(len, samples.values())) >= rules.first:
            left = rules.left(samples, world.examples)
            ever = {c: ever[c] or c not in left for c in chosen}
    left = rules.left(samples, world.examples)
    bounds = WIDE if world.examples is None else (0.0, 1.0)
    found = robust(samples, NOMINAL, bounds, world.examples, FURTHER)
    # Before, the order was that of the bounds alone.
    able = left if type(rules) is Rules else list(chosen)
    winner = max(able, key=lambda c: (found[c].lower, found[c].mean))
    other = next(c for c in chosen if c != winner)
    best = max(chosen, key=lambda c: world.means[c])
    odds = {winner: math.nan} if tied else probability_of_best(samples, world.examples)

    def further(config: int) -> float:
        return float(world.scores[config, -FURTHER:].mean())

    figures = {
        "dropped": best not in left,
        "mean": world.means[winner] >= found[winner].lower - 1e-12,
        "three": further(winner) >= found[winner].lower - 1e-12,
        "other": further(other) >= found[other].lower - 1e-12,
        "foreseen": further(winner) >= found[winner].foreseen - 1e-12,
        "margin": found[winner].mean - found[winner].lower,
        "regret": world.means.max() - world.means[winner],
        "runs": sum(map(len, samples.values())),
        "best": odds[winner],
        "is best": world.means[winner] >= world.means[best] - 1e-12,
    }
    return Raced(
        {name: float(value) for name, value in figures.items()},
        [c not in left for c in chosen],
        [ever[c] for c in chosen],
    )


def main() -> None:
    print(f"{REPEAT} repetitions, nominal {NOMINAL:.0%}; brackets: 95 % bootstrap")
    for name, make in {**worlds(SEEDS), "spread by the mean, as recorded": by_mean(SEEDS)}.items():
        for budget in BUDGETS:
            world(name, make, budget)
    print("ties: the candidate that is dropped most often, at the end and ever; runs")
    for name in TIES:
        tie(name)
    print("one of four ahead, 2 first seeds: one of the others dropped at the end; runs")
    for name in LEADS:
        lead(name)
    simulated()


def world(name: str, make: Callable[[np.random.Generator], World], budget: int) -> None:
    """A line for each rule, and what the change costs."""
    print(f"{name}, {budget} runs:")
    whole = {rule: _races(make, rule, budget) for rule in RULES}
    for rule, races in whole.items():
        print(f"  {rule:<7}{_line(races)}")
    gap = whole["after"]["regret"] - whole["before"]["regret"]
    print(f"    regret, after less before: {_interval(gap, '+.4f')}")


def tie(name: str) -> None:
    """How often one of equal candidates is dropped."""
    sds, first, budget = TIES[name]
    tied = np.zeros(len(sds)), np.array(sds)
    words = [f"{rule} {_tie(*tied, rule, first, budget)}" for rule in RULES]
    print(f"  {name:<26} {'; '.join(words)}")


def lead(name: str) -> None:
    """How soon one that is ahead is seen to be."""
    for budget in BUDGETS:
        means = np.array(LEADS[name], dtype=float)
        words = [f"{rule} {_tie(means, np.ones(4), rule, 2, budget)}" for rule in RULES]
        print(f"  {name}, {budget} runs: {'; '.join(words)}")


def simulated() -> None:
    """Whole sweeps in the simulator: the true quality of the pick at equal compute."""
    recording = read_recording(RECORDING)
    plan = plan_of(recording)
    qualities = {}
    for rule, (rules, robust) in RULES.items():
        with (
            patch("search.stability.confirm.robust_scores", robust),
            patch("search.stability.confirm_race.Rules", rules),
        ):
            qualities[rule] = np.array(
                [
                    simulate(
                        RecordedWorld(recording, split, plan.objective), reseeded(plan, seed),
                        workers=WORKERS, compute=COMPUTE * plan.budget,
                    ).quality
                    for seed, split in enumerate(splits(recording.seeds, SIMULATED))
                ]
            )  # fmt: skip
    gain = qualities["after"] - qualities["before"]
    print(
        f"simulator, {COMPUTE} full runs, {SIMULATED} sweeps: true quality "
        f"{qualities['before'].mean():.3f} before, {qualities['after'].mean():.3f} after; "
        f"{_interval(gain, '+.4f')}, another pick in {np.sum(gain != 0)}"
    )


def _races(
    make: Callable[[np.random.Generator], World], rule: str, budget: int
) -> dict[str, Scores]:
    kind, robust = RULES[rule]
    rules = kind(2, budget, budget)
    found = []
    for repetition in range(REPEAT):
        world = make(np.random.default_rng([0, repetition]))
        found.append(race(world, finalists(world), rules, robust).figures)
    return {name: np.array([one[name] for one in found]) for name in found[0]}


def _tie(means: Scores, sds: Scores, rule: str, first: int, budget: int) -> str:
    kind, robust = RULES[rule]
    rules = replace(kind(first, budget, budget), confidence=NOMINAL)
    out, ever, runs = np.zeros(len(sds)), np.zeros(len(sds)), 0.0
    for repetition in range(REPEAT):
        rng = np.random.default_rng([2, repetition])
        scores = means[:, None] + sds[:, None] * rng.normal(size=(len(sds), SEEDS))
        one = race(World(scores, means), range(len(sds)), rules, robust)
        out, ever, runs = out + one.out, ever + one.ever, runs + one.figures["runs"]
    return f"{out.max() / REPEAT:.1%}, ever {ever.max() / REPEAT:.1%}, {runs / REPEAT:.1f} runs"


def _line(races: Mapping[str, Scores]) -> str:
    shares = ", ".join(
        f"{name} {_interval(100 * races[name], '.1f')}"
        for name in ("dropped", "mean", "three", "other", "foreseen")
    )
    return (
        f"{shares}; margin {races['margin'].mean():.3f}, {races['runs'].mean():.1f} runs, regret "
        f"{_interval(races['regret'], '.4f')}, is the best finalist {races['is best'].mean():.1%} "
        f"where {races['best'].mean():.1%} was said"
    )


def _interval(values: Scores, form: str) -> str:
    """Mean and 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (2000, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{values.mean():{form}} [{low:{form}}, {high:{form}}]"
