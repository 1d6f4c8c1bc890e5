"""What a benchmark came to: regret at equal compute, and compute at equal regret."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tests.benchmarks.judging.methods import MOST
from tests.benchmarks.judging.ratios import Curves, Ratio, ratio
from tests.benchmarks.judging.sweeps import Judged

SHOWN = (4, 8, 13, 26, 52)
AGAINST = ("stock", "random")
OWN = 26
"""Full runs of a method at whose regret random search is asked for its compute."""
TRULY_WORSE = 0.005
"""How much worse than the default a pick must be to count as overtuned."""

Worlds = Mapping[int, Judged]


def tables(found: Sequence[Judged], names: Sequence[str]) -> Iterator[str]:
    """A table for each family and number of workers, methods in the order given."""
    groups: dict[tuple[str, int], dict[str, dict[int, Judged]]] = defaultdict(dict)
    for one in found:
        if one.method in names:
            groups[one.family, one.workers].setdefault(one.method, {})[one.world] = one
    for (family, workers), methods in groups.items():
        ordered = {name: methods[name] for name in names if name in methods}
        yield "\n".join([_head(family, workers, ordered), *_lines(ordered)])


def compared(mine: Worlds, other: Worlds, budget: float) -> Ratio:
    """The other's compute over mine at the other's regret after `budget`, on common worlds."""
    common = sorted(set(mine) & set(other))
    strata = [mine[world].stratum for world in common]
    return ratio(_curves(mine, common), _curves(other, common), budget, strata)


def _head(family: str, workers: int, methods: Mapping[str, Worlds]) -> str:
    several = {one.world: one for worlds in methods.values() for one in worlds.values()}
    default = np.mean([one.default for one in several.values()])
    best = np.mean([one.best for one in several.values()])
    return (
        f"\n{family}, {workers} worker{'s' if workers > 1 else ''}: {len(several)} worlds, best "
        f"true mean {best:.3f}; regret of the default values {default:.3f}"
    )


def _lines(methods: Mapping[str, Worlds]) -> Iterator[str]:
    width = max(len(name) for name in methods) + 2
    runs = "".join(f"{budget:>8}" for budget in SHOWN)
    against = "".join(f"{f'{name} at {MOST}':>20}" for name in AGAINST)
    yield (
        f"{'':<{width}}mean regret after full runs{'':>27}overtuned  compute that the other needs "
        f"more, at equal regret"
    )
    own = f"random at my {OWN}"
    yield f"{'':<{width}}{runs}  +-at {MOST}  at {MOST:<4}{against}{own:>22}   n  CPU s"
    for name, worlds in methods.items():
        yield f"{name:<{width}}{_line(worlds, methods)}"


def _line(worlds: Worlds, methods: Mapping[str, Worlds]) -> str:
    first = next(iter(worlds.values()))
    curves = _curves(worlds, sorted(worlds))
    column = {budget: index for index, budget in enumerate(first.budgets)}
    means = curves.regrets.mean(axis=0)
    shown = "".join(f"{means[column[b]]:8.3f}" if b in column else f"{'':>8}" for b in SHOWN)
    last = curves.regrets[:, column[MOST]]
    error = last.std(ddof=1) / np.sqrt(len(last)) if len(last) > 1 else np.nan
    defaults = np.array([worlds[world].default for world in sorted(worlds)])
    overtuned = np.mean(last > defaults + TRULY_WORSE)
    ratios = [_text(worlds, methods.get(other), MOST) for other in AGAINST]
    at_own = ""
    random = methods.get("random")
    if random is not None and random is not worlds:
        turned = compared(random, worlds, OWN)
        at_own = str(Ratio(1 / turned.ratio, 1 / turned.high, 1 / turned.low))
    seconds = np.mean([one.cpu_seconds for one in worlds.values()])
    return (
        f"{shown}{error:9.3f}{overtuned:8.0%}{ratios[0]:>20}{ratios[1]:>20}{at_own:>22}"
        f"{len(worlds):5}{seconds:7.1f}"
    )


def _text(mine: Worlds, other: Worlds | None, budget: float) -> str:
    return "" if other is None or other is mine else str(compared(mine, other, budget))


def _curves(worlds: Worlds, common: Sequence[int]) -> Curves:
    first = worlds[common[0]]
    return Curves(
        np.array(first.budgets, float), np.array([worlds[world].regrets for world in common])
    )
