"""Importing plug-ins: modules that add their components to our registries as they are imported."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from trm.errors import UserError
from trm.files.paths import working_folders
from trm.files.run_folder import run_folder_of

GROUP = "trm.plugins"
"""The group of entry points by which an installed package names its plug-in modules."""

_DIGITS = 16
"""Of a hash: enough that no two codes share one, and short enough to be read."""
_HASHES: WeakKeyDictionary[ModuleType, str] = WeakKeyDictionary()
"""The hash of each plug-in's code as it was when it was imported: files change under a process."""
_ADDED: set[str] = set()
"""Folders that are on the path for the sake of plug-ins."""


def import_plugins(names: Sequence[str], folders: Sequence[Path] = ()) -> None:
    """Import the modules of these names, after those that installed packages name as plug-ins.

    Modules are looked for among installed packages, then in the working directory, then in
    `folders`: these come last on the path, so that nothing in them can shadow a package. Each
    module is imported once per process.

    Args:
        names: modules, as in the section `plugins`.
        folders: further folders that may hold them. No run folder is looked into, be it one of
            these or the working directory.

    Raises:
        UserError: a module cannot be imported; one line naming it, or the entry point and the
            package that it came with.
    """
    for point in _entry_points():
        _import_entry_point(point)
    places = [*working_folders(), *folders]
    if names:
        look_in(places)
    for name in names:
        try:
            _refuse_run_folder(name)
            _refuse_namesake(name, places)
            _import(name)
        except UserError:
            raise
        except Exception as error:  # whatever a user's module does while it is imported
            reason = _reason(error)
            if skipped := [str(place) for place in places if run_folder_of(place)]:
                reason += f" ({', '.join(skipped)}: no plug-in is looked for in a run folder)"
            raise UserError("plugins", name, f"cannot be imported: {reason}") from error


def looked_in() -> list[str]:
    """The folders in which this process looks for plug-ins, after all other places."""
    return [place for place in sys.path if place in _ADDED]


def look_in(folders: Iterable[Path]) -> None:
    """Let modules be found in these folders too, after all others; run folders are left out.

    A run folder may be a stranger's, and what a stranger wrote is not run.
    """
    places = [str(folder) for folder in folders if run_folder_of(folder) is None]
    mine = [*dict.fromkeys(p for p in places if p in _ADDED or p not in sys.path)]
    _ADDED.update(mine)
    # Another config's folders stay, as its plug-ins may import more of them, but behind these.
    others = [place for place in sys.path if place in _ADDED and place not in mine]
    sys.path[:] = [*(place for place in sys.path if place not in _ADDED), *mine, *others]


def plugin_names(tree: Mapping[str, Any]) -> list[str]:
    """The modules that a config's section `plugins` names, and that of its task's verifier.

    >>> plugin_names({"plugins": ["my_tasks"]})
    ['my_tasks']
    >>> plugin_names({"task": {"name": "data", "file": "a.csv", "verifier": "rules:right"}})
    ['rules']

    Raises:
        UserError: the section is no list of names.
    """
    names = tree.get("plugins") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError("plugins", names, "must be a list of module names")
    return [*dict.fromkeys([*names, *_verifiers(tree.get("task"))])]


def _verifiers(node: Any) -> Iterator[str]:
    """The modules of `verifier: module:function`, in a task's section and those within it."""
    if isinstance(node, Mapping):
        named = node.get("verifier")
        if isinstance(named, str) and ":" in named:
            yield named.partition(":")[0]
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        yield from _verifiers(child)


def code_hashes(names: Sequence[str]) -> dict[str, str]:
    """The hash of each imported plug-in's code, by module; those of entry points too.

    A module counts with every Python file of the package at its root, as these import each other;
    a module in no package counts alone. The code is that which this process runs, whatever has
    happened to the files since.
    """
    points = [point.module for point in _entry_points()]
    modules = {name: sys.modules.get(name) for name in sorted({*points, *names})}
    return {
        name: _HASHES[module]
        for name, module in modules.items()
        if module is not None and module in _HASHES
    }


@cache
def _entry_points() -> tuple[EntryPoint, ...]:
    # Reading every installed package's metadata takes a while, so it is done once.
    found = {(point.name, point.value): point for point in entry_points(group=GROUP)}
    return tuple(found[key] for key in sorted(found))


def _import_entry_point(point: EntryPoint) -> None:
    try:
        _import(point.module)
        point.load()
    except Exception as error:
        package = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
        raise UserError(
            f"entry point {point.name!r} (group {GROUP}) of the package {package}: {point.value} "
            f"cannot be imported: {_reason(error)}: mend or uninstall the package"
        ) from error


def _import(name: str) -> None:
    module = sys.modules.get(name) or _first_import(name)
    if module not in _HASHES:
        _HASHES[module] = _hash(module)


def _first_import(name: str) -> ModuleType:
    from curricula.component import names_kept  # loads pydantic, which `--help` can do without

    before = set(sys.modules)
    try:
        with names_kept():
            return importlib.import_module(name)
    except ValueError:
        # Or the next attempt would find it imported, and all well.
        root = name.partition(".")[0]
        for module in {*sys.modules} - before:
            if module == root or module.startswith(f"{root}."):
                del sys.modules[module]
        raise


def _refuse_run_folder(name: str) -> None:
    """
    Raises:
        UserError: the module, or a package on the way to it, lies in a run folder.
    """
    parts = name.split(".")
    # Finding a module imports the packages around it, so these are looked at first.
    for count in range(1, len(parts) + 1):
        spec = find_spec(".".join(parts[:count]))
        places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
        for place in places:
            folder = run_folder_of(Path(place).absolute()) if place else None
            if folder is not None:
                raise UserError(
                    "plugins", name, f"lies in the run folder {folder}, which may be a stranger's: "
                    "run the command from another folder, which holds the plug-in, or install it",
                )  # fmt: skip


def _refuse_namesake(name: str, places: Sequence[Path]) -> None:
    """
    Raises:
        UserError: another config has brought a module of this name, and `places` hold their own.
    """
    root = name.partition(".")[0]
    file = getattr(sys.modules.get(root), "__file__", None)
    if file is None:
        return
    home = Path(file).parent
    home = home.parent if hasattr(sys.modules[root], "__path__") else home
    if str(home) not in _ADDED or home in places:
        return
    spec = PathFinder.find_spec(root, [str(p) for p in places if run_folder_of(p) is None])
    if spec is not None and spec.origin is not None:
        raise UserError(
            "plugins", name, f"is {spec.origin} here, but this process has imported {file} under "
            "that name: rename one of them, or use another process",
        )  # fmt: skip


def _hash(module: ModuleType) -> str:
    digest = hashlib.sha256()
    for name, content in _sources(module):
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:_DIGITS]


def _sources(module: ModuleType) -> Iterator[tuple[str, bytes]]:
    """Name and content of the Python files that count as a module's code, in a stable order."""
    root = sys.modules.get(module.__name__.partition(".")[0], module)
    # A namespace package has no file: what else lies in its folders is not the plug-in's.
    home = root if getattr(root, "__file__", None) else module
    path = Path(getattr(home, "__file__", None) or "")
    if not path.is_file():
        return
    if not hasattr(home, "__path__"):
        yield path.name, path.read_bytes()
        return
    for file in sorted(path.parent.rglob("*.py")):
        yield file.relative_to(path.parent).as_posix(), file.read_bytes()


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
