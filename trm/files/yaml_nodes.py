"""The nodes of a YAML text as plain values, every size bounded.

PyYAML composes the nodes; the values are made here, for its own constructor breaks on what is no
config (a key that is a list, a tag that its text does not fit), and what an alias repeats is one
and the same object there, so that a setting below one place would change the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

DEEPEST = 100
"""Mappings and lists within one another."""
MOST_REPEATED = 100_000
"""Values that the aliases of one text add to those that it writes out."""
MOST_DIGITS = 300
"""Of a whole number: one of more has no floating-point number near it."""

_CORE = "tag:yaml.org,2002:"
_MERGE = _CORE + "merge"
_BOOLS = {"true": True, "false": False}
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Loader(yaml.SafeLoader):
    """SafeLoader with the core schema of YAML 1.2 (section 10.3.2), no deeper than `DEEPEST`."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.MarkedYAMLError(
                problem=f"more than {DEEPEST} mappings and lists within one another",
                problem_mark=self.peek_event().start_mark,  # type: ignore[no-untyped-call]
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_KEPT = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag.endswith((":null", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_INT = re.compile(r"^[-+]?[0-9]+$")
_FLOAT = re.compile(
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_Loader.yaml_implicit_resolvers = {first: rules for first, rules in _KEPT.items() if rules}
_Loader.add_implicit_resolver(
    _CORE + "bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(_CORE + "int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver(_CORE + "float", _FLOAT, list("-+0123456789."))


class _Builder:
    """Makes plain values of the nodes of one text; what an alias repeats is made again."""

    def __init__(self) -> None:
        self._made: set[int] = set()
        self._open: set[int] = set()
        self._repeated = 0

    def value(self, node: yaml.Node) -> Any:
        """
        Raises:
            yaml.MarkedYAMLError: a tag that is not JSON's, a text that its tag does not fit, a key
                that is no scalar or stands twice, a node within itself, or too many aliases.
        """
        if isinstance(node, yaml.ScalarNode):
            self._count(node)
            return _scalar(node)
        if id(node) in self._open:
            raise _problem(node, "an alias stands within what it repeats")
        self._count(node)
        self._open.add(id(node))
        made: Any
        if isinstance(node, yaml.SequenceNode):
            _require_tag(node, "seq")
            made = [self.value(child) for child in node.value]
        else:
            assert isinstance(node, yaml.MappingNode)
            _require_tag(node, "map")
            made = self._mapping(node)
        self._open.discard(id(node))
        return made

    def _mapping(self, node: yaml.MappingNode) -> dict[Any, Any]:
        """Merged keys come first, and a mapping's own win over them (yaml.org/type/merge.html)."""
        merged: dict[Any, Any] = {}
        own: dict[Any, Any] = {}
        merges = False
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                if merges:
                    raise _problem(key_node, "`<<` stands twice: merge a list, as in <<: [*a, *b]")
                merges = True
                for base in self._bases(value_node):
                    merged |= {k: v for k, v in base.items() if k not in merged}
                continue
            key = self._key(key_node)
            if key in own:
                raise _problem(key_node, f"the key {key!r} stands twice")
            own[key] = self.value(value_node)
        return {**merged, **own}

    def _bases(self, node: yaml.Node) -> Iterator[dict[Any, Any]]:
        """The mappings that `<<` merges, the first of which wins."""
        several = isinstance(node, yaml.SequenceNode)
        for one in node.value if several else [node]:
            if not isinstance(one, yaml.MappingNode):
                raise _problem(one, "`<<` merges a mapping or a list of them, as in <<: *base")
            yield self.value(one)

    def _key(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        what = "a mapping" if isinstance(node, yaml.MappingNode) else "a list"
        raise _problem(node, f"{what} cannot be a key (fill templates such as {{{{lr}}}} in first)")

    def _count(self, node: yaml.Node) -> None:
        if id(node) in self._made:
            self._repeated += 1
            if self._repeated > MOST_REPEATED:
                raise _problem(node, f"the aliases make more than {MOST_REPEATED:,} values")
        self._made.add(id(node))


def _scalar(node: yaml.ScalarNode) -> Any:
    """The value of a scalar by its tag, which the text need not fit where a file wrote it."""
    text, tag = str(node.value), node.tag.removeprefix(_CORE)
    if half := _SURROGATE.search(text):
        raise _problem(node, f"{half.group()!r} is half a character: write it whole")
    if tag in ("str", "merge"):
        return text
    if tag == "null" and text in ("", "~", "null", "Null", "NULL"):
        return None
    if tag == "bool" and text.lower() in _BOOLS:
        return _BOOLS[text.lower()]
    if tag == "int" and _INT.match(text):
        if len(text) > MOST_DIGITS:
            digits = f"{len(text):,} digits"
            raise _problem(node, f"a number of {digits}: at most {MOST_DIGITS} are taken")
        return int(text)
    if tag == "float" and _FLOAT.match(text):
        return float(text.replace(".", "", 1) if "n" in text.lower() else text)
    if tag not in ("null", "bool", "int", "float"):
        raise _foreign(node)
    raise _problem(node, f"{text[:40]!r} is no !!{tag}: correct it, or leave the tag out")


def _require_tag(node: yaml.Node, name: str) -> None:
    if node.tag != _CORE + name:
        raise _foreign(node)


def _foreign(node: yaml.Node) -> yaml.MarkedYAMLError:
    tag = node.tag.replace(_CORE, "!!")
    return _problem(node, f"the tag {tag[:60]} means nothing here: leave it out")


def _problem(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def yaml_value(text: str) -> Any:
    """The value of a text by the core schema of YAML 1.2; None if it is empty.

    >>> yaml_value("{a: &a {x: 1, y: 2}, b: {<<: *a, y: off}}")
    {'a': {'x': 1, 'y': 2}, 'b': {'x': 1, 'y': 'off'}}

    Raises:
        yaml.YAMLError: it is no YAML, or none that a config may hold.
        ValueError: an escape that stands for no character.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return None if node is None else _Builder().value(node)
    finally:
        loader.dispose()
