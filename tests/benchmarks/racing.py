"""How good the racing's picks are at equal runs.

A sweep that can spend `EXPLORED + CONFIRMED` runs may give all of them to configs with one seed
each and take the luckiest; or it explores with `EXPLORED`, takes the best `FINALISTS`, and spends
the others on fresh seeds of those: as many for each, or by racing. Regret is the true mean of the
best of all the configs that there were less that of the pick. All ways see the same seeds.

Configs and noise: the recording `tests/data/recordings/arrows4.parquet` (104 configs x 6 seeds),
synthetic ones whose means are as far apart as the seeds of a typical config, and shares near 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from search.simulator.recording import read_recording
from search.simulator.simulator import plan_of
from search.stats.intervals import robust_scores
from search.stats.race_rules import Entrant, Rules, next_seed

RECORDING = Path(__file__).parents[1] / "data" / "recordings" / "arrows4.parquet"
REPEAT = 1000
EXPLORED, CONFIRMED, FINALISTS = 24, 16, 4
CONFIGS = EXPLORED + CONFIRMED
PROMISE_SEEDS = 3
SEEDS = 1 + CONFIRMED + PROMISE_SEEDS + 1
NOMINAL = 0.9
SPREAD = 0.1
NEAR = 8
"""Recorded configs whose seeds a config's fresh ones are drawn from."""

Scores = np.ndarray


@dataclass(frozen=True)
class World:
    """Configs with known true means.

    Attributes:
        scores: [configs, seeds], a column a seed: the first explores, then come the race's, the
            promise's, and the last is the fresh one.
        means: [configs], the true ones.
        examples: of which a score is a share; None for no floor of the spread.
    """

    scores: Scores
    means: Scores
    examples: int | None = None


def recorded(seeds: int = SEEDS) -> Callable[[np.random.Generator], World]:
    """As many of the recorded configs as there are runs, others each time.

    Six seeds are too few for a race, and one of them twice would be no fresh seed. So a config's
    seeds are its mean plus what the seeds of the `NEAR` recorded configs nearest in mean are off by
    (widened by sqrt(6/5), since a mean of six takes part of it away): none comes twice.
    """
    recording = read_recording(RECORDING)
    objective = plan_of(recording).objective
    table = np.array(
        [
            [recording.score(config, seed, objective) for seed in recording.seeds]
            for config in range(len(recording.params))
        ]
    )
    count = table.shape[1]
    assert seeds <= NEAR * count, seeds
    means = table.mean(axis=1)
    off = (table - means[:, None]) * np.sqrt(count / (count - 1))
    near = np.argsort(np.abs(means[:, None] - means), axis=1)[:, :NEAR]
    pools = np.clip(means[:, None] + off[near].reshape(len(table), -1), 0, 1)

    def world(rng: np.random.Generator) -> World:
        rows = pools[rng.choice(len(pools), CONFIGS, replace=False)]
        scores = rng.permuted(rows, axis=1)[:, :seeds]
        return World(scores, rows.mean(axis=1), recording.examples)

    return world


def synthetic(kind: str, seeds: int = SEEDS) -> Callable[[np.random.Generator], World]:
    """Normal configs, with seeds that are `normal`, `uneven`, `skewed` or `fail`.

    Uneven: a config's own standard deviation is log-normal (sd 0.7 of the logarithm) about the
    common one. Skewed: an exponential tail downwards. Fail: a seed of a config scores 0 with a
    probability of its own, uniform on [0, 0.4], one in five on average; else normal at a third of
    the spread.
    """

    def world(rng: np.random.Generator) -> World:
        centres = rng.normal(0.5, SPREAD, (CONFIGS, 1))
        noise, means = SPREAD * rng.normal(0, 1, (CONFIGS, seeds)), centres
        if kind == "uneven":
            noise *= np.exp(rng.normal(0, 0.7, (CONFIGS, 1)))
        if kind == "skewed":
            noise = SPREAD * (1 - rng.exponential(1, (CONFIGS, seeds)))
        scores = centres + noise
        if kind == "fail":
            rates = rng.uniform(0, 0.4, (CONFIGS, 1))
            lost = rng.random((CONFIGS, seeds)) < rates
            scores, means = np.where(lost, 0.0, centres + noise / 3), centres * (1 - rates)
        return World(scores, means[:, 0])

    return world


