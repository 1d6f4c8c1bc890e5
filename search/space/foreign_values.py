"""Values that other tools take for a range or a choice, read for what they seem to mean.

The words are those of Ray Tune, Optuna, W&B, Hydra, Ax, ConfigSpace (SMAC), Hyperopt, Nevergrad,
KerasTuner, Katib, Vizier, NNI and Determined, as their documentation has them.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from trm.files.yaml12 import parse_value

_KINDS = {
    "uniform": "uniform float real double interval scalar floatrange uniformfloat quniform "
    "uniformvalues quniformvalues discreteuniform uniformrange uniformparameterrange",
    "loguniform": "loguniform loguniformvalues logfloat log reciprocal loguniformfloat "
    "qloguniform qloguniformvalues loguniformparameterrange",
    "int": "int integer randint randomint intuniform uniformint uniforminteger qrandint "
    "uniformintegerparameterrange",
    "range": "range",
    "logint": "logint lograndint loguniformint qlograndint loguniforminteger intlog",
    "choice": "choice choices categorical values options gridsearch grid pchoice enum discrete "
    "ordinal transitionchoice oneof sampledfrom discreteparameterrange vals",
    "bool": "bool boolean",
    "constant": "constant const fixed value val",
    "normal": "normal randn qnormal qrandn lognormal qlognormal qloguniformnormal beta qbeta "
    "invloguniform invloguniformvalues truncatednormal normalfloat betafloat normalinteger",
}
_WORDS = {word: kind for kind, words in _KINDS.items() for word in words.split()}
_WITHOUT_END = {"randint", "lograndint"}
"""Ray's and Hyperopt's whole numbers, whose upper end is left out."""

_KEYS = {
    "low": "low lower min minimum minvalue minval start lo",
    "high": "high upper max maximum maxvalue maxval end stop hi",
    "mean": "mu mean loc",
    "deviation": "sigma sd std stddev",
    "step": "step q quantum",
    "options": "values choices options categories categorical items sequence vals list",
    "log": "log logscale sampling scale scaletype prior",
    "bounds": "bounds range feasiblespace",
    "kind": "distribution type dist parametertype valuetype word",
    "value": "value val",
    "base": "base",
    "default": "default defaultvalue init",
}
_NAMES = {name: key for key, names in _KEYS.items() for name in names.split()}
_CALL = re.compile(r"^\s*[A-Za-z_][\w.]*\s*\(.*\)\s*$", re.DOTALL)


@dataclass(frozen=True)
class Found:
    """What a value seems to mean; numbers as the other tool has them."""

    kind: str | None = None
    low: float | None = None
    high: float | None = None
    step: float | None = None
    options: tuple[Any, ...] | None = None
    value: Any = None
    log: bool = False
    base: float = math.e
    open_end: bool = False


def read_foreign(value: Any) -> Found | None:
    """What a value means to another tool; None if it is no range and no choice to any.

    >>> read_foreign({"min": 1, "max": 4}).high
    4
    """
    if isinstance(value, Mapping):
        return _of_mapping(value)
    if isinstance(value, list) and len(value) > 1 and all(map(_is_plain, value)):
        return Found("choice", options=tuple(value))
    return _of_text(value) if isinstance(value, str) else None


def _of_mapping(value: Mapping[Any, Any]) -> Found | None:
    if not all(isinstance(key, str) for key in value):
        return None
    if "name" in value and not any(_NAMES.get(_plain(key)) == "kind" for key in value):
        return None  # a section of ours, whose keys may be called alike
    if len(value) == 1:
        ((word, body),) = value.items()
        if (kind := _kind(word)) is not None:
            return _of_body(Found(kind, open_end=_plain(word) in _WITHOUT_END), body)
    fields: dict[str, Any] = {}
    for key, child in value.items():
        name = _NAMES.get(_plain(key))
        if name == "kind":
            fields.setdefault("kind", child)
            continue
        if name is not None:
            fields[name] = child
    word = fields.pop("kind", None)
    if word is not None and _kind(word) is None:
        return None
    if word is None and not fields.keys() & {"low", "high", "options", "bounds"}:
        return None
    found = Found(_kind(word), open_end=_plain(word) in _WITHOUT_END)
    if isinstance(fields.get("value"), list | dict):
        return _of_body(found, fields["value"])
    return _of_fields(found, fields)


def _of_body(found: Found, body: Any) -> Found | None:
    """What stands below or within the brackets of a word."""
    if isinstance(body, Mapping):
        return _of_fields(found, _named(body))
    if found.kind == "choice" and isinstance(body, list) and body:
        return replace(found, options=tuple(body))
    if found.kind in ("constant", "bool"):
        return replace(found, value=body)
    if isinstance(body, list) and len(body) == 3 and isinstance(body[2], bool):
        found, body = replace(found, log=body[2]), body[:2]
    numbers = [_number(part) for part in body] if isinstance(body, list) else []
    if len(numbers) == 1 and found.kind in ("int", "logint"):  # randint(n) is from 0
        numbers = [0, *numbers]
    if found.kind == "normal":
        numbers = numbers[:2]
    if len(numbers) not in (2, 3) or None in numbers:
        return None
    return replace(found, low=numbers[0], high=numbers[1], step=[*numbers, None][2])


def _of_fields(found: Found, fields: Mapping[str, Any]) -> Found | None:
    bounds = fields.get("bounds")
    if isinstance(bounds, Mapping):
        return _of_fields(found, {**fields, "bounds": None, **_named(bounds)})
    if isinstance(bounds, list) and len(bounds) == 2:
        fields = {**fields, "low": bounds[0], "high": bounds[1]}
    if found.kind == "normal":
        fields = {"low": fields.get("mean"), "high": fields.get("deviation")}
    scale = fields.get("log")
    return replace(
        found,
        low=_number(fields.get("low")),
        high=_number(fields.get("high")),
        step=_number(fields.get("step")),
        options=tuple(fields["options"]) if isinstance(fields.get("options"), list) else None,
        value=fields.get("value"),
        log=scale is True or (isinstance(scale, str) and "log" in scale.lower()),
        base=_number(fields.get("base")) or math.e,
    )


def _named(fields: Mapping[Any, Any]) -> dict[str, Any]:
    """Fields under the names that `_KEYS` has for theirs."""
    return {_NAMES.get(_plain(key), _plain(key)): child for key, child in fields.items()}


def _of_text(text: str) -> Found | None:
    """A call such as Hydra's `interval(1e-5, 1e-2)`, or values with commas between them."""
    if _CALL.match(text):
        try:
            call = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        return _of_call(call)
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > 1 and all(re.fullmatch(r"[-+\w.]+", part) for part in parts):
        return Found("choice", options=tuple(parse_value(part) for part in parts))
    return None


