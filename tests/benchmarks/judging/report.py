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
RELABELLED = 100
TRULY_WORSE = 0.005
"""How much worse than the default a pick must be to count as overtuned."""

Worlds = Mapping[int, Judged]


def grouped(
    found: Sequence[Judged], names: Sequence[str]
) -> dict[tuple[str, int], dict[str, Worlds]]:
    """By (family, workers) the methods in the order given, each with its worlds."""
    groups: dict[tuple[str, int], dict[str, dict[int, Judged]]] = defaultdict(dict)
    for name in names:
        for one in found:
            if one.method == name:
                methods = groups[one.family, one.workers]
                methods.setdefault(name, {})[one.world] = one
    return {key: dict(methods) for key, methods in groups.items()}


def tables(found: Sequence[Judged], names: Sequence[str]) -> Iterator[str]:
    """A table for each family and number of workers."""
    for (family, workers), methods in grouped(found, names).items():
        yield "\n".join([_head(family, workers, methods), *_lines(methods)])


def compared(mine: Worlds, other: Worlds, budget: float) -> Ratio:
    """The other's compute over mine at the other's regret after `budget`, on common worlds."""
    common = sorted(set(mine) & set(other))
    strata = [mine[world].stratum for world in common]
    return ratio(curves_of(mine, common), curves_of(other, common), budget, strata)


def relabelled(mine: Worlds, other: Worlds) -> float:
    """How often a null test holds on these very curves: 95 % if intervals are what they say.

    Which of a method's two sweeps in a world is called the second is a coin's throw.
    """
    common = sorted(set(mine) & set(other))
    strata = [mine[world].stratum for world in common]
    one, two = curves_of(mine, common), curves_of(other, common)
    rng = np.random.default_rng(0)
    held = []
    for _ in range(RELABELLED):
        turned = rng.random((len(common), 1)) < 0.5
        pair = (
            Curves(one.budgets, np.where(turned, first, second))
            for first, second in ((one.regrets, two.regrets), (two.regrets, one.regrets))
        )
        held.append(ratio(*pair, MOST, strata).holds_one)
    return float(np.mean(held))


def _head(family: str, workers: int, methods: Mapping[str, Worlds]) -> str:
    several = {one.world: one for worlds in methods.values() for one in worlds.values()}.values()
    default, best, ceiling = (
        np.mean([getattr(one, name) for one in several]) for name in ("default", "best", "ceiling")
    )
    return (
        f"\n{family}, {workers} worker{'s' if workers > 1 else ''}: {len(several)} worlds, best "
        f"true mean {best:.3f}; regret of the default values {default:.3f}, of what all compute "
        f"would pick {ceiling:.3f}"
    )


def _lines(methods: Mapping[str, Worlds]) -> Iterator[str]:
    width = max(len(name) for name in methods) + 2
    runs = "".join(f"{budget:>7}" for budget in SHOWN)
    against = "".join(f"{f'{name} at {MOST}':>20}" for name in AGAINST)
    own = f"random at my {OWN}"
    yield (
        f"{'':<{width}}mean regret after full runs{'':>15}  overtuned    times the compute that "
        f"the other needs for the same regret"
    )
    yield (f"{'':<{width}}{runs}     +-  at {OWN} at {MOST}{against}{own:>22}   n  CPU s")
    for name, worlds in methods.items():
        yield f"{name:<{width}}{_line(worlds, methods)}"
    for name, worlds in methods.items():
        first = methods.get(name.removesuffix(" again"))
        if name.endswith(" again") and first is not None:
            null = compared(worlds, first, MOST)
            yield (
                f"null test {'holds' if null.holds_one else 'FAILS'}: "
                f"{name.removesuffix(' again')} against itself {null}; "
                f"{relabelled(worlds, first):.0%} of {RELABELLED} tests hold whose worlds have the "
                f"two sweeps exchanged at random"
            )
    random = methods.get("random")
    if random is not None:
        first = next(iter(random.values()))
        last = np.mean([one.regrets[-1] for one in random.values()])
        yield f"random search after {first.budgets[-1]} runs: {last:.3f}"


def _line(worlds: Worlds, methods: Mapping[str, Worlds]) -> str:
    first = next(iter(worlds.values()))
    curves = curves_of(worlds, sorted(worlds))
    column = {budget: index for index, budget in enumerate(first.budgets)}
    means = curves.regrets.mean(axis=0)
    shown = "".join(f"{means[column[budget]]:7.3f}" for budget in SHOWN)
    last = curves.regrets[:, column[MOST]]
    error = last.std(ddof=1) / np.sqrt(len(last)) if len(last) > 1 else np.nan
    defaults = np.array([worlds[world].default for world in sorted(worlds)])
    overtuned = "".join(
        f"{np.mean(curves.regrets[:, column[budget]] > defaults + TRULY_WORSE):6.0%}"
        for budget in (OWN, MOST)
    )
    ratios = [_text(worlds, methods.get(other), MOST) for other in AGAINST]
    at_own = ""
    random = methods.get("random")
    if random is not None and random is not worlds:
        at_own = str(compared(random, worlds, OWN).turned())
    seconds = np.mean([one.cpu_seconds for one in worlds.values()])
    return (
        f"{shown}{error:7.3f} {overtuned}{ratios[0]:>20}{ratios[1]:>20}{at_own:>22}"
        f"{len(worlds):5}{seconds:7.1f}"
    )


def _text(mine: Worlds, other: Worlds | None, budget: float) -> str:
    return "" if other is None or other is mine else str(compared(mine, other, budget))


def curves_of(worlds: Worlds, common: Sequence[int]) -> Curves:
    """Regrets in the worlds named."""
    first = worlds[common[0]]
    return Curves(
        np.array(first.budgets, float), np.array([worlds[world].regrets for world in common])
    )
