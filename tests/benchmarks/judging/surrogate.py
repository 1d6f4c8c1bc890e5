"""Smooth worlds fitted to a recording: from where a config stands to the curve of its mean run.

A run is a point (`curves.py`), and runs are their scores on the principal components of a
recording's points. A surrogate foresees the scores from the config, and the chance to fail. Every
world has another draw of the recorded configs with replacement and another random start, of one of
two kinds, so that no method is judged by its own idea of what a function is: an average of
extremely randomised trees (Geurts, Ernst and Wehenkel, Machine Learning 63, 2006), which is made of
steps, and a small neural network, which is smooth.

Averages have less spread than what they average. So each score is stretched around its mean until
configs drawn at random spread as the recorded ones, or by `MOST_STRETCH`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from search.simulator.recording import Recording
from search.space.distributions import Choice
from search.space.space import Space
from tests.benchmarks.judging.curves import COLUMNS, Curves

COMPONENTS = 12
TREES = 10
FEATURES = 0.7
"""Share of the inputs that a split chooses from."""
HIDDEN = 64
STEPS = 100
RATE = 5e-3
DECAY = 0.1
MOST_STRETCH = 2.0
_IMPORTANT = {"exact_accuracy": 3.0, "cell_accuracy": 2.0, "blank_accuracy": 2.0, "lm_loss": 2.0}
"""How much more than 1 a column counts among the components."""

Predict = Callable[[np.ndarray], np.ndarray]
"""From inputs [configs, inputs] to scores [configs, COMPONENTS], and then the chance to fail."""


@dataclass(frozen=True)
class Runs:
    """A recording in numbers.

    Attributes:
        curves: how its runs are points.
        inputs: [configs, inputs].
        points: [configs, seeds, columns * marks], of runs that failed what others are like.
        failed: [configs], share of seeds that failed.
        centre: [columns * marks], mean point.
        basis: [COMPONENTS, columns * marks], what a score of 1 adds to it.
        scores: [configs, COMPONENTS], of each config's mean point.
    """

    curves: Curves
    inputs: np.ndarray
    points: np.ndarray
    failed: np.ndarray
    centre: np.ndarray
    basis: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, recording: Recording, marks: int, budget: float) -> Runs:
        """Read from a recording of which most runs have all marks."""
        configs, seeds = range(len(recording.params)), recording.seeds
        whole = [run.rows for run in recording.runs.values() if len(run.rows) == marks]
        curves = Curves.of(whole, budget)
        runs = [[recording.runs[config, seed] for seed in seeds] for config in configs]
        failed = np.array([[run.outcome != "completed" for run in row] for row in runs])
        kept = [config for config in configs if not failed[config].all()]
        points = np.array([_points(curves, runs[config]) for config in kept])
        flat = points.reshape(-1, points.shape[-1])
        weight = np.repeat([_IMPORTANT.get(name, 1.0) for name in COLUMNS], marks)
        scale, centre = flat.std(axis=0) / weight, flat.mean(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        _, _, directions = np.linalg.svd((flat - centre) / scale, full_matrices=False)
        basis = directions[:COMPONENTS]
        scores = ((points.mean(axis=1) - centre) / scale) @ basis.T
        inputs = np.array([encoded(recording.space, recording.params[c]) for c in kept])
        return cls(curves, inputs, points, failed[kept].mean(axis=1), centre, basis * scale, scores)

    def expand(self, scores: np.ndarray) -> np.ndarray:
        """Points of scores: [..., columns * marks]."""
        return self.centre + scores @ self.basis


def encoded(space: Space, params: Mapping[str, Any]) -> list[float]:
    """A config's numbers: shares of their ranges, and a 1 for the option that is chosen."""
    assert not any(d.condition for d in space.parameters.values())
    found: list[float] = []
    for name, distribution in space.parameters.items():
        if isinstance(distribution, Choice):
            found += [float(params[name] == option) for option in distribution.options]
        else:
            found.append(distribution.position(params[name]))
    return found


def fit_trees(inputs: np.ndarray, targets: np.ndarray, seed: int) -> Predict:
    """An average of trees, each of all configs."""
    forest = ExtraTreesRegressor(TREES, max_features=FEATURES, random_state=seed)
    forest.fit(inputs, targets)
    trees = [tree.tree_ for tree in forest.estimators_]

    def predict(inputs: np.ndarray) -> np.ndarray:
        single = np.ascontiguousarray(inputs, np.float32)
        return np.mean([tree.predict(single)[..., 0] for tree in trees], axis=0)

    return predict


def fit_net(inputs: np.ndarray, targets: np.ndarray, seed: int) -> Predict:
    """A network with two hidden layers, from another random start for each seed."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    sizes = (inputs.shape[1], HIDDEN, HIDDEN, targets.shape[1])
    layers: list[torch.Tensor] = []
    for before, after in pairwise(sizes):
        bound = before**-0.5
        weight = (2 * torch.rand(before, after, generator=generator) - 1) * bound
        layers += [weight.requires_grad_(), torch.zeros(after, requires_grad=True)]
    centre, scale = targets.mean(axis=0), max(float(targets.std(axis=0).max()), 1e-9)
    x = torch.tensor(2 * inputs - 1, dtype=torch.float32)
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

    def predict(inputs: np.ndarray) -> np.ndarray:
        out = 2 * inputs - 1
        for weight, bias in zip(arrays[:-2:2], arrays[1:-2:2], strict=True):
            out = out @ weight + bias
            out = out / (1 + np.exp(-out))
        return (out @ arrays[-2] + arrays[-1]) * scale + centre

    return predict


KINDS: dict[str, Callable[[np.ndarray, np.ndarray, int], Predict]] = {
    "trees": fit_trees,
    "net": fit_net,
}


def fit(runs: Runs, kind: str, number: int, pool: np.ndarray) -> Predict:
    """A world's surrogate, fitted to another draw of the configs for each number.

    Args:
        pool: inputs of configs drawn at random, [configs, inputs]: they are to spread as recorded.
    """
    rng = np.random.default_rng([number, len(runs.scores)])
    drawn = rng.integers(len(runs.scores), size=len(runs.scores))
    plain = KINDS[kind](runs.inputs[drawn], runs.scores[drawn], number)
    # Twice the same column: a forest of one output has another shape.
    failing = fit_trees(runs.inputs[drawn], np.tile(runs.failed[drawn, None], 2), number)
    found = plain(pool)
    middle, spread = found.mean(axis=0), np.maximum(found.std(axis=0), 1e-9)
    stretch = np.clip(runs.scores.std(axis=0) / spread, 1.0, MOST_STRETCH)

    def predict(inputs: np.ndarray) -> np.ndarray:
        scores = middle + (plain(inputs) - middle) * stretch
        return np.column_stack([scores, failing(inputs)[:, 0]])

    return predict


def _points(curves: Curves, runs: list[Any]) -> np.ndarray:
    """The points of a config's runs; a failed one takes the place of the others' mean."""
    known = [curves.point(run.rows) for run in runs if run.outcome == "completed"]
    mean = np.mean(known, axis=0)
    done = iter(known)
    return np.array([next(done) if run.outcome == "completed" else mean for run in runs])