def _of_call(call: ast.expr) -> Found | None:
    if not isinstance(call, ast.Call):
        return None
    name = ast.unparse(call.func)
    if _plain(name) == "tag" and call.args:  # Hydra: the marks come before what they mark
        marks = [ast.unparse(mark) for mark in call.args[:-1]]
        inner = _of_call(call.args[-1])
        return inner and replace(inner, log="log" in marks)
    kind = _kind(name)
    if kind is None:
        return None
    arguments = [_literal(argument) for argument in call.args]
    if len(arguments) > 1 and isinstance(arguments[0], str) and kind != "choice":
        arguments = arguments[1:]  # the parameter's own name comes first
    if kind == "choice" and arguments and isinstance(arguments[-1], list):
        arguments = arguments[-1]
    words = _named({k.arg: _literal(k.value) for k in call.keywords})
    open_end = _plain(name) in _WITHOUT_END or _plain(name) == "range"
    found = Found(kind, log=words.pop("log", None) is True, open_end=open_end)
    if words.get("discrete") is True and kind == "uniform":
        found = replace(found, kind="int")
    if arguments:
        return _of_body(found, arguments)
    made = _of_fields(found, words)
    return made and replace(made, log=made.log or found.log)


def _literal(node: ast.expr) -> Any:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError):
        return ast.unparse(node)
    return list(value) if isinstance(value, tuple) else value


def _plain(word: Any) -> str:
    """A word without what tools put around it: `tune.q_log_uniform` is `qloguniform`.

    >>> _plain("trial.suggest_float"), _plain("_value"), _plain("UniformFloatHyperparameter")
    ('float', 'value', 'uniformfloat')
    """
    if not isinstance(word, str):
        return ""
    last = word.rpartition(".")[2].lower().strip().removeprefix("suggest_")
    plain = re.sub(r"[^a-z0-9]", "", last)
    for suffix in ("hyperparameter", "distribution"):
        plain = plain.removesuffix(suffix) or plain
    return plain


def _kind(word: Any) -> str | None:
    return _WORDS.get(_plain(word))


def _number(value: Any) -> Any:
    """A finite number, also one that is written as text; else None."""
    if isinstance(value, str):
        try:
            value = int(value) if re.fullmatch(r"[-+]?\d{1,300}", value) else float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) <= 1e300 else None


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)
