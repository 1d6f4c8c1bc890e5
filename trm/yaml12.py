"""YAML read with YAML 1.2's numbers and booleans.

PyYAML alone follows YAML 1.1: it reads `1e-4` as a string and `off` as false.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from trm.errors import UserError


class _Loader(yaml.SafeLoader):
    """SafeLoader with the core schema of YAML 1.2 (section 10.3.2) and no duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} stands twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_KEPT = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag.endswith((":null", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.yaml_implicit_resolvers = {first: rules for first, rules in _KEPT.items() if rules}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)
_Loader.add_constructor(
    # PyYAML's own reads 010 as octal; YAML 1.2 reads it as ten.
    "tag:yaml.org,2002:int",
    lambda loader, node: int(str(loader.construct_scalar(node)), 10),  # type: ignore[arg-type]
)


def parse_value(text: str, source: str = "value") -> Any:
    """One YAML value, as after `--set key=`; `source` is what an error names as its place.

    >>> parse_value("1e-4"), parse_value("off"), parse_value("[1, 2]")
    (0.0001, 'off', [1, 2])
    """
    return _load(text, source)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file whose top level is a mapping.

    Raises:
        UserError: no such file, not readable, not YAML, or not a mapping; names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: give an existing YAML file") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file: give a YAML file") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> dict[str, Any]:
    """The text of a YAML file whose top level is a mapping; `source` is what an error names.

    Raises:
        UserError: not YAML, or not a mapping; names the source and the line.
    """
    tree = _load(text, source)
    if not isinstance(tree, dict):
        raise UserError(f"{source}: must hold a mapping of sections such as `task:` and `model:`")
    return tree


def _load(text: str, source: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        raise UserError(f"{where}: broken YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{source}: broken YAML: {str(error).splitlines()[0]}") from error


class _Dumper(yaml.SafeDumper):
    """SafeDumper whose floats read back as floats in YAML 1.1 and 1.2 alike."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_float(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    text = repr(value)
    if value != value:
        text = ".nan"
    elif value in (float("inf"), float("-inf")):
        text = ".inf" if value > 0 else "-.inf"
    elif "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


def _represent_str(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # Breaks that only Unicode knows are folded to spaces unless they are escaped.
    quoted = not isinstance(_load_plain(value), str) or any(c in value for c in "\x85\u2028\u2029")
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if quoted else None)


def _load_plain(value: str) -> Any:
    try:
        return yaml.load(value, Loader=_Loader)
    except yaml.YAMLError:
        return value


_Dumper.add_representer(float, _represent_float)
_Dumper.add_representer(str, _represent_str)


def dump_yaml(tree: Any) -> str:
    """A tree of plain values as YAML text, keys in their order."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


def flow_yaml(value: Any) -> str:
    """A value as one line of YAML.

    >>> flow_yaml({"lr": 1e-5, "tags": [True, None, "a"]})
    '{lr: 1.0e-05, tags: [true, null, a]}'
    """
    text = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, width=10**6, allow_unicode=True,
        default_flow_style=True,
    )  # fmt: skip
    return text.strip().removesuffix("\n...")
