"""What samplers cost and what they find: ask times, and regret against random draws.

Regret is how far the best candidate is from the best there is. Every line compares two things that
ran side by side; numbers of candidates and repetitions are on it.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from curricula.component import by_name
from search.samplers import SAMPLERS
from search.samplers.base import SamplerConfig
from search.samplers.gp import GpConfig
from search.samplers.history import OBJECTIVE, History, PastRun, PastTrial
from search.samplers.tpe import TpeConfig
from search.space.space import Space
from tests.benchmarks.side_by_side import compare

REPETITIONS = 20
DRAWS = 200
GOALS = {200: 0.5, 2000: 2.0}
"""Seconds of CPU that a draw of `gp` may take after so many runs."""
COSTLY = {"gp": (60, 10)}
"""Candidates and repetitions of a sampler whose draws take most of a second."""


@dataclass(frozen=True)
class Problem:
    """A space, and the loss of its candidates, whose least is 0."""

    space: Space
    loss: Callable[[Mapping[str, Any]], float]


def _share(params: Mapping[str, Any], name: str, problem: Space) -> float:
    found = problem.parameters[name]
    return found.position(params[name]) if hasattr(found, "position") else 0.0


def _valley(params: Mapping[str, Any]) -> float:
    """A narrow valley across two scales, a plateau and a stepped depth."""
    lr, wd, warmup = (_share(params, name, _VALLEY) for name in ("lr", "wd", "warmup"))
    return (
        8 * (lr + wd / 2 - 0.9) ** 2
        + (lr - 0.6) ** 2
        + max(0.0, abs(warmup - 0.3) - 0.1)
        + 0.1 * abs(params["depth"] - 5)
    )


def _branches(params: Mapping[str, Any]) -> float:
    """Three optimisers, the best of which is good in a small region only."""
    name = params["optimizer"]
    lr = _share(params, f"optimizer[{name}].lr", _BRANCHES)
    ema = {"null": 0.2, "0.9": 0.1, "0.999": 0.0}[params["ema"]]
    depth = 0.08 * abs(params["depth"] - 3)
    if name == "muon":
        momentum = _share(params, "optimizer[muon].momentum", _BRANCHES)
        return 4 * (lr - 0.8) ** 2 + 2 * (momentum - 0.2) ** 2 + ema + depth
    return {"adamw": 0.15, "sgd": 0.3}[name] + (lr - 0.4) ** 2 + ema + depth


def _rugged(params: Mapping[str, Any]) -> float:
    """Ackley's function in five dimensions, its optimum off the middle (Ackley, 1987)."""
    x = np.array([params[f"x{i}"] for i in range(5)]) - 0.35
    x = 6 * x
    return float(
        20
        + math.e
        - 20 * np.exp(-0.2 * np.sqrt(np.mean(x**2)))
        - np.exp(np.mean(np.cos(2 * np.pi * x)))
    )


_VALLEY = Space.parse(
    {
        "lr": {"loguniform": [1e-5, 1e-1]},
        "wd": {"loguniform": [1e-4, 1.0]},
        "warmup": {"uniform": [0, 1]},
        "depth": {"int": [1, 9]},
    }
)
_BRANCHES = Space.parse(
    {
        "optimizer": {
            "choice": [
                {"name": "sgd", "lr": {"loguniform": [1e-4, 1.0]}},
                {"name": "adamw", "lr": {"loguniform": [1e-5, 1e-1]}},
                {
                    "name": "muon",
                    "lr": {"loguniform": [1e-4, 1e-1]},
                    "momentum": {"uniform": [0.5, 1.0]},
                },
            ]
        },
        "ema": {"choice": [None, 0.9, 0.999]},
        "depth": {"int": [1, 6]},
    }
)
PROBLEMS = {
    "valley (numeric)": Problem(_VALLEY, _valley),
    "branches (conditional)": Problem(_BRANCHES, _branches),
    "rugged (numeric)": Problem(
        Space.parse({f"x{i}": {"uniform": [0, 1]} for i in range(5)}), _rugged
    ),
}


def best_after(config: SamplerConfig, problem: Problem, draws: int, seed: int) -> float:
    """The least loss of a serial sweep's candidates."""
    history = History(["minimize"])
    for _ in range(draws):
        if config.exhausted(history, problem.space):
            break
        params, _ = config.draw(history, problem.space, seed, draws)
        number = history.begin(params)
        history.end(PastTrial(number, params, "completed", (problem.loss(params),)))
    return min(record.values[0] for record in history.records)


