"""Smooth worlds fitted to a recording: from where a config stands to the curve of its mean run.

A run is a point (`curves.py`), and runs are their scores on the principal components of a
recording's points. A surrogate foresees the scores from the config (`features.py`). Every world has
another draw of the recorded configs with replacement and another random start, of one of two kinds,
so that no method is judged by its own idea of what a function is: an average of extremely
randomised trees (Geurts, Ernst and Wehenkel, Machine Learning 63, 2006), which is made of steps,
and a neural network, which is smooth. Alone a network foresees less than trees from so few configs,
so it learns from them what configs between the recorded ones do (distillation: Bucila, Caruana and
Niculescu-Mizil, "Model Compression", KDD 2006).

Averages have less spread than what they average. So each score is stretched around its mean until
configs drawn at random spread as the recorded ones, or by `MOST_STRETCH`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from search.simulator.recording import Recording
from tests.benchmarks.judging.curves import COLUMNS, Curves
from tests.benchmarks.judging.features import Features, encoded

COMPONENTS = 12
TREES = 40
LEAF = 2
"""Least configs of a leaf."""
FEATURES = 0.7
"""Share of the features that a split chooses from."""
HIDDEN = 64
STEPS = 150
RATE = 1e-2
DECAY = 0.1
TAUGHT = 1200
"""Configs without a recording that a network learns of from trees."""
MOST_STRETCH = 2.0
_IMPORTANT = {"exact_accuracy": 3.0, "cell_accuracy": 2.0, "blank_accuracy": 2.0, "lm_loss": 2.0}
"""How much more than 1 a column counts among the components."""

Predict = Callable[[np.ndarray], np.ndarray]
"""From [configs, features] to scores [configs, COMPONENTS]."""

Learn = Callable[[np.ndarray, np.ndarray, np.ndarray, int], Predict]
"""Of (features, scores, features of configs drawn at random, seed)."""


@dataclass(frozen=True)
class Runs:
    """A recording in numbers.

    Attributes:
        curves: how its runs are points.
        inputs: [configs, inputs], `encoded`.
        features: of them.
        points: [configs, seeds, columns * marks].
        centre: [columns * marks], mean point.
        basis: [COMPONENTS, columns * marks], what a score of 1 adds to it.
        scores: [configs, COMPONENTS], of each config's mean point.
    """

    curves: Curves
    inputs: np.ndarray
    features: Features
    points: np.ndarray
    centre: np.ndarray
    basis: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, recording: Recording, marks: int, budget: float) -> Runs:
        """Read from a recording all of whose runs completed."""
        configs, seeds = range(len(recording.params)), recording.seeds
        runs = [[recording.runs[config, seed].rows for seed in seeds] for config in configs]
        curves = Curves.of([rows for row in runs for rows in row], budget)
        points = np.array([[curves.point(rows) for rows in row] for row in runs])
        flat = points.reshape(-1, points.shape[-1])
        weight = np.repeat([_IMPORTANT.get(name, 1.0) for name in COLUMNS], marks)
        scale, centre = flat.std(axis=0) / weight, flat.mean(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        _, _, directions = np.linalg.svd((flat - centre) / scale, full_matrices=False)
        basis = directions[:COMPONENTS]
        scores = ((points.mean(axis=1) - centre) / scale) @ basis.T
        inputs = np.array([encoded(recording.space, params) for params in recording.params])
        steps = points.mean(axis=1)[:, COLUMNS.index("step") * marks + marks - 1]
        features = Features.of(recording.space, inputs, steps)
        return cls(curves, inputs, features, points, centre, basis * scale, scores)

    def expand(self, scores: np.ndarray) -> np.ndarray:
        """Points of scores: [..., columns * marks]."""
        return self.centre + scores @ self.basis


def fit_trees(features: np.ndarray, targets: np.ndarray, pool: np.ndarray, seed: int) -> Predict:
    """An average of trees, each of all configs."""
    forest = ExtraTreesRegressor(
        TREES, max_features=FEATURES, min_samples_leaf=LEAF, random_state=seed
    )
    forest.fit(features, targets)
    trees = [tree.tree_ for tree in forest.estimators_]

    def predict(features: np.ndarray) -> np.ndarray:
        single = np.ascontiguousarray(features, np.float32)
        return np.mean([tree.predict(single)[..., 0] for tree in trees], axis=0)

    return predict


def fit_net(features: np.ndarray, targets: np.ndarray, pool: np.ndarray, seed: int) -> Predict:
    """A network with two hidden layers, from another random start for each seed."""
    import torch

    taught = pool[np.random.default_rng(seed).integers(len(pool), size=TAUGHT)]
    targets = np.concatenate([targets, fit_trees(features, targets, pool, seed)(taught)])
    features = np.concatenate([features, taught])
    generator = torch.Generator().manual_seed(seed)
    sizes = (features.shape[1], HIDDEN, HIDDEN, targets.shape[1])
    layers: list[torch.Tensor] = []
    for before, after in pairwise(sizes):
        bound = before**-0.5
        weight = (2 * torch.rand(before, after, generator=generator) - 1) * bound
        layers += [weight.requires_grad_(), torch.zeros(after, requires_grad=True)]
    centre, scale = targets.mean(axis=0), max(float(targets.std(axis=0).max()), 1e-9)
    x = torch.tensor(2 * features - 1, dtype=torch.float32)
    y = torch.tensor((targets - centre) / scale, dtype=torch.float32)
    optimizer = torch.optim.AdamW(layers, lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        out = x
        for weight, bias in zip(layers[::2], layers[1::2], strict=True):
            out = out @ weight + bias
            out = out if weight is layers[-2] else torch.nn.functional.silu(out)
        optimizer.zero_grad()
        (out - y).square().mean().backward()
        optimizer.step()
        schedule.step()
    arrays = [layer.detach().numpy().astype(float) for layer in layers]

    def predict(features: np.ndarray) -> np.ndarray:
        out = 2 * features - 1
        for weight, bias in zip(arrays[:-2:2], arrays[1:-2:2], strict=True):
            out = out @ weight + bias
            out = out / (1 + np.exp(-out))
        return (out @ arrays[-2] + arrays[-1]) * scale + centre

    return predict


KINDS: dict[str, Learn] = {
    "trees": fit_trees,
    "net": fit_net,
}


def fit(runs: Runs, kind: str, number: int, pool: np.ndarray) -> Predict:
    """A world's surrogate, fitted to another draw of the configs for each number.

    Args:
        pool: inputs of configs drawn at random, [configs, inputs]: they are to spread as recorded.

    Returns:
        Its own argument is inputs, not features.
    """
    rng = np.random.default_rng([number, len(runs.scores)])
    drawn = rng.integers(len(runs.scores), size=len(runs.scores))
    others = runs.features(pool)
    plain = KINDS[kind](runs.features(runs.inputs[drawn]), runs.scores[drawn], others, number)
    found = plain(others)
    middle, spread = found.mean(axis=0), np.maximum(found.std(axis=0), 1e-9)
    stretch = np.clip(runs.scores.std(axis=0) / spread, 1.0, MOST_STRETCH)

    def predict(inputs: np.ndarray) -> np.ndarray:
        return np.asarray(middle + (plain(runs.features(inputs)) - middle) * stretch)

    return predict
