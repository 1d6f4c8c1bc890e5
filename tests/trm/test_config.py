from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curricula.component import foreign_names
from trm.config import Experiment, experiment_from, load_experiment, set_value, variant
from trm.errors import UserError
from trm.files.yaml12 import dump_yaml, read_yaml
from trm.tasks import TASKS

TinyTree = Callable[..., dict[str, Any]]


def refused(tree: dict[str, Any]) -> str:
    with pytest.raises(UserError) as error:
        load_experiment(tree)
    text = str(error.value)
    assert "\n" not in text
    return text


# --- defaults ----------------------------------------------------------------------------------


def test_every_default_is_the_references() -> None:
    tree = experiment_from({"task": "sudoku"}).tree()
    model, optimizer, loss, train = (tree[s] for s in ("model", "optimizer", "loss", "train"))
    assert model == {
        "hidden_size": 512,
        "num_heads": 8,
        "L_layers": 2,
        "H_cycles": 3,
        "L_cycles": 6,
        "expansion": 4.0,
        "swiglu_multiple": 256,
        "mixer": "attention",
        "mlp": "swiglu",
        "conv_kernel": 2,
        "pos_encodings": None,
        "norm": "post",
        "separate_networks": False,
        "state_transfer": {"name": "residual"},
        "initial_state": "fixed",
        "rope_theta": 10_000.0,
        "rms_norm_eps": 1e-5,
        "puzzle_emb_ndim": None,
        "puzzle_emb_len": 16,
        "halt_max_steps": 16,
        "halt_exploration_prob": 0.1,
        "no_ACT_continue": True,
        "carry_latent": True,
        "one_step_gradient": False,
        "gradient_cycles": 1,
    }
    assert experiment_from({"task": "sudoku"}).model.positions == "rope"
    assert (
        experiment_from({"task": "sudoku", "model": {"mixer": "mlp_t"}}).model.positions == "none"
    )
    assert optimizer == {
        "name": "adam_atan2",
        "lr": 1e-4,
        "lr_min_ratio": 1.0,
        "lr_warmup_steps": 2000,
        "beta1": 0.9,
        "beta2": 0.95,
        "weight_decay": 1.0,
        "puzzle_emb_lr": 1e-4,
        "puzzle_emb_weight_decay": 1.0,
        "grad_clip": None,
    }
    assert loss["loss_type"] == "stablemax_cross_entropy"
    assert (loss["halt_weight"], loss["continue_weight"]) == (0.5, 0.5)
    assert tree["halting"] == {"threshold": 0.5, "eval_threshold": None}
    curriculum = tree["curriculum"]
    parts = ("depth", "supervision", "supervision_weights", "difficulty", "sources")
    assert [curriculum.pop(part) for part in parts] == [{"name": "none"}] * len(parts)
    assert curriculum.pop("feedback_every") == 0.01
    assert curriculum.pop("name") == "custom"
    assert set(curriculum.values()) == {None, 0}
    assert (train["batch_size"], train["ema"], train["seed"]) == (768, 0.999, 0)


def test_the_tree_written_out_reads_back_as_the_same_config(tiny: TinyTree, tmp_path: Path) -> None:
    stages = [{"at": 0.0, "H_cycles": 1, "L_cycles": 1}, {"at": 0.25, "H_cycles": 2, "L_cycles": 2}]
    config = experiment_from(
        tiny({"curriculum.depth": {"name": "stages", "stages": stages}, "optimizer.lr": 1e-5})
    )
    (tmp_path / "a.yaml").write_text(dump_yaml(config.tree()))
    again = experiment_from(read_yaml(tmp_path / "a.yaml"))
    assert again == config
    assert again.tree() == config.tree()


def test_sections_of_a_sweep_are_left_alone(tiny: TinyTree) -> None:
    tree = {**tiny(), "search": {"trials": "whatever"}, "stability": 3, "cluster": None}
    assert experiment_from(tree) == experiment_from(tiny())


def test_a_promise_survives(tiny: TinyTree) -> None:
    promise = {"column": "exact_accuracy", "mean": 0.9, "low": 0.8, "high": 1.0, "confidence": 0.9}
    assert "promise" not in experiment_from(tiny()).tree()
    assert experiment_from({**tiny(), "promise": promise}).tree()["promise"] == promise


