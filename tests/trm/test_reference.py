"""Names, arch configs and overrides of the reference repository."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import yaml

from trm.config import Experiment, experiment_from
from trm.network.model import TRM, ModelConfig
from trm.reference import (
    CHECKPOINT_PREFIX,
    arch_config,
    export_state_dict,
    import_state_dict,
    inexpressible,
    model_config,
    overrides,
    reference_file,
)
from trm.tasks.base import Task

ARCH: dict[str, Any] = {
    "name": "recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1",
    "loss": {"name": "losses@ACTLossHead", "loss_type": "stablemax_cross_entropy"},
    "halt_exploration_prob": 0.1,
    "halt_max_steps": 16,
    "H_cycles": 3,
    "L_cycles": 6,
    "H_layers": 0,
    "L_layers": 2,
    "hidden_size": 512,
    "num_heads": 8,
    "expansion": 4,
    "puzzle_emb_ndim": 512,
    "pos_encodings": "rope",
    "forward_dtype": "bfloat16",
    "mlp_t": False,
    "puzzle_emb_len": 16,
    "no_ACT_continue": True,
}
"""config/arch/trm.yaml as the reference repository ships it, its interpolation resolved."""
PRETRAIN_KEYS = {
    "global_batch_size",
    "epochs",
    "eval_interval",
    "lr",
    "lr_min_ratio",
    "lr_warmup_steps",
    "beta1",
    "beta2",
    "weight_decay",
    "puzzle_emb_lr",
    "puzzle_emb_weight_decay",
    "seed",
    "ema",
    "ema_rate",
}
"""Keys of the reference's PretrainConfig that a recipe sets; hydra refuses any other."""
SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_heads": 2,
    "expansion": 1.0,
    "swiglu_multiple": 8,
    "puzzle_emb_len": 2,
}
TASK = {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 40}
TASK |= {"valid_examples": 4, "test_examples": 4}


def experiment(**sections: Any) -> Experiment:
    return experiment_from({"task": TASK, **sections})


@pytest.fixture(scope="module")
def task() -> Task:
    return experiment().task.build()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mixer": "mlp_t"},
        {"pos_encodings": "learned"},
        {"puzzle_emb_ndim": 0, "puzzle_emb_len": 0},
    ],
)
@pytest.mark.parametrize("prefix", ["", CHECKPOINT_PREFIX, "model."])
def test_a_state_dict_survives_the_round_trip(changes: dict[str, Any], prefix: str) -> None:
    model = TRM(
        ModelConfig.model_validate(SMALL | changes),
        seq_len=4,
        vocab_size=9,
        generator=torch.Generator().manual_seed(0),
    )
    state = model.state_dict()
    exported = export_state_dict(state, prefix)
    assert all(name.startswith(f"{prefix}inner.") for name in exported)
    back = import_state_dict(exported)
    assert back.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(back[name], tensor)
    model.load_state_dict(back)


def test_the_shipped_arch_config_is_our_default() -> None:
    assert model_config(ARCH) == ModelConfig(pos_encodings="rope", puzzle_emb_ndim=512)
    assert arch_config(experiment()) == ARCH


@pytest.mark.parametrize(
    "changes",
    [
        {"mixer": "mlp_t"},
        {"pos_encodings": "learned", "num_heads": 4},
        {"pos_encodings": "none"},
        {"puzzle_emb_ndim": 0, "puzzle_emb_len": 0},
        {"puzzle_emb_ndim": 20, "puzzle_emb_len": 0},
        {"H_cycles": 1, "L_cycles": 9, "L_layers": 4, "halt_max_steps": 5},
        {"halt_exploration_prob": 0.0, "no_ACT_continue": False},
        {"rope_theta": 500.0, "rms_norm_eps": 1e-6},
    ],
)
def test_an_arch_config_says_everything_about_the_model(changes: dict[str, Any]) -> None:
    given = ModelConfig.model_validate(SMALL | {"swiglu_multiple": 256, "expansion": 2.5} | changes)
    back = model_config(arch_config(experiment(model=given.model_dump())))
    filled = {"pos_encodings": given.positions, "puzzle_emb_ndim": given.embedding_dim}
    assert back == given.model_copy(update=filled)


