"""How well "what further runs would bring" holds: forecasts of a search's gain against what came.

Sweeps of synthetic worlds, each another one: a share of solved puzzles that is the logistic of a
random smooth function (random Fourier features: Rahimi and Recht, NIPS 2007) of four numbers and a
choice, some of which matter more than others, and seeds that differ by a normal error in the logit
and by counting. The sampler is `auto`, every run is whole, the pick is the search's own. At some
runs on the way it is foreseen how much better the pick will truly be at the end.

`python -m tests.benchmarks.prospects [SWEEPS] [OUT]` prints a table; a sweep is one line of OUT.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from search.explore.guide import MOST
from search.explore.leaders import cautious, completed
from search.explore.outlook import CONFIDENCE, outlook
from search.samplers.auto import AutoConfig
from search.samplers.gaussian.belief import belief_of
from search.samplers.gaussian.encoding import Encoding
from search.samplers.history import History, PastRun, PastTrial
from search.space.space import Params, Space

SPACE = Space.parse(
    {**{f"x{i}": {"uniform": [0, 1]} for i in range(4)}, "c": {"choice": ["a", "b", "c"]}}
)
RUNS = 24
ASKED = (10, 12, 14, 17, 20)
"""Runs after which it is foreseen what the others up to `RUNS` bring."""
SWEEPS = 200
FEATURES = 200
EXAMPLES = 200
NOISE = 0.3
"""Deviation of a seed's logit."""


@dataclass(frozen=True)
class Forecast:
    """One forecast and what came.

    Attributes:
        sweep: its number.
        after: runs by then.
        gain: foreseen.
        low: lower end of its interval.
        high: upper end.
        came: how much better the pick was at the end.
    """

    sweep: int
    after: int
    gain: float
    low: float
    high: float
    came: float


class World:
    """A smooth function of a config."""

    def __init__(self, number: int) -> None:
        rng = np.random.default_rng([number, 17])
        self._encoding = Encoding(SPACE)
        columns = len(self._encoding.owner)
        scales = np.exp(rng.normal(-0.3, 0.7, columns))
        # Student's t with 5 degrees of freedom has a Matern 5/2 kernel.
        spread = np.sqrt(5 / rng.chisquare(5, (FEATURES, 1)))
        self._weights = rng.standard_normal((FEATURES, columns)) / scales * spread
        self._phases = rng.uniform(0, 2 * np.pi, FEATURES)
        self._heights = rng.standard_normal(FEATURES) * np.sqrt(2 / FEATURES)
        self._level, self._height = rng.normal(-0.5, 1.0), rng.uniform(1.0, 2.5)

    def logit(self, params: Params) -> float:
        point = self._encoding.points(self._encoding.shares(params)[None])[0]
        found = np.cos(self._weights @ point + self._phases) @ self._heights
        return float(self._level + self._height * found)

    def truth(self, params: Params) -> float:
        """The mean over seeds."""
        errors = NOISE * np.random.default_rng(0).standard_normal(400)
        return float(np.mean(1 / (1 + np.exp(-self.logit(params) - errors))))

    def run(self, params: Params, rng: np.random.Generator) -> float:
        share = 1 / (1 + np.exp(-self.logit(params) - NOISE * rng.standard_normal()))
        return float(rng.binomial(EXAMPLES, share)) / EXAMPLES


def swept(number: int) -> list[Forecast]:
    """One sweep's forecasts."""
    world, rng = World(number), np.random.default_rng([number, 18])
    history, sampler = History(bounds=(0.0, 1.0)), AutoConfig()
    asked = {}
    for index in range(RUNS):
        if index in ASKED:
            foreseen = outlook(history, SPACE, RUNS - index)
            assert foreseen is not None
            asked[index] = foreseen, world.truth(_pick(history))
        params, _ = sampler.draw(history, SPACE, number, RUNS)
        score = world.run(params, rng)
        history.begin(params)
        run = PastRun("completed", score)
        history.end(PastTrial(index, params, "completed", (score,), runs=(run,)))
    last = world.truth(_pick(history))
    return [
        Forecast(number, after, found.gain, found.low, found.high, last - then)
        for after, (found, then) in asked.items()
    ]


def _pick(history: History) -> Params:
    able = completed(history)
    worth = cautious(belief_of(history, SPACE, MOST), able)
    return history.records[able[int(np.argmax(worth))]].params


def table(found: list[Forecast]) -> Iterator[str]:
    """A line for each moment of asking, and one for all; 95 % bootstraps over sweeps."""
    yield "| after | further | foreseen | came | foreseen less came | within the 90 % interval |"
    yield "|---|---|---|---|---|---|"
    for after in (*ASKED, None):
        kept = [one for one in found if after in (None, one.after)]
        place = {sweep: i for i, sweep in enumerate(sorted({one.sweep for one in kept}))}
        each = np.zeros((len(place), 4))
        for one in kept:
            inside = one.low <= one.came <= one.high
            each[place[one.sweep]] += [one.gain, one.came, inside, 1]
        draws = np.random.default_rng(0).integers(len(place), size=(2000, len(place)))
        sums = each[draws].sum(axis=1)
        off = np.quantile((sums[:, 0] - sums[:, 1]) / sums[:, 3], [0.025, 0.975])
        held = np.quantile(sums[:, 2] / sums[:, 3], [0.025, 0.975])
        gain, came, inside = each[:, :3].sum(axis=0) / each[:, 3].sum()
        name = ("all", "") if after is None else (after, RUNS - after)
        yield (
            f"| {name[0]} | {name[1]} | {gain:.4f} | {came:.4f} | {gain - came:+.4f} "
            f"[{off[0]:+.4f}, {off[1]:+.4f}] | {inside:.1%} [{held[0]:.1%}, {held[1]:.1%}] |"
        )
    sweeps = len({one.sweep for one in found})
    yield f"\n{len(found)} forecasts in {sweeps} sweeps of {RUNS} runs; nominal {CONFIDENCE:.0%}"


def main(arguments: list[str]) -> None:
    """Run the sweeps that the file lacks, and print the table."""
    sweeps = int(arguments[0]) if arguments else SWEEPS
    out = Path(arguments[1]) if len(arguments) > 1 else Path("prospects.jsonl")
    found: list[Forecast] = []
    if out.exists():
        for line in out.read_text().splitlines():
            found += [Forecast(**one) for one in json.loads(line)]
    known = {one.sweep for one in found}
    with out.open("a") as file:
        for number in range(sweeps):
            if number not in known:
                found += (made := swept(number))
                file.write(json.dumps([asdict(one) for one in made]) + "\n")
                file.flush()
    for line in table([one for one in found if one.sweep < sweeps]):
        print(line)


if __name__ == "__main__":
    main(sys.argv[1:])
