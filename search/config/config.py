"""One reading of a config file: its plug-ins first, then its sections, space and experiment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search.config.file import prepared_tree, preset_or_path
from search.config.sections import MOST_TRIALS, SweepSections, sweep_sections
from search.space.foreign_words import explained
from search.space.space import Space, Tree
from trm.config import Experiment, experiment_from, variant
from trm.errors import UserError
from trm.files.paths import working_folders
from trm.files.yaml12 import read_yaml
from trm.plugins import import_plugins, plugin_names


@dataclass(frozen=True)
class Config:
    """A config as every command takes it. Nothing in it is ever changed or read a second time.

    >>> config = read_config("arrows4", ["train.seed=7"])
    >>> config.default.train.seed, config.sections.search.scheduler.name
    (7, 'asha')
    >>> config.space.parameters["optimizer.lr"].text()
    'loguniform [0.005, 0.02]'

    Attributes:
        tree: the file with distributions, and the settings on top of it.
        space: its space.
        sections: how to search, confirm and place trials.
        default: the experiment at the default of every parameter: the reference recipe.
        default_tree: the same as a tree.
        folders: where its plug-ins may lie, besides installed packages: the working directory's
            and the file's own folder.
    """

    tree: Tree
    space: Space
    sections: SweepSections
    default: Experiment
    default_tree: Tree
    folders: tuple[Path, ...] = ()

    def experiment(self, tree: Mapping[str, Any]) -> Experiment:
        """The experiment of a tree of this space; only what differs from the default is read.

        Raises:
            UserError: one line naming key, value and remedy.
        """
        with _in_our_words(tree):
            return variant(self.default, self.default_tree, tree)

    def with_search(self, **values: Any) -> Config:
        """The same with values of the `search` section replaced by ones of the right type."""
        search = self.sections.search.model_copy(update=values)
        tree = {**self.tree, "search": {**self.tree.get("search", {}), **values}}
        return replace(
            self, tree=tree, sections=self.sections.model_copy(update={"search": search})
        )

    def with_trials(self, trials: int) -> Config:
        """The same with another number of trials.

        Raises:
            UserError: its scheduler breeds and so has none, or they are too many.
        """
        if self.sections.search.breeds:
            raise UserError(
                "--trials", trials, "does not count with pbt: set search.scheduler.members"
            )
        if trials > MOST_TRIALS:
            raise UserError("--trials", trials, f"must be at most {MOST_TRIALS:,}")
        return self.with_search(trials=trials)

    def with_warm_start(self, folders: Iterable[Path | str]) -> Config:
        """The same with more run folders to start from."""
        more = [*map(str, folders)]
        if not more:
            return self
        return self.with_search(warm_start=[*self.sections.search.warm_start, *more])


def read_config(
    source: str | Path | Mapping[str, Any] | Config, sets: Iterable[str] = ()
) -> Config:
    """Read a YAML file, the preset of a name or a tree, with `key=value` settings on top.

    Plug-ins come first, as sections may name what they bring. They are looked for among installed
    packages, in the working directory and beside the file.

    >>> read_config({"task": "arrows", "model": {"H_cycles": {"int": [1, 3]}}}).space.size_text
    '1 parameter, 3 configs'

    Raises:
        UserError: neither file nor preset, broken YAML, an unknown section, a malformed setting, a
            plug-in that cannot be imported, a distribution that makes no sense, or a section or
            experiment that breaks the schema; one line naming key, value and remedy.
    """
    raw: Mapping[str, Any]
    beside: tuple[Path, ...] = ()
    if isinstance(source, Config):
        if not (sets := [*sets]):
            return source
        raw, folders = source.tree, source.folders
    elif isinstance(source, Mapping):
        raw, folders = source, (*working_folders(),)
    elif not isinstance(source, str | Path):
        raise UserError(
            f"config: a {type(source).__name__} is no path, preset's name, tree or config: of an "
            "experiment pass its `tree()`, with ranges set in it"
        )
    else:
        path, is_preset = preset_or_path(source)
        raw = read_yaml(path)
        beside = () if is_preset else (path.absolute().parent,)
        folders = (*working_folders(), *beside)
    tree = prepared_tree(raw, sets, *beside)
    import_plugins(plugin_names(tree), folders)
    return config_from(tree, tuple(dict.fromkeys(folders)))


def config_from(tree: Tree, folders: tuple[Path, ...] = ()) -> Config:
    """Read a tree whose plug-ins are imported.

    Raises:
        UserError: as `read_config`.
    """
    space = Space.parse(tree)
    default_tree = space.default()[1]
    with _in_our_words(default_tree):
        default = experiment_from(default_tree)
    return Config(tree, space, sweep_sections(tree), default, default_tree, folders)


@contextmanager
def _in_our_words(tree: Mapping[str, Any]) -> Iterator[None]:
    """Within it the complaint about another tool's range says what to write instead."""
    try:
        yield
    except UserError as error:
        line = explained(tree, str(error))
        if line is None:
            raise
        raise UserError(line) from error
