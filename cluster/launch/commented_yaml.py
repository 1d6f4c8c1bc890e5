"""A tree as YAML with comments: values are data, whatever they hold, and never syntax."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_/.-]*")
_WORDS_OF_YAML = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def dump(tree: Mapping[str, Any], comments: Mapping[str, str]) -> str:
    """The YAML of a tree.

    Args:
        tree: mappings, lists, text, numbers, booleans and None.
        comments: lines before an entry, by its path, as in `spec.workers.0.name`.

    >>> tree = {"kind": "Job", "list": [{"a": 1, "b": "off"}]}
    >>> print(dump(tree, {"list.0": "The first"}), end="")
    kind: Job
    list:
      # The first
      - a: 1
        b: "off"
    """
    lines = list(_mapping(tree, "", comments)) or ["{}"]
    return "\n".join(lines) + "\n"


def _mapping(tree: Mapping[str, Any], path: str, comments: Mapping[str, str]) -> Iterator[str]:
    for key, value in tree.items():
        here = f"{path}.{key}" if path else str(key)
        yield from _comment(here, comments)
        yield from _entry(f"{_scalar(key)}:", value, here, comments)


def _list(tree: list[Any], path: str, comments: Mapping[str, str]) -> Iterator[str]:
    for index, value in enumerate(tree):
        here = f"{path}.{index}"
        yield from _comment(here, comments)
        if isinstance(value, Mapping) and value:
            first, *others = _mapping(value, here, comments)
            assert not first.startswith("#"), f"comment the entry {here}, not its first key"
            yield f"- {first}"
            yield from _indented(others)
        else:
            yield from _entry("-", value, here, comments)


def _entry(head: str, value: Any, path: str, comments: Mapping[str, str]) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        yield head
        yield from _indented(_mapping(value, path, comments))
    elif isinstance(value, list) and value:
        yield head
        yield from _indented(_list(value, path, comments))
    elif isinstance(value, str) and _stands_as_block(value):
        ending = "" if value.endswith("\n") else "-"
        yield f"{head} |{ending}"
        yield from _indented(iter(value.removesuffix("\n").split("\n")))
    else:
        yield f"{head} {_scalar(value)}"


def _comment(path: str, comments: Mapping[str, str]) -> Iterator[str]:
    if path in comments:
        yield from (f"# {line}".rstrip() for line in comments[path].splitlines())


def _indented(lines: Iterator[str] | list[str]) -> Iterator[str]:
    yield from (f"  {line}" if line else "" for line in lines)


def _stands_as_block(text: str) -> bool:
    """Whether a literal block gives the text back as it is."""
    lines = text.removesuffix("\n").split("\n")
    return (
        len(lines) > 1
        and all(line.isprintable() and line.isascii() for line in lines)
        and lines[0] != ""
        and lines[-1] != ""
        and not lines[0].startswith(" ")
    )


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list):
        return "[]"
    assert isinstance(value, str), value
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS_OF_YAML:
        return value
    written = yaml.dump(value, default_style='"', width=float("inf"), allow_unicode=False)
    return written.strip()
