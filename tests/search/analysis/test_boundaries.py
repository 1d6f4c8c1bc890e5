"""The next space: planted optima at and inside the ends, and files that the schema takes."""

from __future__ import annotations

import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.analysis.boundaries import NextSpace, next_space
from search.config.file import load_tree, presets
from search.config.plan import Plan, simulated_plan
from search.explore.candidates import Explored
from search.ledger.trial import Trial
from search.space.distributions import Choice, Range
from search.space.space import Space
from tests.support.planned import checked
from trm.files.yaml12 import dump_yaml

TREE: dict[str, Any] = {
    "name": "planted",
    "task": {"name": "arrows", "size": 4},
    "model": {
        "mixer": "mlp_t", "hidden_size": 32, "swiglu_multiple": 32, "puzzle_emb_len": 1,
        "L_cycles": {"int": {"low": 1, "high": 4, "default": 2}},
        "halt_exploration_prob": {"uniform": {"low": 0.5, "high": 1.0, "default": 0.5}},
    },
    "loss": {"halt_weight": {"loguniform": {"low": 0.1, "high": 1.0, "default": 0.5}}},
    "optimizer": {
        "choice": [
            {"name": "adamw", "lr": {"loguniform": [1e-3, 1e-2]}},
            {"label": "slow", "name": "adamw", "lr": {"loguniform": [1e-5, 1e-4]}},
        ]
    },
    "train": {"batch_size": 64, "budget": {"flops": 1e9}},
}  # fmt: skip
LR = "optimizer[adamw].lr"


def searched(score: Any, trials: int = 120, tree: dict[str, Any] | None = None) -> NextSpace | None:
    """The next space after uniform draws that have these scores."""
    plan = simulated_plan(deepcopy(tree or TREE))
    found = drawn(plan, score, trials)
    return next_space(plan, found, [one.trial.params for one in found])


def drawn(plan: Plan, score: Any, trials: int) -> list[Explored]:
    rng = np.random.default_rng(5)
    found = []
    for number in range(trials):
        params, config = plan.space.sample(rng)
        trial = Trial(number, "explore", number, 0, params, config, "completed")
        value = score(params)
        found.append(Explored(trial, (trial,), value, {"exact_accuracy": value}, {}))
    return sorted(found, key=lambda one: -one.score)


def by_lr(params: dict[str, Any]) -> float:
    """Best beyond 1e-2, and at a halt weight of 0.3."""
    good = -12.0 if params["optimizer"] == "slow" else 3 * math.log10(params[LR])
    return good - abs(math.log10(params["loss.halt_weight"] / 0.3))


def test_an_optimum_at_an_end_is_named_and_passed(tmp_path: Path) -> None:
    found = searched(by_lr)
    assert found is not None
    (lr,) = found.boundaries
    assert (lr.name, lr.end, lr.bound, lr.extended) == (LR, "high", 1e-2, True)
    assert lr.good == 12
    assert 4 <= lr.pressing <= 12
    assert lr.text().startswith(f"best {LR} sits at the upper edge of its range: 0.00")
    assert f"with a bound of 0.01 ({lr.pressing} of {lr.good} good configs there)" in lr.text()
    low, high = found.ranges[LR]
    assert high == pytest.approx(1e-2 * 10**0.3, rel=0.01), "30 % of a decade beyond"
    assert low > 1e-3
    inside = found.ranges["loss.halt_weight"]
    assert 0.1 <= inside[0] < 0.3 < inside[1] <= 1.0
    assert found.tree is not None
    path = tmp_path / "next.yaml"
    path.write_text(dump_yaml(found.tree))
    space = checked(load_tree(path)).space
    assert space.parameters[LR].contains(found.good[0].params[LR])
    assert found.tree["search"]["first"] == [found.good[0].params]
    space.apply(found.good[0].params)


def test_whole_numbers_go_on_by_one() -> None:
    found = searched(lambda params: params["model.L_cycles"] + 0.1 * params["loss.halt_weight"])
    assert found is not None
    assert ("model.L_cycles", "high") in {(b.name, b.end) for b in found.boundaries}
    assert found.ranges["model.L_cycles"] == (3, 5)
    found = searched(lambda params: -params["model.L_cycles"])
    assert found is not None
    assert [(b.end, b.extended) for b in found.boundaries if b.name == "model.L_cycles"] == [
        ("low", False)
    ], "the schema has no 0 cycles"
    assert found.ranges["model.L_cycles"] == (1, 2)


