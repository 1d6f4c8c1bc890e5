"""The base of every config section, and lookup of a section's class by its `name`."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict


C = TypeVar("C", bound="Component")


class Component(BaseModel):
    """A frozen section of the config tree that knows its own keys and refuses all others.

    Types are strict: `"3"` is not an integer and `1` is not a boolean, but an integer is a number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


def nearest(word: str, words: list[str]) -> str:
    """The remedy for an unknown word: the closest known ones first, else all of them.

    >>> nearest("adamw2", ["adamw", "adam_atan2"])
    'did you mean adamw, adam_atan2?'
    """
    close = get_close_matches(word, words, n=3, cutoff=0.5)
    return f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(sorted(words))}"


def by_name(
    registry: Mapping[str, type[C]], section: Any, default: str | None = None
) -> C:
    """Validate a section with the class that its `name` key picks from `registry`.

    Raises:
        ValueError: the section has no known `name`; pydantic adds the path.
    """
    if isinstance(section, Component):
        return section  # type: ignore[return-value]  # validated when it was made
    if not isinstance(section, Mapping):
        raise ValueError(f"must be a mapping with a `name` key; known: {', '.join(registry)}")
    name = section.get("name", default)
    if name not in registry:
        raise ValueError(f"unknown name {name!r}: {nearest(str(name), list(registry))}")
    return registry[name].model_validate({**section, "name": name})
