"""The reference's format: its arch YAML, the overrides and what it cannot express."""

from __future__ import annotations

import pytest

from search.config.file import load_tree, presets
from search.export.export import export
from search.space.space import Space
from tests.support.folders import RUNS_V1
from tests.support.planned import checked
from trm.config import experiment_from
from trm.files.yaml12 import parse_value, parse_yaml
from trm.reference.configs import (
    arch_config,
    inexpressible,
    model_config,
    overrides,
    reference_file,
)
from trm.tasks.arrows import ArrowsConfig


@pytest.mark.parametrize("name", sorted(presets()))
def test_every_preset_is_a_valid_space(name: str) -> None:
    tree = load_tree(name)
    assert tree["name"] == name
    checked(tree)


def test_the_papers_recipe_is_fully_expressible() -> None:
    config = experiment_from(Space.parse(load_tree("sudoku-extreme")).default()[1])
    # The reference's data are augmented beforehand, its loader draws among the copies.
    (data,) = inexpressible(config, "bfloat16")
    assert data.startswith("task.augment true")
    arch = arch_config(config)
    # config/arch/trm.yaml of the reference repository, with its README's settings for Sudoku.
    recipe = {
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
        "expansion": 4.0,
        "puzzle_emb_ndim": 512,
        "pos_encodings": "none",
        "forward_dtype": "bfloat16",
        "mlp_t": True,
        "puzzle_emb_len": 16,
        "no_ACT_continue": True,
    }
    assert {key: arch[key] for key in recipe} == recipe
    assert model_config(arch) == config.model.model_copy(
        update={"pos_encodings": "none", "puzzle_emb_ndim": 512}
    )


def test_overrides_train_as_many_steps() -> None:
    config = experiment_from(Space.parse(load_tree("sudoku-extreme")).default()[1])
    task = ArrowsConfig(train_examples=1000, valid_examples=7, test_examples=7).build()
    values = dict(override.split("=") for override in overrides(config, task, 65_104))
    assert int(values["epochs"]) % int(values["eval_interval"]) == 0
    steps = int(values["epochs"]) * 1000 / int(values["global_batch_size"])
    assert steps == pytest.approx(65_104, rel=0.01)
    assert values["weight_decay"] == "1.0"
    assert values["ema"] == "True"


def test_what_the_reference_cannot_say_is_said_in_the_file() -> None:
    config = experiment_from(Space.parse(load_tree("arrows4")).default()[1])
    task = ArrowsConfig(train_examples=1000, valid_examples=7, test_examples=7).build()
    text = reference_file(config, task, 900)
    assert "optimizer.name adamw" in text
    assert "swiglu_multiple 32" in text
    assert parse_value(text)["mlp_t"] is True


def test_another_trial_does_not_train_into_the_winners_folder() -> None:
    folder = RUNS_V1 / "finished"
    winner, other = export(folder, "trm"), export(folder, "trm", 0)
    assert "# trial 3 of sweep" in winner
    assert "\nname: v1-best\n" in winner
    assert "# trial 0 of sweep" in other
    assert "\nname: v1-trial-0\n" in other


def test_a_card_has_what_the_hub_and_a_reader_ask_for() -> None:
    text = export(RUNS_V1 / "finished", "card")
    head, _, body = text.removeprefix("---\n").partition("---\n")
    data = parse_yaml(head, "head")
    assert data["license"] == "unknown"
    (model,) = data["model-index"]
    splits = {one["dataset"]["split"]: one["metrics"][0] for one in model["results"]}
    assert splits["validation"]["type"] == "cell_accuracy"
    assert splits["test"]["type"] == "exact_accuracy"
    wanted = (
        "Intended use", "Task and data", "Parameters", "Depth", "Halting", "Limitations",
        "Cost of one training", "Licence", "How good", "Against your defaults",
    )  # fmt: skip
    assert all(f"\n## {title}\n" in body for title in wanted)
    assert body.lstrip().partition("\n\n")[2].startswith("> **Use it with care: trial 3**")


def test_the_hub_reads_the_card() -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(export(RUNS_V1 / "finished", "card"))
    assert [one.metric_type for one in card.data.eval_results] == [
        "cell_accuracy",
        "exact_accuracy",
    ]
    assert card.data.library_name == "trm-search"