def regret(config: SamplerConfig, problem: Problem, draws: int, repetitions: int) -> float:
    """The median over repetitions of the least loss."""
    return statistics.median(
        best_after(config, problem, draws, seed) for seed in range(repetitions)
    )


def long_history(problem: Problem, candidates: int) -> History:
    """A sweep of random candidates, most of which were pruned."""
    rng = np.random.default_rng(0)
    history = History(["minimize"])
    for number in range(candidates):
        params, _ = problem.space.sample(rng)
        history.begin(params)
        loss = problem.loss(params)
        outcome = "completed" if number % 3 == 0 else "pruned"
        history.end(PastTrial(number, params, outcome, (loss,), {0: loss}, progress=0.3))
    return history


def searched(candidates: int) -> tuple[Space, History]:
    """A wide space, and a sweep of it with curves, a third of whose candidates were pruned."""
    rng = np.random.default_rng(0)
    numeric = {f"x{i}": {"uniform": [0, 1]} for i in range(10)}
    space = Space.parse({**numeric, **{f"c{i}": {"choice": ["a", "b", "c"]} for i in range(5)}})
    history = History(bounds=(0.0, 1.0))
    for number in range(candidates):
        params, _ = space.sample(rng)
        away = sum((params[f"x{i}"] - 0.4) ** 2 for i in range(4)) + 0.1 * (params["c0"] == "a")
        score = float(np.clip(0.8 - away + 0.03 * rng.standard_normal(), 0.0, 1.0))
        outcome, marks = ("pruned", 3) if number % 3 == 0 else ("completed", 8)
        curve = {
            mark: {OBJECTIVE: score * (mark + 1) / 8, "lm_loss": 2.0 - score * (mark + 1) / 8}
            for mark in range(marks)
        }
        run = PastRun(outcome, None if outcome == "pruned" else score, curve)
        history.begin(params)
        history.end(PastTrial(number, params, outcome, (score,), runs=(run,)))
    return space, history


def suggestion(runs: int, repetitions: int = 5) -> float:
    """CPU seconds of a draw of `gp` after so many runs, 15 parameters, the median: everything that
    a draw needs is made anew.
    """
    space, history = searched(runs)
    found = []
    for seed in range(repetitions):
        history.views.clear()
        begun = time.process_time()
        GpConfig().draw(history, space, seed, 2 * runs)
        found.append(time.process_time() - begun)
    return statistics.median(found)


def main() -> None:
    import torch

    torch.set_num_threads(1)
    for runs, goal in GOALS.items():
        print(f"gp, a draw after {runs} runs of 15 parameters: {suggestion(runs):.2f} s of CPU, "
              f"goal {goal} s", flush=True)  # fmt: skip
    capped, uncapped = TpeConfig(), TpeConfig(max_observations=None)
    for name, problem in PROBLEMS.items():
        for candidates in (500, 5000):
            history = long_history(problem, candidates)
            seeds = iter(range(10**9))

            def ask(config: SamplerConfig, history: History = history) -> None:
                config.draw(history, problem.space, next(seeds), candidates)  # noqa: B023

            ours, all_of_them = compare(lambda: ask(capped), lambda: ask(uncapped), 15)
            print(
                f"tpe, a draw at {candidates} candidates, {name}: "
                f"{capped.max_observations} observations {ours * 1e3:.1f} ms, "
                f"all {all_of_them * 1e3:.1f} ms, ratio {ours / all_of_them:.2f}",
                flush=True,
            )
    for name, problem in PROBLEMS.items():
        ours, all_of_them = (regret(each, problem, 400, 10) for each in (capped, uncapped))
        print(f"tpe, regret after 400, 10 repetitions, {name}: capped {ours:.3g}, "
              f"all {all_of_them:.3g}, ratio {ours / all_of_them:.2f}", flush=True)  # fmt: skip
    for name, problem in PROBLEMS.items():
        for sampler in SAMPLERS:
            config = by_name(SAMPLERS, sampler)
            if sampler in ("random", "nsga3") or (sampler, name[-9:]) == ("auto", "(numeric)"):
                continue  # that is gp
            draws, repetitions = COSTLY.get(sampler, (DRAWS, REPETITIONS))
            random = regret(by_name(SAMPLERS, "random"), problem, draws, repetitions)
            found = regret(config, problem, draws, repetitions)
            print(f"{sampler}, regret after {draws}, {repetitions} repetitions, {name}: "
                  f"{found:.3g}, random {random:.3g}, ratio {found / random:.2f}",
                  flush=True)  # fmt: skip
