"""How like a recording its worlds are: what a surrogate foresees, and what a world is made of.

python -m tests.benchmarks.judging.fit_quality
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from scipy.stats import spearmanr

from tests.benchmarks.judging.curves import COLUMNS, final, solved
from tests.benchmarks.judging.surrogate import COMPONENTS, KINDS, Runs
from tests.benchmarks.judging.wide import RECORDINGS, WideWorld, recorded, wide

FOLDS = 10
WORLDS = 10
CONFIGS = 120
BAD = 0.1
LEVELS = (0.0, 0.01, 0.1, 0.5, 0.8, 1.01)
QUANTILES = (0.5, 0.75, 0.9, 0.97, 0.99)


def main() -> None:
    """Print a paragraph for each recording."""
    for name in RECORDINGS:
        for line in paragraph(name):
            print(line, flush=True)


def paragraph(name: str) -> Iterator[str]:
    """The recording, then each kind of surrogate."""
    source = recorded(name)
    runs = source.runs
    yield (
        f"{name}: {len(runs.inputs)} configs; {COMPONENTS} components hold {explained(runs):.0%} "
        f"of the weighted variance; R2 of the share is at most {1 - unknown(runs):.2f} of two seeds"
    )
    yield f"  recorded          {described(final(runs.curves, runs.points), runs.points, runs)}"
    for kind in KINDS:
        logit, share, rank = foreseen(runs, kind, source.pool)
        yield (
            f"  {kind:<6} unseen configs: R2 of the logit {logit:.2f}, of the share {share:.2f}, "
            f"rank correlation {rank:.2f}"
        )
        found = [sampled(name, kind, number) for number in range(WORLDS)]
        points = np.concatenate(found)
        diverged = 1 - len(points) / WORLDS / CONFIGS
        told = described(final(runs.curves, points), points, runs)
        yield f"         {WORLDS} worlds, a run of {diverged:.0%} diverges; else {told}"


def explained(runs: Runs) -> float:
    """The share of the variance of points, each column in its own scale, that scores hold."""
    flat = runs.points.reshape(-1, runs.points.shape[-1]) - runs.centre
    kept = flat @ np.linalg.pinv(runs.basis) @ runs.basis
    scale = flat.std(axis=0)
    scale[scale == 0] = 1.0
    return float(1 - np.square((flat - kept) / scale).sum() / np.square(flat / scale).sum())


def unknown(runs: Runs) -> float:
    """The share of the variance of configs' mean end that is between their two seeds."""
    shares = final(runs.curves, runs.points)
    error = np.mean((shares[:, 0] - shares[:, 1]) ** 2) / 4
    return float(error / shares.mean(axis=1).var())


def foreseen(runs: Runs, kind: str, pool: np.ndarray) -> tuple[float, float, float]:
    """Of configs left out, ten times a tenth of them: R2 of logit and share, rank correlation."""
    end = runs.curves.marks - 1
    true = runs.points[:, :, end].mean(axis=1)
    folds = np.random.default_rng(0).permutation(len(true)) % FOLDS
    guesses = np.empty_like(true)
    features, pool = runs.features(runs.inputs), runs.features(pool)
    for fold in range(FOLDS):
        seen = folds != fold
        predict = KINDS[kind](features[seen], runs.scores[seen], pool, fold)
        guesses[~seen] = runs.expand(predict(features[~seen]))[:, end]
    shares = final(runs.curves, runs.points).mean(axis=1)
    return (
        _r2(true, guesses),
        _r2(shares, solved(guesses, runs.curves.counts[-1])),
        float(spearmanr(true, guesses).statistic),
    )


def sampled(name: str, kind: str, number: int) -> np.ndarray:
    """Two runs each of random configs of a world, as points: [configs, 2, columns * marks]."""
    turn = number * len(RECORDINGS) + list(RECORDINGS).index(name)
    problem = wide(kind, turn)
    world = problem.world()
    assert isinstance(world, WideWorld)
    rng = np.random.default_rng(number)
    curves = world.source.runs.curves
    found = []
    for _ in range(CONFIGS):
        params = problem.plan.space.sample(rng)[0]
        done = [world.run(params, seed) for seed in (0, 1)]
        if all(run.outcome == "completed" for run in done):
            found.append([curves.point(run.rows) for run in done])
    return np.array(found)


def described(shares: np.ndarray, points: np.ndarray, runs: Runs) -> str:
    """Of [configs, 2] final shares and their points: how good, how noisy, how soon known."""
    means = shares.mean(axis=1)
    tops = " ".join(f"{value:.2f}" for value in np.quantile(means, QUANTILES))
    spread = []
    for low, high in pairwise(LEVELS):
        inside = (means >= low) & (means < high)
        gap = shares[inside, 0] - shares[inside, 1]
        spread.append(f"{np.sqrt(np.mean(gap**2) / 2):.2f}" if inside.sum() > 2 else "-")
    marks = runs.curves.marks
    quarter = COLUMNS.index("lm_loss") * marks + max(marks // 4, 1) - 1
    early = -points[:, 0, quarter]
    best = means >= np.quantile(means, 0.75)
    ranks = [spearmanr(early[some], means[some]).statistic for some in (means >= 0, best)]
    return (
        f"under {BAD} {np.mean(means < BAD):.0%}, quantiles {tops}; between seeds by mean "
        f"{' '.join(spread)}; rank correlation with lm_loss at a quarter {ranks[0]:.2f}, in the "
        f"best quarter {ranks[1]:.2f}"
    )


def _r2(true: np.ndarray, guessed: np.ndarray) -> float:
    return float(1 - np.sum((true - guessed) ** 2) / np.sum((true - true.mean()) ** 2))


if __name__ == "__main__":
    main()
