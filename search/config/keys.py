"""Every key of a config file as the models have it: path, type, default and meaning.

A key's meaning stands in the `Attributes:` of its class's docstring, or of one that it inherits
from. A section that a registry offers in several forms has the keys that all of them share first,
then what each form adds or sets otherwise: `search.scheduler[asha].eta`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from curricula.component import SectionIn
from search.config.key_types import Value, is_section, registry_of, type_text, unwrapped
from search.config.sections import SweepSections
from trm.config import Experiment
from trm.diagnostics import diagnostics_class
from trm.files.yaml12 import flow_yaml

Model = type[BaseModel]

HOMES = {"TaskConfig": "task", "Curve": "curriculum.halt_weight"}
"""Where the forms of a section that stands in several places are told."""


@dataclass(frozen=True)
class Key:
    """A key of a config file.

    Attributes:
        path: where it stands; `[name]` is the form of a section, `[]` an entry of a list, `NAME` a
            name of the user's choice.
        type: what it takes.
        default: its value when it is left out, as YAML; `required` if there is none.
        meaning: what it does; of a form of a section, what that is.
    """

    path: str
    type: str
    default: str
    meaning: str


def all_keys() -> list[Key]:
    """Every key of every section, in the order of a file.

    >>> [key.default for key in all_keys() if key.path == "train.batch_size"]
    ['768']
    """
    return [
        key
        for model in (Experiment, SweepSections)
        for name, field in model.model_fields.items()
        for key in _keys(name, model, field)
    ]


def _keys(path: str, owner: Model, field: FieldInfo) -> Iterator[Key]:
    """A key and all below it."""
    value = Value(field.annotation, tuple(field.metadata))
    yield _key(path, owner, field)
    for place, inner in _sections_in(path, value):
        registry = registry_of(inner)
        if registry is None:
            yield from _keys_of_model(place, with_plugins(inner.kind))
        elif HOMES.get(inner.kind.__name__, place) == place:
            yield from _forms(place, inner.kind, registry)


def _key(path: str, owner: Model, field: FieldInfo) -> Key:
    value = Value(field.annotation, tuple(field.metadata))
    name = path.rpartition(".")[2]
    return Key(path, type_text(value), default_text(field), meaning_of(owner, name))


def _keys_of_model(path: str, model: Model) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        yield from _keys(f"{path}.{name}", model, field)


def _forms(path: str, base: Model, registry: SectionIn) -> Iterator[Key]:
    """The keys that every form has, then of each form what it adds or sets otherwise."""
    for name, field in base.model_fields.items():
        if name != "name":
            yield from _keys(f"{path}.{name}", base, field)
    for option, model in registry.options.items():
        place = f"{path}[{option}]"
        yield Key(place, f"{{name: {option}}}", "", summary(model))
        for name, field in model.model_fields.items():
            own = _key(f"{place}.{name}", model, field)
            if name == "name":
                continue
            if name not in base.model_fields:
                yield from _keys(own.path, model, field)
                continue
            shared = _key(f"{path}.{name}", base, base.model_fields[name])
            if (own.type, own.default, own.meaning) != (
                shared.type,
                shared.default,
                shared.meaning,
            ):
                yield own


def with_plugins(model: Model) -> Model:
    """The class of a section with the keys that plug-ins have added to it."""
    known = diagnostics_class()
    return known if issubclass(known, model) else model


def _sections_in(path: str, value: Value) -> Iterator[tuple[str, Value]]:
    for suffix, inner in unwrapped(value):
        if is_section(inner.kind):
            yield path + suffix, inner


def default_text(field: FieldInfo) -> str:
    """A key's default as YAML; `required` where there is none."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    assert value is not PydanticUndefined
    return flow_yaml(_plain(value))


def _plain(value: Any) -> Any:
    """A default as a file would have it: of a section, only what is not its own default."""
    if isinstance(value, BaseModel):
        set_here = value.model_dump(mode="json", exclude_defaults=True)
        name = getattr(value, "name", None)
        if name is None:
            return set_here
        return {"name": name, **set_here} if set_here.keys() - {"name"} else name
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


def meaning_of(model: Model, name: str) -> str:
    """What the docstrings of a class and its bases say of a field; empty if nothing."""
    for kind in model.__mro__:
        if name in (told := attributes(kind)):
            return told[name]
    return ""


@cache
def attributes(kind: type) -> dict[str, str]:
    """The `Attributes:` of a class's own docstring, each on one line, without its last stop.

    >>> attributes(Key)["type"]
    'what it takes'
    """
    doc = inspect.cleandoc(kind.__dict__.get("__doc__") or "")
    section = re.search(r"^Attributes:\n((?: .*\n?|\n)*)", doc, re.MULTILINE)
    found: dict[str, str] = {}
    name = ""
    for line in section[1].splitlines() if section else []:
        if entry := re.fullmatch(r" {4}(\w+): (.*)", line):
            name, found[entry[1]] = entry[1], entry[2]
        elif line.strip():
            found[name] += f" {line.strip()}"
    return {name: text.removesuffix(".") for name, text in found.items()}


def summary(model: Model) -> str:
    """The first paragraph of a class's docstring, on one line."""
    paragraph = inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0]
    return " ".join(paragraph.split()).removesuffix(".")
