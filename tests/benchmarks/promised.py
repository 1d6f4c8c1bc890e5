"""How often the promised interval and the winner's robust score hold, after races of any kind.

The worlds of `racing` and of `coverage`, and ties of equal configs, where a choice lifts the most.
The best of 24 explored configs race; the winner runs over promise seeds and then over `FRESH`
further ones, and no seed comes twice. `alone` is the interval of the promise seeds by themselves,
`joined` that whose spread is of the race's seeds too (`search.stats.spreads.joined_spread`).

Said of each: a fresh seed is inside, and below, the interval; the true mean is inside the interval
of the mean; how wide they are; and for the robust score, the true mean of the winner is not below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from search.stats.averages import mean_interval
from search.stats.intervals import prediction_interval, robust_scores
from search.stats.race_rules import Entrant, Rules, next_seed
from search.stats.spreads import Spread, joined_spread
from tests.benchmarks.coverage import WIDE, by_mean
from tests.benchmarks.racing import NOMINAL, Scores, World, shares, worlds

REPEAT = 1000
EXPLORED = 24
FRESH = 8
RACES = {
    "3 finalists, 2 first seeds, 9 runs, 3 promise seeds (the defaults)": (3, 2, 9, 3),
    "3 finalists, 2 seeds each, 2 promise seeds": (3, 2, 6, 2),
    "8 finalists, 3 first seeds, 30 runs, 4 promise seeds": (8, 3, 30, 4),
    "1 finalist, 2 seeds, 3 promise seeds": (1, 2, 2, 3),
}
SEEDS = 1 + 30 + 4 + FRESH
Make = Callable[[np.random.Generator], World]


@dataclass(frozen=True)
class Race:
    """How many finalists, first seeds, runs and promise seeds."""

    finalists: int
    first: int
    budget: int
    promise: int


def main() -> None:
    print(f"{REPEAT} repetitions of {FRESH} fresh seeds, nominal {NOMINAL:.0%}; 95 % bootstrap")
    made = {**worlds(SEEDS), "spread by the mean, as recorded": by_mean(SEEDS), **ties()}
    for name, race in RACES.items():
        print(f"{name}:")
        for kind, make in made.items():
            promised(kind, make, Race(*race))


def ties() -> dict[str, Make]:
    """Configs that are equal."""

    def alike(rng: np.random.Generator) -> World:
        return World(0.6 + 0.05 * rng.normal(size=(40, SEEDS)), np.full(40, 0.6))

    return {"equal": alike, "equal near 1": shares(4.0, 0.0, 0.6, SEEDS)}


def promised(kind: str, make: Make, race: Race) -> None:
    """A line: what held in all repetitions."""
    found: dict[str, list[float]] = {}
    for repetition in range(REPEAT):
        for name, value in one(make(np.random.default_rng([4, repetition])), race).items():
            found.setdefault(name, []).append(value)
    held = {name: np.array(values) for name, values in found.items()}
    parts = [
        f"{name} {_share(held[name])}"
        for name in held
        if not name.endswith(("wide", "below", "margin"))
    ]
    widths = " ".join(
        f"{name.removesuffix(' wide')} {np.median(values):.3f}"
        for name, values in held.items()
        if name.endswith(" wide")
    )
    below = " ".join(
        f"{name.removesuffix(' below')} {values.mean():.1%}"
        for name, values in held.items()
        if name.endswith(" below")
    )
    margin = held["margin"].mean()
    print(
        f"  {kind}: {'; '.join(parts)}; median widths {widths}; below {below}; margin {margin:.3f}"
    )


def one(world: World, race: Race) -> dict[str, float]:
    """What holds of one race's winner."""
    chosen = [int(config) for config in np.argsort(-world.scores[:EXPLORED, 0])[: race.finalists]]
    rules = Rules(race.first, race.budget, race.budget)
    raced: dict[int, list[float]] = {config: [] for config in chosen}
    while (
        key := next_seed({c: Entrant(s) for c, s in raced.items()}, rules, world.examples)
    ) is not None:
        raced[key].append(float(world.scores[key, 1 + len(raced[key])]))
    bounds = WIDE if world.examples is None else (0.0, 1.0)
    robust = robust_scores(raced, NOMINAL, bounds, world.examples, race.promise)
    left = rules.left(raced, world.examples)
    winner = max(left, key=lambda config: (robust[config].lower, robust[config].mean))
    after = 1 + len(raced[winner])
    promise = world.scores[winner, after : after + race.promise].tolist()
    fresh = world.scores[winner, after + race.promise : after + race.promise + FRESH]
    others = {config: scores for config, scores in raced.items() if config != winner}
    mean, chosen_one = world.means[winner], robust[winner]
    figures: dict[str, float] = {
        "robust score": mean >= chosen_one.lower - 1e-12,
        "margin": chosen_one.mean - chosen_one.lower,
        "foreseen": float(np.mean(promise)) >= chosen_one.foreseen - 1e-12,
    }
    spreads = {"alone": None, "joined": joined_spread(promise, raced[winner], others)}
    for way, spread in spreads.items():
        figures |= _held(way, promise, fresh, mean, bounds, spread, world.examples)
    return {name: float(value) for name, value in figures.items()}


def _held(
    way: str,
    promise: Sequence[float],
    fresh: Scores,
    mean: float,
    bounds: tuple[float, float],
    spread: Spread | None,
    examples: int | None,
) -> dict[str, float]:
    seed = prediction_interval(promise, NOMINAL, bounds, spread, examples)
    whole = mean_interval(promise, NOMINAL, bounds, spread, examples)
    low, high = seed.low - 1e-12, seed.high + 1e-12
    return {
        f"seed, {way}": float(np.mean((fresh >= low) & (fresh <= high))),
        f"mean, {way}": whole.low - 1e-9 <= mean <= whole.high + 1e-9,
        f"{way} wide": seed.width,
        f"mean {way} wide": whole.width,
        f"{way} below": float(np.mean(fresh < low)),
    }


def _share(values: Scores) -> str:
    """In percent, with its 95 % bootstrap interval over repetitions."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (2000, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{100 * values.mean():.1f} [{100 * low:.1f}, {100 * high:.1f}]"