def test_an_arch_without_an_embedding_has_no_prefix() -> None:
    assert model_config(ARCH | {"puzzle_emb_ndim": 0}).prefix == 0


def test_mlp_t_with_the_references_default_positions() -> None:
    assert model_config(ARCH | {"mlp_t": True}).positions == "none"


def as_values(lines: list[str]) -> dict[str, Any]:
    assert all(line.count("=") == 1 for line in lines)
    return {
        key: float(value) if value[0].isdigit() else value == "True"
        for key, value in (line.split("=") for line in lines)
    }


def test_overrides_are_keys_of_the_references_config(task: Task) -> None:
    config = experiment(
        optimizer={"name": "adam_atan2", "lr": 3e-4, "lr_min_ratio": 0.1, "beta2": 0.97},
        train={"batch_size": 8, "reports": 5, "ema": 0.99, "seed": 7, "budget": {"steps": 50}},
    )
    values = as_values(overrides(config, task, 50))
    assert values.keys() == PRETRAIN_KEYS
    assert values["lr"] == 3e-4
    assert values["lr_min_ratio"] == 0.1
    assert values["beta2"] == 0.97
    assert values["global_batch_size"] == 8
    assert values["seed"] == 7
    assert values["ema"] is True
    assert values["ema_rate"] == 0.99
    # 50 steps of 8 are 10 epochs of 40 puzzles; five reports are one every 2 epochs.
    assert (values["epochs"], values["eval_interval"]) == (10, 2)


@pytest.mark.parametrize("steps", [1, 7, 53, 1_000, 12_345])
@pytest.mark.parametrize("reports", [1, 3, 10])
def test_the_reference_trains_as_long_and_accepts_the_interval(
    task: Task, steps: int, reports: int
) -> None:
    config = experiment(train={"batch_size": 8, "reports": reports})
    values = as_values(overrides(config, task, steps))
    assert values["epochs"] % values["eval_interval"] == 0
    epochs = steps * 8 / 40
    # At most half an interval off: both are whole numbers of epochs.
    assert abs(values["epochs"] - epochs) <= max(values["eval_interval"] / 2, 1)


def test_no_average_is_no_average(task: Task) -> None:
    values = as_values(overrides(experiment(train={"ema": None, "batch_size": 8}), task, 50))
    assert values["ema"] is False
    assert "ema_rate" not in values


@pytest.mark.parametrize(
    ("section", "key", "values"),
    [
        ("optimizer", "name", {"name": "adamw"}),
        ("optimizer", "grad_clip", {"name": "adam_atan2", "grad_clip": 1.0}),
        ("loss", "halt_weight", {"halt_weight": 0.1}),
        ("loss", "loss_type", {"loss_type": "softmax_cross_entropy"}),
        ("halting", "threshold", {"threshold": 0.7}),
        ("model", "no_ACT_continue", {"no_ACT_continue": False}),
        ("model", "swiglu_multiple", {"swiglu_multiple": 32}),
        ("model", "carry_latent", {"carry_latent": False}),
        ("model", "one_step_gradient", {"one_step_gradient": True}),
        (
            "curriculum",
            "depth",
            {"depth": {"name": "stages", "stages": [{"at": 0.0, "H_cycles": 1, "L_cycles": 2}]}},
        ),
    ],
)
def test_what_the_reference_cannot_say_is_named(
    section: str, key: str, values: dict[str, Any], task: Task
) -> None:
    assert inexpressible(experiment()) == []
    config = experiment(**{section: values})
    (line,) = inexpressible(config)
    assert line.startswith(f"{section}.{key} ")
    assert line in reference_file(config, task, 100)


def test_the_file_is_an_arch_config_with_its_command(task: Task) -> None:
    config = experiment(model={"mixer": "mlp_t"}, train={"batch_size": 8})
    text = reference_file(config, task, 100, name="mine")
    assert yaml.safe_load(text) == arch_config(config)
    assert model_config(yaml.safe_load(text)).mixer == "mlp_t"
    comments = "".join(line for line in text.splitlines(True) if line.startswith("#"))
    assert "config/arch/mine.yaml" in comments
    assert "arch=mine" in comments
    for override in overrides(config, task, 100):
        assert override in comments
    assert "NOT expressible" not in text
