"""What another config stands for in a space: the values of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from curricula.component import shown
from search.space.distributions import Distribution, Range
from search.space.nodes import FIXED_SECTIONS, Branch
from search.space.space import Params, Space, Tree
from trm.errors import UserError

if TYPE_CHECKING:
    from trm.config import Experiment

Missing = Callable[[Distribution, Any], Any]
"""Gives the value of a parameter for which the config holds none that it could have."""


class Known(Protocol):
    """A config or a plan: a space, and a way to read its trees."""

    @property
    def space(self) -> Space: ...

    @property
    def default_tree(self) -> Tree: ...

    def experiment(self, tree: Mapping[str, Any]) -> Experiment: ...


def project(known: Known, tree: Mapping[str, Any]) -> Params:
    """The parameters of a space with which it comes nearest to a config.

    Each is read where it stands in the config, with the schema's default where the config has no
    such key. Of a choice's options, it is the one whose content is the config's; else the one
    with the config's name there. Values that the space does not search are not compared.

    Raises:
        UserError: the config is not valid, or has a value that the space does not hold.
    """

    def missing(distribution: Distribution, value: Any) -> Any:
        raise UserError(f"{distribution.name}: {shown(value)} is outside {distribution.text()}")

    return dict(_read(known.space.root, known.experiment(tree).tree(), missing))


def reference(known: Known) -> Params:
    """Every parameter at the schema's default, which is the reference code's recipe.

    Where that lies outside the distribution, or the schema has none, it is the file's default.
    """
    tree, root = known.default_tree, known.space.root
    for key, node in root.items():
        if key not in FIXED_SECTIONS:
            tree = _without_searched(known, tree, key, node)
    full = known.experiment(tree).tree()
    return dict(_read(root, full, lambda distribution, _: distribution.first()))


def _without_searched(known: Known, tree: Tree, key: str, node: Any) -> Tree:
    """The tree with a section's searched values left out, if the schema can do without them."""
    kept = _plain(node)
    changed = {k: v for k, v in tree.items() if k != key}
    if kept is not _SEARCHED:
        changed[key] = kept
    try:
        known.experiment(changed)
    except UserError:
        return tree
    return changed


_SEARCHED = object()


def _plain(node: Any) -> Any:
    """A node without what is searched below it; a list that holds any such is left out whole."""
    if isinstance(node, (Range, Branch)):
        return _SEARCHED
    if isinstance(node, Mapping):
        plain = {key: _plain(child) for key, child in node.items()}
        return {key: child for key, child in plain.items() if child is not _SEARCHED}
    if isinstance(node, list):
        return _SEARCHED if _searches(node) else node
    return node


def _searches(node: Any) -> bool:
    if isinstance(node, Mapping):
        return any(map(_searches, node.values()))
    return (
        any(map(_searches, node)) if isinstance(node, list) else isinstance(node, (Range, Branch))
    )


def _read(node: Any, value: Any, missing: Missing) -> Iterator[tuple[str, Any]]:
    """The parameters below a node, read from the value that stands there."""
    if isinstance(node, Range):
        found = node.cast(value) if node.contains(value) else missing(node, value)
        yield node.name, found
    elif isinstance(node, Branch):
        option = _option(node, value)
        if option is None:
            option, value = missing(node.choice, value), None
        yield node.choice.name, option
        yield from _read(node.nodes[option], value, missing)
    elif isinstance(node, Mapping):
        section = value if isinstance(value, Mapping) else {"name": value}
        for key, child in node.items():
            yield from _read(child, section.get(key), missing)
    elif isinstance(node, list):
        items = value if isinstance(value, list) and len(value) == len(node) else [None] * len(node)
        for child, item in zip(node, items, strict=True):
            yield from _read(child, item, missing)


def _option(branch: Branch, value: Any) -> str | None:
    """The option that a value stands for: the one of equal content that says most, else by name."""
    equal = [name for name, child in branch.nodes.items() if _equal(child, value)]
    if equal:
        return max(equal, key=lambda name: _leaves(branch.nodes[name]))
    name = value.get("name") if isinstance(value, Mapping) else value
    return name if isinstance(name, str) and name in branch.nodes else None


def _equal(node: Any, value: Any) -> bool:
    """Whether a value is one that a node can have, the schema's defaults left aside."""
    if isinstance(node, Range):
        return node.contains(value)
    if isinstance(node, Branch):
        return any(_equal(child, value) for child in node.nodes.values())
    if isinstance(node, Mapping):
        section = value if isinstance(value, Mapping) else {"name": value}
        return all(key in section and _equal(node[key], section[key]) for key in node)
    if isinstance(node, list):
        return (
            isinstance(value, list)
            and len(value) == len(node)
            and all(_equal(child, item) for child, item in zip(node, value, strict=True))
        )
    if isinstance(node, str) and isinstance(value, Mapping):
        return bool(value.get("name") == node)
    return bool(node == value) and isinstance(node, bool) == isinstance(value, bool)


def _leaves(node: Any) -> int:
    """How much a node says."""
    if isinstance(node, Mapping):
        return sum(_leaves(child) for child in node.values())
    return sum(_leaves(child) for child in node) if isinstance(node, list) else 1
