"""Arch configs and overrides of the reference repository."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import yaml

from tests.support.reference_experiments import SMALL
from trm.config import Experiment, experiment_from
from trm.errors import UserError
from trm.network.model import ModelConfig
from trm.reference.configs import (
    arch_config,
    epochs_of,
    forward_dtype,
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


TASK = {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 40}


def experiment(**sections: Any) -> Experiment:
    return experiment_from({"task": TASK, **sections})


@pytest.fixture(scope="module")
def task() -> Task:
    return experiment().task.build()


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


def loops_of(epochs: int, interval: int, puzzles: int, batch: int) -> int:
    """Steps that the reference's loops take, counted batch by batch."""
    total, taken = int(epochs * puzzles * 1.0 / batch), 0
    for _ in range(epochs // interval):
        left = interval * puzzles
        while left >= batch:
            left -= batch
            taken += taken < total
    return taken


def test_the_steps_are_those_of_the_references_loops() -> None:
    rng = np.random.default_rng(0)
    off = []
    for _ in range(300):
        puzzles, batch = int(rng.integers(1, 400)), int(rng.integers(1, 200))
        steps, reports = int(rng.integers(1, 500)), int(rng.integers(1, 12))
        config = experiment(train={"batch_size": batch, "reports": reports})
        found = epochs_of(config, puzzles, steps)
        assert found.epochs % found.interval == 0
        assert found.epochs // found.interval <= reports
        assert found.steps == loops_of(found.epochs, found.interval, puzzles, batch) >= 1
        # One more or one less whole epoch without an evaluation between would be no nearer.
        for epochs in (round(steps * batch / puzzles) + d for d in (-1, 0, 1)):
            if epochs * puzzles >= batch:
                alone = loops_of(epochs, epochs, puzzles, batch)
                assert abs(found.steps - steps) <= abs(alone - steps)
        off.append(abs(found.steps - steps) <= max(1, puzzles / batch / 2 + 1))
    assert np.mean(off) > 0.95


@pytest.mark.parametrize(("steps", "puzzles", "batch"), [(40, 1000, 16), (225, 15_346, 64)])
def test_another_length_is_said(steps: int, puzzles: int, batch: int) -> None:
    config = experiment(train={"batch_size": batch, "reports": 4})
    task = config.task.build()
    found = epochs_of(config, puzzles, steps)
    assert found.steps != steps
    sized = task.split("train")
    many = type("Sized", (), {"__len__": lambda self: puzzles})()
    task.split = lambda name: many if name == "train" else sized  # type: ignore[method-assign]
    text = reference_file(config, task, steps)
    assert f"train.budget {steps} steps: the reference trains {found.steps}, " in text
    assert "train.budget" not in reference_file(config, task, found.steps)


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
        ("model", "norm", {"norm": "pre"}),
        ("model", "separate_networks", {"separate_networks": True}),
        ("model", "state_transfer", {"state_transfer": "gated"}),
        ("model", "initial_state", {"initial_state": "random"}),
        ("model", "gradient_cycles", {"gradient_cycles": 2}),
        ("halting", "eval_threshold", {"eval_threshold": 0.5}),
        ("task", "augment", {**TASK, "augment": True}),
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
    assert inexpressible(experiment(), "float32") == []
    config = experiment_from({"task": TASK, section: values})
    (line,) = inexpressible(config, "float32")
    assert line.startswith(f"{section}.{key} ")
    assert line in reference_file(config, task, 100, precision="float32")


def test_the_file_is_an_arch_config_with_its_command(task: Task) -> None:
    config = experiment(model={"mixer": "mlp_t"}, train={"batch_size": 8})
    text = reference_file(config, task, 100, name="mine", precision="bfloat16")
    assert yaml.safe_load(text) == arch_config(config)
    assert model_config(yaml.safe_load(text)).mixer == "mlp_t"
    comments = "".join(line for line in text.splitlines(True) if line.startswith("#"))
    assert "config/arch/mine.yaml" in comments
    assert "arch=mine" in comments
    for override in overrides(config, task, 100):
        assert override in comments
    assert "NOT expressible" not in text


@pytest.mark.parametrize(
    ("given", "decided", "written", "said"),
    [
        ("auto", None, "bfloat16", True),
        ("auto", "float32", "float32", False),
        ("auto", "bfloat16", "bfloat16", False),
        ("float32", "bfloat16", "float32", False),
        ("bfloat16", None, "bfloat16", False),
    ],
)
def test_the_forward_dtype_is_what_was_trained_with(
    given: str, decided: str | None, written: str, said: bool
) -> None:
    config = experiment(train={"precision": given})
    assert forward_dtype(config, decided) == written
    assert arch_config(config, decided)["forward_dtype"] == written
    assert (
        any(line.startswith("train.precision") for line in inexpressible(config, decided)) == said
    )


@pytest.mark.parametrize("written", ["${.hidden_size}", "${hidden_size}", "${arch.hidden_size}"])
def test_an_interpolation_of_the_same_file_is_resolved(written: str) -> None:
    text = yaml.safe_dump({**ARCH, "puzzle_emb_ndim": written})
    assert model_config(yaml.safe_load(text)) == model_config(ARCH)
    chained = {**ARCH, "H_cycles": "${.L_cycles}", "L_cycles": "${.L_layers}"}
    assert (model_config(chained).H_cycles, model_config(chained).L_cycles) == (2, 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"puzzle_emb_ndim": "${.width}"}, "arch.puzzle_emb_ndim: '${.width}' refers to nothing"),
        ({"puzzle_emb_ndim": "${.puzzle_emb_ndim}"}, "refers to nothing that this file holds"),
        ({"puzzle_emb_ndim": "${oc.env:HOME}"}, "refers to nothing that this file holds"),
        ({"hidden_size": "${.num_heads}", "num_heads": "${.hidden_size}"}, "refers to nothing"),
        ({"hidden_size": "wide"}, "arch.hidden_size: 'wide' must be a whole number"),
        ({"expansion": "four"}, "arch.expansion: 'four' must be a number"),
        ({"num_heads": 7}, "arch"),
        ({"pos_encodings": "sinusoidal"}, "arch"),
        ({"H_cycles": 0}, "arch.H_cycles"),
    ],
)
def test_an_arch_that_is_none_is_refused_in_a_line(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        model_config({**ARCH, **changes})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


WITHOUT_EFFECT = (
    "schema_version", "name", "plugins", "task.", "diagnostics.", "thought.", "train.device",
    "train.threads", "train.compile", "train.kernel", "train.cuda_graphs", "train.valid_examples",
    "train.eval_batch_size", "train.eval_share", "train.early_examples",
    "train.budget.minutes", "train.budget.flops", "train.budget.steps", "train.reports",
    "model.conv_kernel", "curriculum.name", "curriculum.feedback_every", "train.freeze.parts",
    "loss.corrupt_with", "train.draft.corruption", "train.draft.corrupt_with",
)  # fmt: skip
"""Keys that change nothing of a training, its data aside, or that `steps` stands for."""


OTHERS = {
    "model.mixer": "mlp_t", "model.pos_encodings": "learned", "model.num_heads": 4,
    "model.puzzle_emb_ndim": 20, "model.carry_latent": False, "model.one_step_gradient": True,
    "model.norm": "pre", "model.mlp": "conv_swiglu", "model.separate_networks": True,
    "model.state_transfer.name": "gated", "model.initial_state": "random",
    "train.ema_half_life": 0.1, "loss.halt_loss": "brier", "loss.label_smoothing": 0.1,
    "model.no_ACT_continue": False, "loss.loss_type": "softmax_cross_entropy",
    "optimizer.name": "adamw", "optimizer.grad_clip": 1.0, "train.ema": None,
    "train.precision": "float32", "halting.eval_threshold": 0.4,
}  # fmt: skip


def test_no_key_of_a_training_is_lost_without_a_word(task: Task) -> None:
    """Another value of any of them changes the arch config, an override, or is said."""
    base = experiment().tree()

    def seen(config: Experiment) -> tuple[object, ...]:
        return (
            arch_config(config, "bfloat16"),
            overrides(config, task, 50),
            inexpressible(config, "bfloat16"),
        )

    tried = 0
    for path, value in _leaves(base):
        if path.startswith(WITHOUT_EFFECT) or path.startswith("curriculum."):
            continue
        other = OTHERS.get(path)
        if path not in OTHERS:
            assert isinstance(value, (int, float)), path
            other = 2 * value if value else 1
            other = value / 2 if isinstance(value, float) and value else other
        changed = deepcopy(base)
        *sections, key = path.split(".")
        node = changed
        for section in sections:
            node = node[section]
        node[key] = other
        if path == "loss.continue_weight":
            # It has a meaning only with the loss that the reference's code fails with.
            changed["model"]["no_ACT_continue"] = False
        assert seen(experiment_from(changed)) != seen(experiment()), path
        tried += 1
    assert tried > 30


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
