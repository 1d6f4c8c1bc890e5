"""Weights of the reference repository as a checkpoint, with the task that they were trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from search.config.config import read_config
from search.config.file import prepared_tree
from trm.config import load_experiment
from trm.errors import UserError
from trm.files.run_folder import cache_folder
from trm.files.yaml12 import read_yaml
from trm.network.model_config import ModelConfig
from trm.reference.checkpoints import (
    FoundWeights,
    Recipe,
    found_weights,
    read_recipe,
    trained_steps,
    write_imported,
)
from trm.reference.configs import inexpressible
from trm.reference.weights import positions_of
from trm.tasks.base import Progress
from trm.tasks.data.reference_folder import is_reference_folder

_BY_VOCABULARY: Mapping[int, tuple[str, dict[str, Any], int]] = {
    11: ("sudoku", {"name": "sudoku", "box": [3, 3]}, 81),
    6: ("maze", {"name": "maze", "size": 30}, 900),
}
"""Tasks of the reference with one puzzle identifier and their cells, by their tokens."""


def import_reference(
    source: Path,
    config: Path,
    out: Path,
    *,
    task: str | None = None,
    sets: Iterable[str] = (),
    progress: Progress | None = None,
) -> list[str]:
    """Make a checkpoint of a file of weights.

    Args:
        source: the file.
        config: the reference's arch config, or its `all_config.yaml`.
        out: the folder to be made.
        task: a preset, a YAML file or a data folder of the reference; None finds one.
        sets: `key=value` settings on top.

    Returns:
        What was made of it, and what was not taken as it stands, a line each.

    Raises:
        UserError: one line naming file or key, value and remedy.
    """
    if out.exists():
        raise UserError("--out", str(out), "is there already: name a new folder")
    found = found_weights(source)
    recipe = read_recipe(read_yaml(config), config, found.initial)
    section, plugins, told = _task(task, recipe, found)
    tree = {
        "name": out.name or "imported", "task": section, "plugins": plugins, **recipe.tree
    }  # fmt: skip
    experiment = load_experiment(prepared_tree(tree, sets))
    built = experiment.task.build(cache_folder(), progress)
    lines = [*recipe.lines, *([told] if told else [])]
    steps = trained_steps(recipe, experiment, built)
    if steps is not None and not any(text.startswith("train.budget") for text in sets):
        tree["train"] = {**tree["train"], "budget": {"steps": steps[0]}}
        experiment = load_experiment(prepared_tree(tree, sets))
        lines.append(steps[1])
    count, mixer = write_imported(out, source, found, experiment, built)
    model = experiment.model
    head = (
        f"{source.name}: {count:,} parameters, {model.L_layers} layers of {mixer}, hidden "
        f"{model.hidden_size}, {experiment.train.precision}; {built.name}: {built.seq_len} cells "
        f"of {built.vocab_size} tokens, {built.num_puzzle_identifiers:,} puzzle identifiers; "
        f"in {out}"
    )
    own = inexpressible(experiment, experiment.train.precision)
    return [head, *(f"  {line}" for line in [*lines, *own])]


def _task(
    named: str | None, recipe: Recipe, found: FoundWeights
) -> tuple[dict[str, Any], list[str], str]:
    """The task's section, the plug-ins that it needs, and a line where nobody named it."""
    if named is not None and is_reference_folder(Path(named)):
        return {"name": "data", "file": str(Path(named).absolute())}, [], ""
    if named is not None:
        chosen = read_config(named).default
        return chosen.tree()["task"], chosen.plugins, ""
    for folder in recipe.data:
        if is_reference_folder(Path(folder)):
            section = {"name": "data", "file": str(Path(folder).absolute())}
            return section, [], f"task: the data folder {folder}, as the config says"
    tokens, rows = len(found.weights["embed_tokens"]), len(found.weights.get("puzzle_emb", [0]))
    name, section, cells = _BY_VOCABULARY.get(tokens, ("", {}, 0))
    positions = positions_of(found.weights)
    prefix = ModelConfig.model_validate(recipe.tree["model"]).prefix
    if name and rows == 1 and positions in (None, cells + prefix):
        side = "9x9" if name == "sudoku" else "30x30"
        return section, [], (
            f"task: {name} {side}, generated, for {tokens} tokens and one puzzle identifier: "
            "--task names another"
        )  # fmt: skip
    raise UserError(
        f"--task: is missing: weights of {tokens} tokens and {rows:,} puzzle identifiers"
        + ("" if positions is None else f" for {positions:,} positions")
        + " do not say what they were trained on: name a preset, a YAML file with a task, or its "
        "data folder"
    )