def test_what_the_schema_refuses_is_not_suggested() -> None:
    found = searched(lambda params: params["model.halt_exploration_prob"])
    assert found is not None
    (edge,) = (b for b in found.boundaries if b.name == "model.halt_exploration_prob")
    assert not edge.extended
    assert edge.text().endswith("no value beyond it is allowed")
    assert found.ranges["model.halt_exploration_prob"][1] == 1.0


def test_an_option_without_a_good_config_is_left_out_once_it_was_tried() -> None:
    found = searched(by_lr)
    assert found is not None
    assert found.options == {"optimizer": ("adamw",)}
    plan = simulated_plan(deepcopy(TREE))
    configs = drawn(plan, by_lr, 120)
    adamw = [one for one in configs if one.trial.params["optimizer"] == "adamw"]
    slow = [one for one in configs if one.trial.params["optimizer"] == "slow"]
    few = next_space(plan, adamw, [one.trial.params for one in [*adamw, *slow[:4]]])
    assert few is not None
    assert few.options == {}, "four draws say little"


def test_the_default_option_stays() -> None:
    found = searched(lambda params: -by_lr(params))
    assert found is not None
    assert all(trial.params["optimizer"] == "slow" for trial in found.good)
    assert found.options == {}


def test_an_optimum_inside_has_no_warning() -> None:
    def inside(params: dict[str, Any]) -> float:
        name = LR if params["optimizer"] == "adamw" else "optimizer[slow].lr"
        place = Range("x", (), "loguniform", 1e-5, 1e-2).position(params[name])
        return -abs(place - 0.85) - abs(params["model.L_cycles"] - 2.4)

    found = searched(inside)
    assert found is not None
    assert found.boundaries == [], [b.text() for b in found.boundaries]
    assert found.tree is not None
    assert found.ranges[LR][0] > 1e-3
    assert found.ranges["model.L_cycles"] == (1.0, 3.0)


def test_too_few_configs_say_nothing() -> None:
    assert searched(by_lr, trials=9) is None


def test_configs_that_break_a_constraint_are_not_good() -> None:
    plan = simulated_plan(deepcopy(TREE))
    configs = drawn(plan, by_lr, 60)
    broken = [
        Explored(one.trial, one.seeds, one.score, one.values, {"mean_steps <= 2": 0.5})
        if index < 10
        else one
        for index, one in enumerate(configs)
    ]
    found = next_space(plan, broken)
    assert found is not None
    assert found.good[0].id == configs[10].trial.id


@pytest.mark.parametrize("name", ["arrows4", "arrows4-curricula", "arrows5", "sudoku-extreme"])
def test_every_parameter_of_a_preset_can_be_changed_alone(name: str) -> None:
    tree = load_tree(presets()[name])
    tree["train"]["budget"] = {"flops": 1e9}
    plan = simulated_plan(tree)
    space = plan.space
    rng = np.random.default_rng(1)
    params = [space.sample(rng)[0] for _ in range(200)]
    changed: dict[str, tuple[float, float]] = {}
    for wanted in [p for p in space.parameters.values() if p.count > 3 and isinstance(p, Range)]:
        low = wanted.at(0.4)

        def score(values: dict[str, Any], wanted: Range = wanted, low: float = low) -> float:
            return float(values.get(wanted.name, -1.0) >= low)

        configs = []
        for number, drawn_values in enumerate(params):
            trial = Trial(number, "explore", number, 0, drawn_values, {}, "completed")
            value = score(drawn_values)
            configs.append(Explored(trial, (trial,), value, {"exact_accuracy": value}, {}))
        found = next_space(plan, sorted(configs, key=lambda one: -one.score))
        assert found is not None
        if found.tree is None:
            continue  # a parameter that few of the good configs have
        changed.update(found.ranges)
        after = Space.parse(found.tree).parameters
        for other, distribution in space.parameters.items():
            if isinstance(distribution, Choice):
                continue
            new = after[other]
            assert isinstance(new, Range)
            ends = found.ranges.get(other, (distribution.low, distribution.high))
            assert (new.low, new.high) == pytest.approx(ends)
    assert changed