def shares(
    centre: float, between: float, noise: float, seeds: int = SEEDS
) -> Callable[[np.random.Generator], World]:
    """Shares of 400 examples: configs and seeds are normal on the logit's scale."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)

    def world(rng: np.random.Generator) -> World:
        centres = rng.normal(centre, between, (CONFIGS, 1))
        chances = _logistic(centres + noise * rng.normal(size=(CONFIGS, seeds)))
        means = _logistic(centres + noise * nodes) @ (weights / weights.sum())
        return World(rng.binomial(400, chances) / 400, means, 400)

    return world


def two_ends(seeds: int = SEEDS) -> Callable[[np.random.Generator], World]:
    """Shares of 400 examples: a seed gets to .9 to 1, or stays at .2 to .6, one in five."""

    def world(rng: np.random.Generator) -> World:
        chance, high, low = (
            draw((CONFIGS, 1))
            for draw in (
                lambda size: rng.beta(4, 1, size),
                lambda size: rng.uniform(0.9, 1, size),
                lambda size: rng.uniform(0.2, 0.6, size),
            )
        )
        chances = np.where(rng.random((CONFIGS, seeds)) < chance, high, low)
        means = chance * high + (1 - chance) * low
        return World(rng.binomial(400, chances) / 400, means[:, 0], 400)

    return world


def _logistic(values: Scores) -> Scores:
    return np.asarray(1 / (1 + np.exp(-values)))


def race(
    world: World,
    finalists: Sequence[int],
    rules: Rules,
    rng: np.random.Generator,
    workers: int = 1,
) -> dict[int, list[float]]:
    """Play a race; runs take random times, so that several workers end out of order."""
    scores: dict[int, list[float]] = {config: [] for config in finalists}
    running: list[tuple[float, int]] = []
    now = 0.0
    while True:
        while len(running) < workers:
            entrants = {
                c: Entrant(scores[c], sum(other == c for _, other in running)) for c in finalists
            }
            chosen = next_seed(entrants, rules, world.examples)
            if chosen is None:
                break
            running.append((now + rng.uniform(0.5, 1.5), chosen))
        if not running:
            return scores
        now, config = min(running)
        running.remove((now, config))
        scores[config].append(float(world.scores[config, 1 + len(scores[config])]))


def robust_pick(world: World, samples: dict[int, list[float]]) -> int:
    found = robust_scores(samples, NOMINAL, (-9.0, 9.0), world.examples)
    return max(found, key=lambda key: (found[key].lower, found[key].mean))


def contestants() -> dict[str, Callable[[World, np.random.Generator], tuple[int, int]]]:
    """By name, a function from a world to its pick and the runs it spent."""

    def lucky(world: World, rng: np.random.Generator) -> tuple[int, int]:
        return int(world.scores[:, 0].argmax()), CONFIGS

    def confirmed(rules: Rules, workers: int) -> Callable[..., tuple[int, int]]:
        def play(world: World, rng: np.random.Generator) -> tuple[int, int]:
            samples = race(world, finalists(world), rules, rng, workers)
            return robust_pick(world, samples), EXPLORED + sum(map(len, samples.values()))

        return play

    each = CONFIRMED // FINALISTS
    equal = Rules(each, CONFIRMED, each, racing=False)
    return {
        "one seed each, the luckiest": lucky,
        "equal seeds": confirmed(equal, 1),
        **{
            f"race, first {first}, {workers} worker{'s' if workers > 1 else ''}": confirmed(
                Rules(first, CONFIRMED, CONFIRMED), workers
            )
            for first, workers in ((1, 1), (2, 1), (2, 4), (3, 1))
        },
    }


def finalists(world: World) -> list[int]:
    """The best of those that were explored, with one seed each."""
    return [int(c) for c in np.argsort(-world.scores[:EXPLORED, 0])[:FINALISTS]]


def main() -> None:
    print(
        f"{REPEAT} repetitions; {EXPLORED} runs explore and {CONFIRMED} confirm {FINALISTS} "
        f"finalists, or {CONFIGS} configs with one seed each; brackets: 95 % bootstrap"
    )
    for name, make in worlds().items():
        print(f"{name}:")
        picks(make)


def worlds(seeds: int = SEEDS) -> dict[str, Callable[[np.random.Generator], World]]:
    kinds = ("normal", "uneven", "skewed", "fail")
    return {
        "recorded arrows4": recorded(seeds),
        **{f"synthetic {kind}": synthetic(kind, seeds) for kind in kinds},
        "shares near 1": shares(3.5, 1.0, 0.5, seeds),
        "shares nearer 1": shares(5.0, 1.0, 0.7, seeds),
        "two ends": two_ends(seeds),
    }


def picks(make: Callable[[np.random.Generator], World]) -> None:
    """A line for each way to spend the runs; all see the same worlds."""
    regrets: dict[str, Scores] = {}
    for name, play in contestants().items():
        regret, best, first, runs = [], [], [], []
        for rng, world in _rounds(make):
            pick, spent = play(world, rng)
            regret.append(world.means.max() - world.means[pick])
            best.append(float(regret[-1] <= 1e-12))
            first.append(float(world.means[pick] >= world.means[finalists(world)].max() - 1e-12))
            runs.append(spent)
        regrets[name] = np.array(regret)
        print(
            f"  {name:<28} regret {_interval(regret)}, the true best in {_interval(best)}, as good "
            f"as the best finalist in {_interval(first)}, {np.mean(runs):.1f} runs"
        )
    equal = regrets["equal seeds"]
    for name, regret in regrets.items():
        if name != "equal seeds":
            print(f"    {name} - equal seeds: {_interval(regret - equal, signed=True)}")


def _rounds(
    make: Callable[[np.random.Generator], World],
) -> Iterator[tuple[np.random.Generator, World]]:
    for repetition in range(REPEAT):
        yield np.random.default_rng([1, repetition]), make(np.random.default_rng([0, repetition]))


def _interval(values: Sequence[float] | Scores, *, signed: bool = False) -> str:
    """Mean and 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    means = rng.choice(np.asarray(values), (2000, len(values))).mean(axis=1)
    sign = "+" if signed else ""
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{np.mean(values):{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"