# --- bad values --------------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")
STAGE = {"at": 0.0, "H_cycles": 1, "L_cycles": 1}


def stages(*changes: dict[str, Any]) -> dict[str, Any]:
    return {"name": "stages", "stages": [{**STAGE, **change} for change in changes]}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("modle", {}, None),
        ("model.hidden_sizee", 3, "model.hidden_sizee: unknown key: did you mean hidden_size?"),
        ("train.budget.step", 3, "train.budget.step: unknown key: did you mean steps?"),
        ("optimizer.lrr", 3, "optimizer.lrr: unknown key: did you mean lr?"),
        ("task.sze", 3, "task.sze: unknown key: did you mean size, seed?"),
        (
            "curriculum.depth", stages({}, {"at": 0.5, "H_cycle": 1}),
            "curriculum.depth.stages[1].H_cycle: unknown key: did you mean H_cycles, L_cycles?",
        ),
        (
            "curriculum.depth", stages({}, {"at": 1.5}),
            "curriculum.depth.stages[1].at: 1.5 must be less than 1",
        ),
        (
            "curriculum.depth", stages({"at": 0.5}),
            "curriculum.depth.stages: the first stage must start at 0.0",
        ),
        (
            "curriculum.depth", stages({}, {"at": 0.5}, {"at": 0.5}),
            "curriculum.depth.stages: [0.0, 0.5, 0.5] must rise within [0, 1)",
        ),
        ("curriculum.depth", stages(), "curriculum.depth.stages: [] must have at least 1 item(s)"),
        (
            "curriculum.depth", "staged",
            "curriculum.depth: unknown name 'staged': did you mean stages?",
        ),
        (
            "task", None,
            f"task: null must be a section with a `name`; known: {', '.join(TASKS)}",
        ),
        ("task", {}, f"task: needs a `name`; known: {', '.join(TASKS)}"),
        ("task.name", "arows", "task.name: unknown name 'arows': did you mean arrows, arc?"),
        ("task.name", ["arrows"], "task.name: unknown name ['arrows']: did you mean arrows?"),
        (
            "optimizer.name", "adam",
            "optimizer.name: unknown name 'adam': did you mean adamw, adam_atan2?",
        ),
        ("optimizer.lr", "1e-4", "optimizer.lr: '1e-4' must be a number"),
        ("optimizer.lr", NAN, "optimizer.lr: nan must be a finite number"),
        ("optimizer.lr", INF, "optimizer.lr: inf must be a finite number"),
        ("optimizer.lr", 0, "optimizer.lr: 0 must be greater than 0"),
        ("optimizer.beta1", NAN, "optimizer.beta1: nan must be a finite number"),
        ("optimizer.grad_clip", 0, "optimizer.grad_clip: 0 must be greater than 0"),
        (
            "model", 3,
            "model: 3 must be a section, with keys such as hidden_size, num_heads, L_layers",
        ),
        ("model.H_cycles", 2.0, "model.H_cycles: 2.0 must be a whole number"),
        ("model.H_cycles", True, "model.H_cycles: true must be a whole number"),
        ("model.mixer", "mlp", "model.mixer: 'mlp' is unknown: did you mean mlp_t?"),
        ("model.no_ACT_continue", 1, "model.no_ACT_continue: 1 must be true or false"),
        ("model.expansion", INF, "model.expansion: inf must be a finite number"),
        (
            "model.halt_exploration_prob", NAN,
            "model.halt_exploration_prob: nan must be a finite number",
        ),
        ("model.halt_max_steps", 0, "model.halt_max_steps: 0 must be at least 1"),
        (
            "model", {"hidden_size": 30, "num_heads": 4},
            "model: num_heads 4 must divide hidden_size 30",
        ),
        (
            "model.pos_encodings", "rope",
            "model: pos_encodings 'rope' has no effect with mixer 'mlp_t': "
            "leave it out, or use none",
        ),
        ("loss.halt_weight", NAN, "loss.halt_weight: nan must be a finite number"),
        (
            "loss.loss_type", "softmax",
            "loss.loss_type: unknown loss 'softmax': did you mean softmax_cross_entropy?",
        ),
        ("halting.threshold", NAN, "halting.threshold: nan must be a finite number"),
        ("train.batch_size", 0, "train.batch_size: 0 must be at least 1"),
        ("train.ema", 1.0, "train.ema: 1.0 must be less than 1"),
        ("train.ema", "off", "train.ema: 'off' must be a number"),
        ("train.precision", "fp32", None),
        ("train.budget", {"steps": 0}, "train.budget.steps: 0 must be greater than 0"),
        ("train.budget", {"minutes": 0.0}, "train.budget.minutes: 0.0 must be greater than 0"),
        ("train.budget", {"flops": INF}, "train.budget.flops: inf must be a finite number"),
        (
            "train.budget.flops", 1e9,
            "train.budget: holds steps and flops: give one of steps, flops or minutes, "
            "the others null",
        ),
        (
            "train.budget", {},
            "train.budget: is empty: give one of steps, flops or minutes, the others null",
        ),
        (
            "train.budget", 100,
            "train.budget: 100 must be a section, with keys such as steps, flops, minutes",
        ),
        ("schema_version", 2, "schema_version: 2 must be 1"),
        ("name", "", "name: '' must not be empty"),
        ("plugins", "x", "plugins: 'x' must be a list of module names"),
        ("plugins", [3], "plugins: [3] must be a list of module names"),
    ],
)  # fmt: skip
def test_bad_values_are_refused_in_one_line(
    path: str, value: Any, message: str | None, tiny: TinyTree
) -> None:
    if path == "modle":
        with pytest.raises(ValueError, match="modle"):
            Experiment.model_validate(tiny({path: value}))
        return
    text = refused(tiny({path: value}))
    if message is None:
        assert text.startswith(f"{path}: {value!r} is unknown")
    else:
        assert text == message


