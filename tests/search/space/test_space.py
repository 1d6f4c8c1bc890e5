"""The space language: what is read, what is refused, and that draws obey their distributions."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

from search.space.distributions import Choice
from search.space.nodes import FIXED_SECTIONS
from search.space.space import Space
from trm.errors import UserError

TREE: dict[str, Any] = {
    "name": "demo",
    "model": {"H_cycles": {"int": [1, 4]}, "hidden_size": 32},
    "optimizer": {
        "choice": [
            {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-2]}},
            {
                "name": "muon",
                "lr": {"loguniform": {"low": 1e-3, "high": 1e-1, "default": 0.02}},
                "inner": {"choice": [{"label": "plain"}, {"label": "fancy", "k": {"int": [2, 6]}}]},
            },
        ]
    },
    "curriculum": {"depth": {"stages": [{"at": {"uniform": [0.1, 0.4]}, "H": 1}, {"at": 0.6}]}},
    "train": {"ema": {"choice": [None, 0.9, True, "auto"]}},
    "search": {"trials": 64},
}


def chosen(**options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    names = {key.replace("__", "."): value for key, value in options.items()}
    return Space.parse(TREE).draw(lambda name, d: names.get(name, d.first()))


def test_parameters_are_named_by_their_path_with_their_condition() -> None:
    parameters = Space.parse(TREE).parameters
    assert list(parameters) == [
        "curriculum.depth.stages[0].at",
        "model.H_cycles",
        "optimizer",
        "optimizer[adamw].lr",
        "optimizer[muon].inner",
        "optimizer[muon].inner[fancy].k",
        "optimizer[muon].lr",
        "train.ema",
    ]
    assert parameters["optimizer[muon].inner[fancy].k"].condition == (
        ("optimizer", "muon"),
        ("optimizer[muon].inner", "fancy"),
    )
    assert parameters["train.ema"] == Choice("train.ema", (), ("null", "0.9", "true", "auto"))


def test_only_active_parameters_are_asked_and_labels_vanish() -> None:
    params, tree = chosen(optimizer="adamw")
    assert [name for name in params if name.startswith("optimizer")] == [
        "optimizer",
        "optimizer[adamw].lr",
    ]
    assert tree["optimizer"] == {"name": "adamw", "lr": pytest.approx(1e-3)}
    params, tree = Space.parse(TREE).draw(
        lambda name, d: {"optimizer": "muon", "optimizer[muon].inner": "fancy"}.get(name, d.first())
    )
    assert tree["optimizer"] == {"name": "muon", "lr": 0.02, "inner": {"k": 4}}
    assert params["optimizer[muon].inner[fancy].k"] == 4


@pytest.mark.parametrize(
    ("name", "value"), [("null", None), ("0.9", 0.9), ("true", True), ("auto", "auto")]
)
def test_scalar_options_come_back_as_they_were_written(name: str, value: Any) -> None:
    found = Space.parse(TREE).draw(lambda n, d: name if n == "train.ema" else d.first())[1]
    assert found["train"]["ema"] is value or found["train"]["ema"] == value
    assert type(found["train"]["ema"]) is type(value)


def test_everything_else_is_kept_and_the_input_is_left_alone() -> None:
    before = copy.deepcopy(TREE)
    tree = Space.parse(TREE).default()[1]
    assert before == TREE
    assert tree["search"] == {"trials": 64}
    assert tree["curriculum"]["depth"]["stages"] == [{"at": 0.25, "H": 1}, {"at": 0.6}]
    assert list(tree) == list(TREE)
    tree["search"]["trials"] = 1
    tree["curriculum"]["depth"]["stages"].append(0)
    assert Space.parse(TREE).default()[1]["search"]["trials"] == 64


def test_a_draw_does_not_depend_on_the_order_of_the_file() -> None:
    def reversed_keys(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: reversed_keys(node[key]) for key in reversed(node)}
        return [reversed_keys(child) for child in node] if isinstance(node, list) else node

    one = Space.parse(TREE).sample(np.random.default_rng(3))
    other = Space.parse(reversed_keys(TREE)).sample(np.random.default_rng(3))
    assert one == other


@pytest.mark.parametrize(
    ("distribution", "first"),
    [
        ({"loguniform": [1e-4, 1e-2]}, 1e-3),
        ({"loguniform": {"low": 1e-4, "high": 1e-2, "default": 2e-3}}, 2e-3),
        ({"uniform": [0, 1]}, 0.5),
        ({"uniform": {"low": 0, "high": 1, "step": 0.3}}, 0.3),
        ({"int": [1, 5]}, 3),
        ({"int": [1, 4]}, 2),
        ({"int": {"low": 0, "high": 64, "step": 8}}, 32),
        ({"logint": [4, 64]}, 16),
        ({"int": [7, 7]}, 7),
        ({"choice": [3, 4]}, 3),
        ({"choice": {"options": [3, 4], "default": 4}}, 4),
        ({"choice": {"options": [None, 4], "default": None}}, None),
        ({"choice": {"options": [4, {"label": "some", "int": [1, 3]}], "default": "some"}}, 2),
        ({"choice": [[1, {"int": [2, 4]}], [3]]}, [1, 3]),
    ],
)
def test_defaults(distribution: dict[str, Any], first: Any) -> None:
    tree = Space.parse({"x": distribution}).default()[1]
    assert tree["x"] == (pytest.approx(first) if isinstance(first, float) else first)
    assert isinstance(tree["x"], type(first))


def test_a_list_option_is_named_by_its_json() -> None:
    space = Space.parse({"x": {"choice": [[1, {"int": [2, 4]}], "[1]", [3]]}})
    assert list(space.parameters) == ["x", 'x[[1,{"int":[2,4]}]][1]']
    choice = space.parameters["x"]
    assert isinstance(choice, Choice)
    assert choice.options == ('[1,{"int":[2,4]}]', "[1]", "[3]")


@pytest.mark.parametrize("word", ["uniform", "loguniform", "int", "logint"])
@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ([4, 2], "low must not be above high"),
        ([1, 2, 3], "must be"),
        ("1-2", "must be"),
        (7, "must be"),
        (["a", 2], "must be a finite number"),
        ([True, 2], "must be a finite number"),
        ([1, math.inf], "must be a finite number"),
        ([1, math.nan], "must be a finite number"),
        ({"low": 1}, "needs `high`"),
        ({"low": 1, "high": 3, "hihg": 3}, "did you mean high"),
        ({"low": 1, "high": 3, "default": 4}, "default outside"),
        ({"low": 1, "high": 3, "default": None}, "must be a finite number"),
    ],
)
def test_ranges_that_are_refused(word: str, body: Any, complaint: str) -> None:
    with pytest.raises(UserError, match=r"^model\.deep: ") as caught:
        Space.parse({"model": {"deep": {word: body}}})
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("distribution", "complaint"),
    [
        ({"loguniform": [0, 1]}, "not above 0"),
        ({"logint": [0, 8]}, "not above 0"),
        ({"loguniform": [-1, 1]}, "not above 0"),
        ({"int": [1.5, 3]}, "must be an integer"),
        ({"loguniform": {"low": 1, "high": 2, "step": 1}}, "is no key of `loguniform`"),
        ({"uniform": {"low": 0, "high": 1, "step": 0}}, "above 1e-06"),
        ({"int": {"low": 0, "high": 9, "step": -1}}, "above 0"),
        ({"uniform": {"low": 0, "high": 1, "step": 2}}, "beyond the range"),
        ({"uniform": {"low": 0, "high": 1, "step": 0.25, "default": 0.3}}, "default outside"),
        ({"choice": []}, "at least one option"),
        ({"choice": "ab"}, "at least one option"),
        ({"choice": {"default": 1}}, "at least one option"),
        ({"choice": {"options": [1], "defualt": 1}}, "did you mean default"),
        ({"choice": {"options": [1], "default": 2}}, "is no option"),
        ({"choice": ["true", True]}, "names two options"),
        ({"choice": [{"name": "a", "b": 1}, {"name": "a", "b": 2}]}, "names two options"),
        ({"choice": [{"lr": 1}]}, "has no name"),
        ({"choice": [0, {"uniform": [0, 1]}]}, "has no name"),
        ({"choice": [""]}, "not empty"),
        ({"loguniform": [1, 2], "default": 1}, "cannot stand beside"),
    ],
)
def test_spaces_that_are_refused(distribution: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=r"^optimizer\.lr") as caught:
        Space.parse({"optimizer": {"lr": distribution}})
    assert complaint in str(caught.value)


@pytest.mark.parametrize("section", FIXED_SECTIONS)
def test_the_sweep_itself_cannot_be_searched(section: str) -> None:
    with pytest.raises(UserError, match=rf"^{section}\.a\[1\]"):
        Space.parse({section: {"a": [1, {"int": [1, 2]}]}})
    with pytest.raises(UserError, match=f"^{section}: "):
        Space.parse({section: {"choice": [1, 2]}})
    assert Space.parse({section: {"a": [1]}, "x": 1}).default()[1] == {section: {"a": [1]}, "x": 1}


def test_keys_that_would_give_two_parameters_one_name_are_refused() -> None:
    with pytest.raises(UserError, match="names two parameters"):
        Space.parse({"a.b": {"int": [1, 2]}, "a": {"b": {"int": [1, 2]}}})


@pytest.mark.parametrize("tree", [{"x": 1}, {}, {"x": {"int": [2, 2]}}, {"x": {"choice": [1]}}])
def test_nothing_to_search(tree: dict[str, Any]) -> None:
    space = Space.parse(tree)
    assert not space.searches
    with pytest.raises(UserError, match="nothing to search"):
        space.require_searchable()
    Space.parse(TREE).require_searchable()


@pytest.mark.parametrize(
    ("change", "where", "complaint"),
    [
        ({"model.H_cycles": 9}, "model.H_cycles", "outside"),
        ({"model.H_cycles": 2.5}, "model.H_cycles", "outside"),
        ({"model.H_cycles": "2"}, "model.H_cycles", "outside"),
        ({"train.ema": 0.9}, "train.ema", "outside"),
        ({"optimizer[muon].lr": 0.02}, "optimizer[muon].lr", "does not exist under"),
        ({"model.H_cycle": 2}, "model.H_cycle", "did you mean model.H_cycles"),
        ({"model.H_cycles": None}, "model.H_cycles", "has no value"),
    ],
)
def test_apply_refuses_params_of_another_space(
    change: dict[str, Any], where: str, complaint: str
) -> None:
    space = Space.parse(TREE)
    params = {**space.default()[0], **change}
    params = {name: value for name, value in params.items() if value is not None}
    with pytest.raises(UserError) as caught:
        space.apply(params)
    assert str(caught.value).startswith(f"{where}:")
    assert complaint in str(caught.value)


def test_apply_takes_integers_that_a_file_stored_as_floats() -> None:
    space = Space.parse(TREE)
    params, tree = space.default()
    again = space.apply({**params, "model.H_cycles": float(params["model.H_cycles"])})
    assert again == tree
    assert isinstance(again["model"]["H_cycles"], int)


def test_size_counts_conditional_branches_once() -> None:
    options = [{"name": "a", "k": {"int": [1, 3]}}, {"name": "b"}]
    tree = {"o": {"choice": options}, "f": {"choice": [True, False]}}
    assert Space.parse(tree).size == (3 + 1) * 2
    assert Space.parse(tree).size_text == "3 parameters (1 conditional), 8 configs"
    assert Space.parse({"x": {"uniform": [0, 1]}}).size_text == "1 parameter"
    steps = {"x": {"uniform": {"low": 0, "high": 0.7, "step": 0.1}}}
    assert Space.parse(steps).size == 8


def test_describe_has_a_row_for_each_parameter() -> None:
    rows = {row[0]: row[1:] for row in Space.parse(TREE).describe()}
    assert rows["model.H_cycles"] == ("int [1, 4]", "2", "")
    assert rows["optimizer[muon].lr"] == ("loguniform [0.001, 0.1]", "0.02", "optimizer = muon")
    assert rows["train.ema"] == ("choice of null, 0.9, true, auto", "null", "")


def test_every_option_and_bound_is_probed() -> None:
    seen: list[dict[str, Any]] = []
    assert list(Space.parse(TREE).refused(seen.append, np.random.default_rng(0))) == []
    assert len(seen) == 5 * 2 + 2 + 2 + 4
    assert {tree["model"]["H_cycles"] for tree in seen} == {1, 2, 4}
    assert {"k": 6} in [tree["optimizer"].get("inner") for tree in seen]


def test_refused_names_what_no_draw_can_rescue() -> None:
    def check(tree: dict[str, Any]) -> None:
        if tree["hidden"] % tree["heads"]:
            raise ValueError("heads must divide hidden")
        if tree["lr"] == "fast":
            raise ValueError("no such rate")

    options = {"options": [64, 96], "default": 64}
    space = Space.parse(
        {
            "hidden": {"choice": options},
            "heads": {"choice": [8, 3, 5]},
            "lr": {"choice": [1, "fast"]},
        }
    )
    found = {where: str(e) for where, e in space.refused(check, np.random.default_rng(0))}
    assert found == {"heads = 5": "heads must divide hidden", "lr = fast": "no such rate"}


def test_infeasible_share_counts_refused_draws() -> None:
    def check(tree: dict[str, Any]) -> None:
        if tree["x"] == 3:
            raise ValueError("no threes")

    space = Space.parse({"x": {"int": [0, 3]}})
    share = space.infeasible_share(check, np.random.default_rng(0), draws=2000)
    assert share == pytest.approx(0.25, abs=0.04)
    assert space.infeasible_share(lambda tree: None, np.random.default_rng(0)) == 0


def test_samples_are_uniform_on_the_parameters_own_scale() -> None:
    rng = np.random.default_rng(0)
    space = Space.parse(
        {"wide": {"loguniform": [1e-4, 1.0]}, "int": {"int": [1, 4]}, "pick": {"choice": [1, 2]}}
    )
    trees = [space.sample(rng)[1] for _ in range(4000)]
    assert np.mean([tree["wide"] < 1e-2 for tree in trees]) == pytest.approx(0.5, abs=0.03)
    for value in (1, 2, 3, 4):
        assert np.mean([t["int"] == value for t in trees]) == pytest.approx(0.25, abs=0.03)
    assert np.mean([tree["pick"] == 1 for tree in trees]) == pytest.approx(0.5, abs=0.03)
