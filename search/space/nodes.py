"""The nodes of a space's tree: parsed from YAML, resolved to a draw, put in order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from curricula.component import nearest
from search.space.bounds import parse_confidence, parse_range
from search.space.distributions import (
    Choice,
    Condition,
    Distribution,
    Range,
    is_distribution,
    option_name,
    refuse_stray_keys,
)
from trm.errors import UserError

FIXED_SECTIONS = (
    "search",
    "stability",
    "cluster",
    "log",
    "plugins",
    "ablations",
    "study",
    "diagnostics",
    "schema_version",
    "name",
)
"""Top-level keys that hold no distributions: they describe the sweep, not a trial."""


@dataclass(frozen=True)
class Branch:
    """A choice with the parsed node of every option.

    A node is a plain value, a list or mapping of nodes, a `Range` or a `Branch`.
    """

    choice: Choice
    nodes: Mapping[str, Any]


def parse_node(value: Any, path: str, condition: Condition, found: dict[str, Distribution]) -> Any:
    """A config value as a node: plain values, lists and mappings of nodes, ranges and branches."""
    if is_distribution(value):
        ((word, body),) = value.items()
        if word == "choice":
            return _parse_choice(body, path, condition, found)
        return _add(found, parse_range(path, condition, word, body))
    if isinstance(value, Mapping):
        refuse_stray_keys(path, value)
        return {k: parse_node(v, f"{path}.{k}", condition, found) for k, v in value.items()}
    if isinstance(value, list):
        return [parse_node(v, f"{path}[{i}]", condition, found) for i, v in enumerate(value)]
    return value


def _parse_choice(
    body: Any, path: str, condition: Condition, found: dict[str, Distribution]
) -> Branch:
    raw, default, confidence = body, None, None
    if isinstance(body, Mapping):
        for key in body:
            if key not in ("options", "default", "confidence"):
                remedy = nearest(str(key), ["options", "default", "confidence"])
                raise UserError(path, key, f"is no key of `choice`: {remedy}")
        raw = body.get("options")
        confidence = parse_confidence(path, body)
    if not isinstance(raw, list) or not raw:
        raise UserError(path, raw, "must be a list of at least one option for `choice`")
    options: dict[str, Any] = {}
    for index, option in enumerate(raw):
        name, content = named_option(option, f"{path}, option {index}")
        if name in options:
            raise UserError(path, name, "names two options: give each a `label` of its own")
        options[name] = content
    if isinstance(body, Mapping) and "default" in body:
        default = option_name(path, body["default"])
        if default not in options:
            remedy = nearest(default, list(options))
            raise UserError(path, body["default"], f"is a default that is no option: {remedy}")
    choice = Choice(path, condition, tuple(options), default, confidence)
    _add(found, choice)
    nodes = {
        name: parse_node(content, f"{path}[{name}]", (*condition, (path, name)), found)
        for name, content in options.items()
    }
    return Branch(choice, nodes)


def named_option(option: Any, where: str) -> tuple[str, Any]:
    """An option's name, and its content without the label."""
    if not isinstance(option, Mapping):
        return option_name(where, option), option
    content = {key: value for key, value in option.items() if key != "label"}
    name = option.get("label", None if is_distribution(content) else option.get("name"))
    if name is None or isinstance(name, (Mapping, list)):
        raise UserError(where, dict(option), "has no name: add `label: NAME` to it")
    return option_name(where, name), content


def _add(found: dict[str, Distribution], distribution: Any) -> Any:
    if distribution.name in found:
        raise UserError(
            distribution.name, remedy="names two parameters: take dots and brackets out of the keys"
        )
    found[distribution.name] = distribution
    return distribution


def _refuse_distributions(value: Any, path: str) -> None:
    if is_distribution(value):
        raise UserError(path, dict(value), "cannot be searched here: give one value")
    if isinstance(value, (Mapping, list)):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, child in items:
            below = f"{path}.{key}" if isinstance(value, Mapping) else f"{path}[{key}]"
            _refuse_distributions(child, below)


def resolve_node(node: Any, value: Callable[[Distribution], Any]) -> Any:
    """The plain value of a node. Mappings are visited by sorted key and keep their own order."""
    if isinstance(node, Range):
        return value(node)
    if isinstance(node, Branch):
        return resolve_node(node.nodes[value(node.choice)], value)
    if isinstance(node, Mapping):
        done = {key: resolve_node(node[key], value) for key in sorted(node, key=str)}
        return {key: done[key] for key in node}
    if isinstance(node, list):
        return [resolve_node(child, value) for child in node]
    return node


def node_order(node: Any, *, as_written: bool = False) -> Iterator[str]:
    """Names of all parameters below a node, in the order in which a draw would meet them.

    Args:
        as_written: in the order of the file instead.
    """
    if isinstance(node, Range):
        yield node.name
    elif isinstance(node, Branch):
        yield node.choice.name
        for child in node.nodes.values():
            yield from node_order(child, as_written=as_written)
    elif isinstance(node, Mapping):
        for key in node if as_written else sorted(node, key=str):
            yield from node_order(node[key], as_written=as_written)
    elif isinstance(node, list):
        for child in node:
            yield from node_order(child, as_written=as_written)


def node_size(node: Any) -> float:
    if isinstance(node, Range):
        return node.count
    if isinstance(node, Branch):
        return sum(map(node_size, node.nodes.values()), 0.0)
    if isinstance(node, Mapping):
        return math.prod(map(node_size, node.values()), start=1.0)
    if isinstance(node, list):
        return math.prod(map(node_size, node), start=1.0)
    return 1.0
