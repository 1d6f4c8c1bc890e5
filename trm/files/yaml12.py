"""YAML read with YAML 1.2's numbers and booleans, and with the merge keys of YAML 1.1.

PyYAML alone follows YAML 1.1: it reads `1e-4` as a string and `off` as false. Merge keys (`<<`),
which YAML 1.2 left out and people use, work as in 1.1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from trm.errors import UserError
from trm.files.yaml_nodes import yaml_value

MOST_BYTES = 16 * 2**20
"""Of a file; a larger one is no config."""


def parse_value(text: str, source: str = "value") -> Any:
    """One YAML value, as after `--set key=`; `source` is what an error names as its place.

    >>> parse_value("1e-4"), parse_value("off"), parse_value("[1, 2]")
    (0.0001, 'off', [1, 2])
    """
    return _load(text, source)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file whose top level is a mapping: in UTF-8, or in UTF-16 with its byte-order mark.

    Raises:
        UserError: no such file, not readable, not YAML, or not a mapping; names file and line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: give an existing YAML file") from error
    except ValueError as error:  # a path that no system has
        raise UserError(f"{str(path)!r}: {error}: give an existing YAML file") from error
    if len(data) > MOST_BYTES:
        raise UserError(f"{path}: has more than {MOST_BYTES >> 20} MiB: give a YAML file")
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}:{line}: not a text file in UTF-8: give a YAML file, saved as UTF-8"
        ) from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> dict[str, Any]:
    """The text of a YAML file whose top level is a mapping; `source` is what an error names.

    Raises:
        UserError: not YAML, or not a mapping; names the source and the line.
    """
    tree = _load(text, source)
    if not isinstance(tree, dict):
        empty = "is empty, and " if tree is None else ""
        raise UserError(
            f"{source}: {empty}must hold a mapping of sections such as `task:` and `model:`"
        )
    return tree


def _load(text: str, source: str) -> Any:
    try:
        return yaml_value(text)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        where = f"{source}:{before.count(chr(10)) + 1}"
        raise UserError(
            f"{where}: the character {chr(error.character)!r} cannot stand in YAML: remove it"
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        raise UserError(f"{where}: broken YAML: {_said(error)}") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # an escape beyond Unicode
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{source}: broken YAML: {first}") from error


def _said(error: yaml.MarkedYAMLError) -> str:
    """What is wrong, with a remedy where PyYAML's words leave one open."""
    problem = str(error.problem or error.context)
    if problem == "but found another document":
        return "several documents: keep one, without the `---` between them"
    if problem.startswith("found character '\\t'"):
        return "a tab: indent with spaces"
    return problem


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
        return yaml_value(value)
    except (yaml.YAMLError, ValueError, OverflowError):
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