def test_a_variants_line_is_the_whole_configs(tiny: TinyTree) -> None:
    # Sections are read apart, and yet an infeasible trial's reason counts the errors of them all.
    bad = tiny({"model.hidden_size": "wide", "train.seed": -1})
    lines = []
    for read in (experiment_from, lambda tree: variant(experiment_from(tiny()), tiny(), tree)):
        with pytest.raises(UserError) as error:
            read(bad)
        lines.append(str(error.value))
    assert lines[0] == lines[1]
    assert lines[0].endswith("(1 more)")


def test_a_missing_task_is_named() -> None:
    assert refused({}) == "task: is missing: give it a value"


@pytest.mark.parametrize("budget", [{"steps": 1, "flops": None}, {"minutes": 2}, {"flops": 10}])
def test_one_budget_is_enough(tiny: TinyTree, budget: dict[str, Any]) -> None:
    assert experiment_from(tiny({"train.budget": budget})).train.budget is not None


def test_set_value() -> None:
    tree: dict[str, Any] = {"a": {"b": 1}, "c": 3}
    set_value(tree, "a.b", 2)
    set_value(tree, "d.e.f", [1])
    assert tree == {"a": {"b": 2}, "c": 3, "d": {"e": {"f": [1]}}}
    for path, words in [
        ("c.x", "'c' holds a value, not a section"),
        ("a..b", "empty key"),
        ("", "empty key"),
    ]:
        with pytest.raises(UserError, match=words):
            set_value(tree, path, 1)


def test_what_a_plugin_brings_is_kept_as_it_stands_where_it_is_not_imported(tiny: TinyTree) -> None:
    changes: dict[str, Any] = {
        "task": {"name": "theirs", "colour": "blue"},
        "model.mixer": "theirs",
        "halting": {"name": "theirs", "least": 2},
        "optimizer": {"name": "theirs", "lr": 0.1},
        "curriculum": "theirs",
        "diagnostics": {"theirs": {"most": 3}, "stop_on": ["theirs"]},
    }
    given = tiny(changes)
    with foreign_names():
        tree = experiment_from(given).tree()
    # A default of the class that is not here is not made up: it would be exported, and trained.
    for section in ("task", "halting", "optimizer"):
        assert tree[section] == given[section]
    assert tree["curriculum"] == {"name": "theirs"}
    assert tree["model"]["mixer"] == "theirs"
    assert tree["diagnostics"]["theirs"] == {"most": 3}
    with pytest.raises(UserError, match="unknown name 'theirs'"):
        experiment_from(given)
