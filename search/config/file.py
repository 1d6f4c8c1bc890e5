"""A config file, or the preset of a name, as a tree with settings on top."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from copy import deepcopy
from importlib import resources
from pathlib import Path
from typing import Any

from curricula.component import nearest
from search.config.ablations import OLD_SECTION, SECTION
from search.config.sections import SweepSections
from search.space.foreign_words import SECTIONS as SECTIONS_OF_OTHERS
from trm.config import SECTIONS, absolute_files, keep_one_budget, set_value
from trm.errors import RenamedWarning, UserError
from trm.files.paths import checked_path
from trm.files.yaml12 import parse_value, read_yaml


def load_tree(source: str | Path, sets: Iterable[str] = ()) -> dict[str, Any]:
    """The tree of a YAML file, or of the preset of that name, with `key=value` settings on top.

    Raises:
        UserError: neither file nor preset, broken YAML, an unknown section or a malformed setting.
    """
    path, is_preset = preset_or_path(source)
    return prepared_tree(read_yaml(path), sets, None if is_preset else path.absolute().parent)


def prepared_tree(
    given: Mapping[str, Any], sets: Iterable[str] = (), beside: Path | None = None
) -> dict[str, Any]:
    """A tree with today's names and `key=value` settings on top, of known sections alone.

    A unit of `train.budget` that is set takes the place of the file's.

    Args:
        beside: the file's folder, where data is looked for that is not in the working directory.

    Raises:
        UserError: an unknown section or a malformed setting.
    """
    tree = _with_new_names(deepcopy(dict(given)))
    paths = []
    for setting in sets:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            raise UserError("--set", setting, "must be key=value, as in train.seed=3")
        path = _new_name(path)
        set_value(tree, path, parse_value(text, f"--set {path}"))
        paths.append(path)
    keep_one_budget(tree, paths)
    known = [*SECTIONS, *SweepSections.model_fields]
    for key in tree:
        if key not in known:
            theirs = SECTIONS_OF_OTHERS.get(str(key))
            remedy = nearest(str(key), known) if theirs is None else f"another tool's: {theirs}"
            raise UserError(f"{key}: unknown section: {remedy}")
    if "task" in tree:
        tree["task"] = absolute_files(tree["task"], beside)
    return tree


def _with_new_names(tree: dict[str, Any]) -> dict[str, Any]:
    """A file's tree, its sections under the names that they have today.

    Raises:
        UserError: a section is there under both names.
    """
    if OLD_SECTION in tree and SECTION in tree:
        raise UserError(
            f"{OLD_SECTION}: is the old name of the section {SECTION}, which the file has too: "
            "keep one of them"
        )
    # A key that is no text is refused below, as an unknown section.
    return {_new_name(k) if isinstance(k, str) else k: value for k, value in tree.items()}


def _new_name(path: str) -> str:
    """A key's path, below a section's new name."""
    if path.partition(".")[0] != OLD_SECTION:
        return path
    warnings.warn(f"the section {OLD_SECTION} is called {SECTION} now", RenamedWarning, 2)
    return SECTION + path.removeprefix(OLD_SECTION)


def presets() -> dict[str, Path]:
    """The YAML files that ship with the package, by name.

    >>> presets()["arrows4"].name
    'arrows4.yaml'
    """
    folder = Path(str(resources.files("search") / "presets"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def preset_or_path(source: str | Path) -> tuple[Path, bool]:
    """The path of a config, and whether it is a preset's.

    Raises:
        UserError: neither a file nor a preset.
    """
    known = presets()
    path = Path(source) if str(source) in known else checked_path(source)
    if path.suffix in {".yaml", ".yml"} or (path.exists() and not path.is_dir()):
        return path, False
    if str(source) in known:
        return known[str(source)], True
    hint = nearest(str(source), list(known))
    raise UserError(f"{str(source)[:200]}: neither a file nor a preset: {hint}")
