"""What judges a sweep is measured, where and as often as it must be, and what confirms it too."""

from __future__ import annotations

from typing import Any

import pytest

from search.config.measured import confirmed_tree
from search.config.resolve import refuse_changes
from search.config.sections import StabilityConfig
from tests.support.planned import checked, planned
from trm.errors import UserError

Tiny = Any


def tree(tiny: Tiny, search: dict[str, Any], **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = tiny({"optimizer.lr": {"loguniform": [1e-3, 1e-2]}, "search": search})
    return found | more


@pytest.mark.parametrize(
    ("search", "measure", "at"),
    [
        ({}, [], "last"),
        ({"objective": ["exact_accuracy", "accuracy_x16"]}, ["accuracy_x16"], "last"),
        ({"constraints": ["accuracy_k8 >= 0.5"]}, ["accuracy_k8"], "last"),
        ({"constraints": ["depth_drop <= 0.05"]}, ["accuracy_x4"], "last"),
        ({"constraints": ["depth_drop_x16 <= 0.05"]}, ["accuracy_x16"], "last"),
        ({"objective": "accuracy_x4"}, ["accuracy_x4"], "reports"),
        ({"scheduler": {"name": "asha", "metric": "accuracy_k8"}}, ["accuracy_k8"], "reports"),
        ({"objective": {"column": "depth_drop", "direction": "minimize", "floor": 1.0}},
         ["accuracy_x4"], "reports"),
    ],
)  # fmt: skip
def test_a_sweep_asks_for_what_judges_it(
    tiny: Tiny, cache: Any, search: dict[str, Any], measure: list[str], at: str
) -> None:
    plan = planned(tree(tiny, search))
    assert plan.default.thought.measure == measure
    assert plan.default.thought.at == at
    assert plan.recipe["thought"]["measure"] == measure
    drawn = plan.experiment(plan.space.default()[1])
    assert drawn.thought == plan.default.thought


def test_what_a_file_asks_for_stays(tiny: Tiny, cache: Any) -> None:
    own = {"measure": ["accuracy_k8"], "pick": "vote", "noise": {"z_L": {"uniform": [0.1, 0.5]}}}
    plan = planned(tree(tiny, {"constraints": ["accuracy_x4 >= 0.1"]}, thought=own))
    assert plan.default.thought.measure == ["accuracy_x4", "accuracy_k8"]
    assert plan.default.thought.pick == "vote"
    assert "thought.noise.z_L" in plan.space.parameters


def test_a_resume_takes_the_file_that_left_it_open(tiny: Tiny, cache: Any) -> None:
    file = tree(tiny, {"constraints": ["depth_drop <= 0.05"]})
    refuse_changes(planned(file), file)


@pytest.mark.parametrize("key", ["depth", "breadth", "examples"])
def test_what_would_not_compare_is_not_searched(tiny: Tiny, key: str) -> None:
    with pytest.raises(UserError, match=rf"thought\.{key}: cannot be searched"):
        checked(tree(tiny, {}, thought={key: {"choice": [1, 2]}}))


def test_accuracy_at_a_depth_and_breadth(tiny: Tiny, cache: Any) -> None:
    search = {"objective": "thought_accuracy"}
    plan = planned(tree(tiny, search, thought={"depth": 2, "breadth": 4}))
    assert plan.default.thought.at == "reports"
    with pytest.raises(UserError, match=r"is in no report: set thought\.depth or thought\.breadth"):
        planned(tree(tiny, search))
    elsewhere = tree(tiny, search, thought={"depth": 2}, stability={"depth": 4})
    with pytest.raises(UserError, match=r"stability\.depth: 4 and breadth 1: trials are judged"):
        planned(elsewhere)


def test_shares_are_of_the_examples_that_are_thought_about(tiny: Tiny, cache: Any) -> None:
    plan = planned(tree(tiny, {"objective": "accuracy_x4"}, thought={"examples": 3}))
    assert plan.counted(500) == 3
    assert plan.counted(None) == 3
    every = planned(tree(tiny, {"objective": "accuracy_x4"}, thought={"examples": None}))
    assert every.counted(500) == 500


@pytest.mark.parametrize(
    ("section", "thought", "expected"),
    [
        ({}, {}, {"measure": ["accuracy_x16"]}),
        ({"deep": False}, {}, None),
        ({"deep": False, "breadth": 8}, {}, {"depth": 1, "breadth": 8}),
        ({"depth": 4}, {"measure": ["accuracy_k8"], "pick": "q"},
         {"measure": ["accuracy_x16", "accuracy_k8"], "pick": "q", "depth": 4, "breadth": 1}),
        ({}, {"depth": 2, "breadth": 3},
         {"measure": ["accuracy_x16"], "depth": 2, "breadth": 3}),
    ],
)  # fmt: skip
def test_what_the_confirm_stage_asks_of_its_runs(
    section: dict[str, Any], thought: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    config = {"model": {"hidden_size": 8}, **({"thought": thought} if thought else {})}
    found = confirmed_tree(StabilityConfig(**section), config)
    assert found.get("thought") == expected
    assert found["model"] == config["model"]
    assert config.get("thought", {}) == thought  # whose it was
