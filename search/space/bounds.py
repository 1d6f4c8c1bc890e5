"""What stands below a word of the space language as a range: its ends, default, prior and step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from curricula.component import nearest
from search.space.distributions import Condition, Range, is_number
from trm.errors import UserError

MOST_WHOLE = 2**53
"""The largest bound of whole numbers: floats hold all up to it exactly."""
MOST, LEAST_LOG = 1e100, 1e-100
"""The largest bound of other numbers, and the smallest of a logarithmic range."""
_OTHERS = {
    **dict.fromkeys(("min", "lower", "minimum", "min_value"), "low"),
    **dict.fromkeys(("max", "upper", "maximum", "max_value"), "high"),
    "q": "step",
    "default_value": "default",
}
"""What other tools call the keys of the long form."""


def parse_range(path: str, condition: Condition, word: str, body: Any) -> Range:
    """`[low, high]` or `{low:, high:, default:, confidence:, step:}` as a range.

    A `step` that does not divide the range lowers `high` to the last value it reaches.

    Raises:
        UserError: the bounds, the default, the confidence or the step make no range.
    """
    integer, log = word in ("int", "logint"), word in ("loguniform", "logint")
    known = ("low", "high", "default", "confidence", *(() if log else ("step",)))
    if isinstance(body, Mapping):
        for key in body:
            if key not in known:
                ours = _OTHERS.get(str(key))
                remedy = f"write {ours}" if ours in known else nearest(str(key), [*known])
                raise UserError(path, key, f"is no key of `{word}`: {remedy}")
        fields = dict(body)
        for key in ("low", "high"):
            if key not in fields:
                raise UserError(path, dict(body), f"`{word}` needs `{key}`")
    elif isinstance(body, Sequence) and not isinstance(body, str) and len(body) == 2:
        fields = {"low": body[0], "high": body[1]}
    else:
        raise UserError(path, body, f"must be [low, high] or {{low:, high:, ...}} for `{word}`")
    confidence = parse_confidence(path, fields)
    numbers = {
        key: _number(path, key, value, integer)
        for key, value in fields.items()
        if key != "confidence"
    }
    low, high = numbers["low"], numbers["high"]
    if low > high:
        raise UserError(path, [low, high], "low must not be above high: swap them")
    if log and low <= 0:
        remedy = f"raise low or use `{'int' if integer else 'uniform'}`"
        if low < 0 and high < 50:  # Hyperopt and W&B write the logarithms of the bounds
            ends = [float(f"{math.exp(end):.4g}") for end in (low, high)]
            remedy += f", or {ends} if these are exponents"
        raise UserError(path, low, f"is not above 0, where `{word}` has no logarithm: {remedy}")
    if log and low < LEAST_LOG:
        raise UserError(path, low, f"is too small: raise low to {LEAST_LOG:g} or more")
    step = numbers.get("step", 1 if integer else None)
    if step is not None:
        finest = 0.0 if integer else 1e-6 * max(abs(low), abs(high))
        if step <= finest:
            raise UserError(path, step, f"is too small a step: it must be above {finest:g}")
        # Decimal arithmetic: 0.1 + 6 * 0.1 is not 0.7 in binary.
        reach = (Decimal(str(high)) - Decimal(str(low))) // Decimal(str(step))
        if reach == 0 and low < high:
            raise UserError(path, step, f"is a step beyond the range [{low}, {high}]: lower it")
        top = Decimal(str(low)) + reach * Decimal(str(step))
        high = int(top) if integer else float(top)
    found = Range(path, condition, word, low, high, numbers.get("default"), step, confidence)
    if found.default is not None and not found.contains(found.default):
        raise UserError(path, found.default, f"is a default outside {found.text()}")
    return found


def parse_confidence(path: str, fields: Mapping[str, Any]) -> float | None:
    """The `confidence` of a long form; None if it has none.

    Raises:
        UserError: it is no number from 0 to below 1, or there is no default to have it in.
    """
    if "confidence" not in fields:
        return None
    value = fields["confidence"]
    if not is_number(value) or not 0 <= value < 1:
        raise UserError(path, value, "must be a number from 0 to below 1 to be `confidence`")
    if "default" not in fields:
        raise UserError(path, value, "is a confidence in no default: give a `default`")
    return float(value)


def _number(path: str, key: str, value: Any, integer: bool) -> float:
    if not is_number(value):
        raise UserError(path, value, f"must be a finite number to be `{key}`")
    most = MOST_WHOLE if integer else MOST
    if abs(value) > most:
        name = f"2**53 ({MOST_WHOLE:,})" if integer else f"{MOST:g}"
        raise UserError(path, value, f"is too large to be `{key}`: keep within {name}")
    if not integer:
        return float(value)
    if value != int(value):
        raise UserError(path, value, f"must be an integer to be `{key}`")
    return int(value)
