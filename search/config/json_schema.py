"""The JSON Schema of a config file, for editors: from the models, as `search.config.keys`.

It knows types, bounds, names and what each key means. What depends on two keys at once is left to
`trm` itself. A key outside the sweep's own sections takes a distribution as well as a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from curricula.component import NameIn
from search.config.key_types import Value, is_section, members, registry_of
from search.config.keys import meaning_of, summary, with_plugins
from search.config.sections import SweepSections
from search.space.distributions import LONG_FORM, WORDS
from trm.config import Experiment

_NEVER_DRAWN = ("schema_version", "name", "promise", "plugins", *SweepSections.model_fields)
_TYPES = {int: "integer", float: "number", bool: "boolean", str: "string", type(None): "null"}
_BOUNDS: dict[type, tuple[str, str]] = {
    annotated_types.Ge: ("ge", "minimum"),
    annotated_types.Gt: ("gt", "exclusiveMinimum"),
    annotated_types.Le: ("le", "maximum"),
    annotated_types.Lt: ("lt", "exclusiveMaximum"),
}

Node = dict[str, Any]


def json_schema() -> Node:
    """The schema of a whole file, as JSON values."""
    writer = _Writer()
    properties = {
        name: writer.property(model, name, field, drawn=name not in _NEVER_DRAWN)
        for model in (Experiment, SweepSections)
        for name, field in model.model_fields.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "TRM Search config",
        "type": "object",
        "properties": properties,
        "required": ["task"],
        "additionalProperties": False,
        "$defs": {"distribution": _distribution(), **writer.defs},
    }


def _distribution() -> Node:
    fields: Node = {key: {} for key in LONG_FORM}
    body = {"anyOf": [{"type": "array"}, {"type": "object", "properties": fields}]}
    return {
        "description": "values to search: {loguniform: [1e-5, 1e-2]}",
        "type": "object",
        "properties": dict.fromkeys(WORDS, body),
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    }


class _Writer:
    """The schema's parts, and the forms of sections that they refer to."""

    def __init__(self) -> None:
        self.defs: dict[str, Node] = {}

    def property(self, model: type[BaseModel], name: str, field: FieldInfo, *, drawn: bool) -> Node:
        node = self.node(Value(field.annotation, tuple(field.metadata)), drawn)
        if drawn:
            node = {"anyOf": [node, {"$ref": "#/$defs/distribution"}]}
        return {"description": meaning_of(model, name), **node}

    def node(self, value: Value, drawn: bool) -> Node:
        nodes = [self._one(member, drawn) for member in members(value)]
        return nodes[0] if len(nodes) == 1 else {"anyOf": nodes}

    def _one(self, value: Value, drawn: bool) -> Node:
        kind, arguments = get_origin(value.kind) or value.kind, get_args(value.kind)
        if registry_of(value) is not None:
            return self._section_in(value, drawn)
        for one in value.metadata:
            if isinstance(one, NameIn) and kind is str:
                return {"enum": list(one.registry)}
            if isinstance(one, NameIn) and kind is list:
                return {"type": "array", "items": {"enum": list(one.registry)}}
        if kind is Literal:
            return {"enum": list(arguments)}
        if is_section(kind):
            return self._section(with_plugins(kind), drawn)
        if kind is list:
            return {"type": "array", "items": self._entry(arguments[0], drawn)}
        if kind is tuple:
            return {"type": "array", "minItems": len(arguments), "maxItems": len(arguments)}
        if kind is dict:
            inner = self._entry(arguments[1], drawn) if arguments else True
            return {"type": "object", "additionalProperties": inner}
        if kind not in _TYPES:
            return {}
        return {"type": _TYPES[kind], **_bounds(value)}

    def _entry(self, kind: Any, drawn: bool) -> Node:
        node = self.node(Value(kind), drawn)
        return {"anyOf": [node, {"$ref": "#/$defs/distribution"}]} if drawn else node

    def _section(
        self, model: type[BaseModel], drawn: bool, fixed: Mapping[str, Node] | None = None
    ) -> Node:
        properties = {
            name: self.property(model, name, field, drawn=drawn)
            for name, field in model.model_fields.items()
        }
        required = [name for name, field in model.model_fields.items() if field.is_required()]
        return {
            "type": "object",
            "description": summary(model),
            "properties": {**properties, **(fixed or {})},
            "required": required,
            "additionalProperties": False,
        }

    def _section_in(self, value: Value, drawn: bool) -> Node:
        registry = registry_of(value)
        assert registry is not None
        forms = []
        for option, model in registry.options.items():
            name = f"{value.kind.__name__}.{option}"
            if name not in self.defs:
                self.defs[name] = {}  # a task may hold tasks
                word: Node = {"const": option}
                drawn_word = {"anyOf": [word, {"$ref": "#/$defs/distribution"}]}
                form = self._section(model, drawn, {"name": drawn_word if drawn else word})
                if option != registry.default:
                    form["required"] = [*dict.fromkeys(["name", *form["required"]])]
                self.defs[name].update(form)
            forms.append({"$ref": f"#/$defs/{name}"})
        return {"anyOf": [{"enum": list(registry.options)}, *forms]}


def _bounds(value: Value) -> Node:
    found: Node = {}
    for one in value.metadata:
        for kind, (attribute, word) in _BOUNDS.items():
            if isinstance(one, kind):
                found[word] = getattr(one, attribute)
    return found
