"""Which parameters of a space a config of another one stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from search.config.config import Config, config_from
from search.config.file import load_tree, presets
from search.config.projection import project, reference
from trm.config import experiment_from
from trm.errors import UserError

BASE: dict[str, Any] = {
    "task": {"name": "arrows", "size": 3, "visited": [2, 4]},
    "model": {"hidden_size": 32, "num_heads": 4},
}


def space(**sections: Any) -> Config:
    return config_from({**BASE, **sections})


def config(**sections: Any) -> dict[str, Any]:
    return {**BASE, **sections}


OPTIMIZERS = space(
    optimizer={
        "choice": [
            {"name": "adamw", "lr": {"loguniform": [1e-5, 1e-1]}},
            {"label": "calm", "name": "adamw", "weight_decay": 0.0,
             "lr": {"loguniform": [1e-5, 1e-3]}},
            {"name": "adam_atan2", "lr": {"loguniform": [1e-4, 1e-1]}},
        ]
    },
    train={"ema": {"choice": [None, 0.9, 0.99]}},
)  # fmt: skip


@pytest.mark.parametrize("preset", presets())
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_draw_projects_onto_itself(preset: str, seed: int) -> None:
    found = config_from(load_tree(preset))
    rng = np.random.default_rng(seed)
    for _ in range(30):
        params, tree = found.space.sample(rng)
        try:
            found.experiment(tree)
        except UserError:
            continue  # infeasible
        assert project(found, tree) == params
        return


def test_values_are_read_where_they_stand() -> None:
    found = space(
        model={"H_cycles": {"int": [1, 4]}, "hidden_size": {"choice": [16, 32]}},
        optimizer={"lr": {"loguniform": [1e-5, 1e-1]}},
    )
    tree = config(model={"H_cycles": 3, "hidden_size": 32}, optimizer={"lr": 0.01})
    assert project(found, tree) == {
        "model.H_cycles": 3, "model.hidden_size": "32", "optimizer.lr": 0.01
    }  # fmt: skip
    # What the config leaves out is at the schema's default.
    default = experiment_from(config())
    bare = project(space(optimizer={"lr": {"loguniform": [1e-5, 1e-1]}}), config())
    assert bare == {"optimizer.lr": default.optimizer.lr}


@pytest.mark.parametrize(
    ("optimizer", "option", "lr"),
    [
        ({"name": "adamw", "lr": 1e-2}, "adamw", 1e-2),
        ({"name": "adamw", "lr": 1e-4, "weight_decay": 0.0}, "calm", 1e-4),
        # Too high a rate for the option that says more.
        ({"name": "adamw", "lr": 1e-2, "weight_decay": 0.0}, "adamw", 1e-2),
        ({"name": "adam_atan2", "lr": 1e-3}, "adam_atan2", 1e-3),
    ],
)
def test_an_option_is_the_one_with_the_configs_content(
    optimizer: dict[str, Any], option: str, lr: float
) -> None:
    params = project(OPTIMIZERS, config(optimizer=optimizer, train={"ema": 0.9}))
    assert params == {"optimizer": option, f"optimizer[{option}].lr": lr, "train.ema": "0.9"}


def test_an_option_of_another_content_is_known_by_its_name() -> None:
    found = space(
        optimizer={"choice": [{"name": "adamw", "weight_decay": 0.5}, {"name": "adam_atan2"}]}
    )
    tree = config(optimizer={"name": "adamw", "weight_decay": 0.1})
    assert project(found, tree) == {"optimizer": "adamw"}


def test_a_name_alone_is_an_option_too() -> None:
    found = space(optimizer={"choice": ["adamw", "adam_atan2"]})
    assert project(found, config(optimizer={"name": "adam_atan2", "lr": 1e-3})) == {
        "optimizer": "adam_atan2"
    }
    bools = space(model={"rms_norm_eps": {"choice": [1e-5, 1e-6]}})
    assert project(bools, config(model={"rms_norm_eps": 1e-6})) == {"model.rms_norm_eps": "1e-06"}


@pytest.mark.parametrize(
    ("tree", "complaint"),
    [
        (
            {"optimizer": {"name": "adam_atan2", "lr": 0.5}},
            "optimizer[adam_atan2].lr: 0.5 is outside",
        ),
        (
            {"optimizer": {"name": "adam_atan2", "lr": 1e-3}, "train": {"ema": 0.5}},
            "train.ema: 0.5 is",
        ),
        ({"optimizer": {"name": "moun"}}, "optimizer.name: unknown name"),
    ],
)
def test_what_a_space_does_not_hold_is_refused(tree: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        project(OPTIMIZERS, config(**tree))
    assert str(caught.value).startswith(complaint)
    assert "\n" not in str(caught.value)


def test_a_choice_without_the_configs_option_is_named() -> None:
    options = [{"name": "adamw"}, {"label": "calm", "name": "adamw", "weight_decay": 0.0}]
    with pytest.raises(UserError, match=r"^optimizer: .* is outside choice of adamw, calm"):
        project(space(optimizer={"choice": options}), config(optimizer="adam_atan2"))


def test_the_reference_is_at_the_schemas_defaults_where_they_lie_in_the_space() -> None:
    schema = experiment_from(config())
    found = space(
        model={
            "hidden_size": 32, "num_heads": 4,
            "H_cycles": {"int": {"low": 1, "high": 6, "default": 1}},
            "L_cycles": {"int": {"low": 1, "high": 2, "default": 1}},
        },
        optimizer={
            "choice": {
                "options": [{"name": "adamw"},
                            {"name": "adam_atan2", "lr": {"loguniform": [1e-5, 1e-2]},
                             "weight_decay": {"uniform": [0.0, 0.05]}}],
                "default": "adamw",
            }
        },
    )  # fmt: skip
    params = reference(found)
    assert params["model.H_cycles"] == schema.model.H_cycles == 3
    assert schema.model.L_cycles > 2
    assert params["model.L_cycles"] == 1, "outside: the file's default"
    assert params["optimizer"] == "adam_atan2"
    assert params["optimizer[adam_atan2].lr"] == schema.optimizer.lr
    assert params["optimizer[adam_atan2].weight_decay"] == 0.025
    found.space.apply(params)


@pytest.mark.parametrize("preset", presets())
def test_every_presets_space_has_a_reference(preset: str) -> None:
    found = config_from(load_tree(preset))
    found.space.apply(reference(found))


def test_a_searched_task_stays_at_its_default() -> None:
    small = {"name": "arrows", "size": 3, "visited": [2, 4]}
    task = {"choice": [small, {**small, "label": "big", "size": 4}]}
    found = config_from({"task": task, "optimizer": {"lr": {"loguniform": [1e-5, 1e-2]}}})
    assert reference(found)["task"] == "arrows"
