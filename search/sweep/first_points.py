"""Known good points, which a sweep tries before it draws any."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curricula.component import nearest
from search.config.config import Config
from search.config.file import load_tree
from search.config.projection import project, reference
from search.explore.warm_start import distinct
from search.ledger.files import SWEEP_FILE
from search.ledger.reader import read_trials
from search.ledger.storage import Place, place
from search.space.distributions import Choice, Distribution, option_name
from search.space.space import Params, Space
from search.stability.result import read_result
from trm.errors import UserError
from trm.files.paths import home_path

KEY = "search.first"


def resolve_first(config: Config) -> list[Params]:
    """What `search.first` stands for, each point once; the default always comes first.

    An entry is one of:

    - `default`: the file's default values;
    - `reference`: the reference code's, where they lie in the space;
    - a mapping from parameters to values, the others at their default;
    - a run folder: its winner's config;
    - a YAML file, such as an exported one.

    Raises:
        UserError: an entry that is none of these, or whose config the space does not hold or no
            model can be built from; names it.
    """
    space = config.space
    found = [space.default()[0]]
    for index, entry in enumerate(config.sections.search.first):
        try:
            params = _point(entry, config)
            config.experiment(space.apply(params))
        except UserError as error:
            raise UserError(f"{KEY}[{index}]: {error}") from error
        found.append(params)
    return distinct(found)


def _point(entry: str | Mapping[str, Any], config: Config) -> Params:
    if isinstance(entry, Mapping):
        return _given(entry, config.space)
    if entry == "default":
        return config.space.default()[0]
    if entry == "reference":
        return reference(config)
    path = place(entry)
    if isinstance(path, Path):
        path = home_path(path)
    if (path / SWEEP_FILE).is_file():
        return project(config, winner_config(path))
    if isinstance(path, Path) and path.is_file():
        return project(config, Space.parse(load_tree(path)).default()[1])
    words = ["default", "reference"]
    remedy = f"is no run folder and no file: name one, or {', '.join(words)}, or give a mapping"
    guess = nearest(entry, words)
    raise UserError(entry, remedy=f"{remedy} ({guess})" if guess.startswith("did") else remedy)


def winner_config(folder: Place) -> dict[str, Any]:
    """The config of a run's winner.

    Raises:
        UserError: the run has none yet.
    """
    result = read_result(folder)
    if result is None:
        raise UserError(str(folder), remedy="has no winner yet: finish it with --resume")
    return read_trials(folder)[result.winner].config


def _given(values: Mapping[str, Any], space: Space) -> Params:
    """The default with some parameters set."""
    for name in values:
        if name not in space.parameters:
            raise UserError(f"{name}: is no parameter: {nearest(name, [*space.parameters])}")

    def value(name: str, distribution: Distribution) -> Any:
        if name not in values:
            return distribution.first()
        given = values[name]
        if isinstance(distribution, Choice):
            given = option_name(name, given)
        if not distribution.contains(given):
            raise UserError(name, values[name], f"is outside {distribution.text()}")
        return given

    params, _ = space.draw(value)
    for name in values:
        if name not in params:
            needed = " and ".join(f"{c}: {o}" for c, o in space.parameters[name].condition)
            raise UserError(f"{name}: does not exist here: it needs {needed}")
    return params
