"""The line for a value that the schema refuses and another tool takes for a range.

Nothing here is ever taken as a distribution: the line says what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from search.space.distributions import WORDS
from search.space.foreign_values import Found, read_foreign
from trm.files.yaml12 import flow_yaml

SECTIONS = {
    "parameters": "write each range where its key stands, as in "
    "`optimizer: {lr: {loguniform: [1e-4, 1e-2]}}`",
    "hyperparameters": "write each range where its key stands, as in "
    "`optimizer: {lr: {loguniform: [1e-4, 1e-2]}}`",
    "param_space": "write each range where its key stands, as in "
    "`optimizer: {lr: {loguniform: [1e-4, 1e-2]}}`",
    "method": "set search.sampler (tpe, random, grid, ...)",
    "metric": "set search.objective",
    "program": "leave it out: `trm sweep` is the program",
    "early_terminate": "set search.scheduler (asha, hyperband, ...)",
    "run_cap": "set search.trials",
    "num_samples": "set search.trials",
    "n_trials": "set search.trials",
    "hydra": "leave it out: `--out` names the run folder",
    "defaults": "leave it out: every key has a default (`trm keys`)",
}
"""Sections of other tools' files, and what does their work here."""


_OTHER_KIND = re.compile(
    r"must be (a number|a finite number|a whole number|true or false|text|a section)"
    r"|is unknown|unknown name"
)
"""What a complaint says of a value of the wrong kind."""


def explained(tree: Mapping[str, Any], complaint: str) -> str | None:
    """The line for a complaint about a value that another tool takes for a range, if it is one.

    Args:
        tree: what was validated.
        complaint: the path of the fault, a colon and the fault.

    >>> tree = {"optimizer": {"lr": {"min": 0.1, "max": 1.5}}}
    >>> line = explained(tree, "optimizer.lr: must be a number")
    >>> line.partition(" (words")[0]
    'optimizer.lr: {min: 0.1, max: 1.5} is no range here: write {uniform: [0.1, 1.5]}'
    """
    whole = "a whole number" in complaint
    for path, value in _within(tree, ""):
        nested = isinstance(value, Mapping) and complaint.startswith((path + ".", path + "["))
        if not nested and not complaint.startswith(path + ":"):
            continue
        if not isinstance(value, Mapping) and not _OTHER_KIND.search(complaint):
            continue  # a list or a text may stand there, and another one than this
        if (ours := in_our_words(value, whole)) is not None:
            shown = flow_yaml(value) if len(str(value)) < 120 else f"{str(value)[:117]}..."
            return f"{path}: {shown} is no range here: {ours} (words: {', '.join(WORDS)})"
    return None


def _within(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every value below a node with its path, the outer ones first."""
    if path:
        yield path, node
    if isinstance(node, Mapping):
        for key, child in node.items():
            yield from _within(child, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from _within(child, f"{path}[{index}]")


def in_our_words(value: Any, whole: bool = False) -> str | None:
    """What to write instead of a value that another tool takes for a range or a choice.

    Args:
        whole: only whole numbers may stand there.

    >>> in_our_words({"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2})
    'write {loguniform: [0.0001, 0.01]}'
    >>> in_our_words({"randint": [1, 3]})
    'write {int: [1, 2]} (the other tool leaves its upper end out)'
    >>> in_our_words("tag(log, interval(1e-5, 1e-2))")
    'write {loguniform: [1.0e-05, 0.01]}'
    >>> in_our_words({"at": 0.5}) is None
    True
    """
    found = read_foreign(value)
    return None if found is None else _advice(found, whole)


def _advice(found: Found, whole: bool) -> str | None:
    """The remedy in words; None if nothing is known of the numbers or options."""
    if found.kind == "bool":
        return "write {choice: [false, true]}"
    if found.options is not None:
        return f"write {flow_yaml({'choice': list(found.options)})}"
    if found.kind == "normal":
        return _advice_on_normal(found)
    if found.low is None or found.high is None:
        if found.value is not None:
            return f"write the value alone, {flow_yaml(found.value)}"
        return None if found.kind is None else "write [low, high] or a list of options"
    low, high, note = found.low, found.high, ""
    exact = all(float(end).is_integer() for end in (low, high, found.step or 0))
    integer = found.kind in ("int", "logint") or (
        exact and (whole or (found.kind in (None, "range") and isinstance(low, int)))
    )
    if found.kind == "constant" or found.kind == "choice":
        return f"write {flow_yaml({'choice': [low, high]})}"
    log = found.log or found.kind in ("loguniform", "logint")
    if log and low <= 0 < 1 <= abs(low) + abs(high) and high < 50:
        low, high = (float(f"{found.base**end:.4g}") for end in (low, high))
        integer, note = False, " (the other tool's numbers are exponents)"
    elif log and low <= 0:
        log, note = False, " (0 has no logarithm)"
    if found.open_end and integer:
        high, note = high - 1, " (the other tool leaves its upper end out)"
    low, high = (round(low), round(high)) if integer else (low, high)
    word = ("logint" if log else "int") if integer else ("loguniform" if log else "uniform")
    if found.step is None or log or found.step in (0, 1 if integer else 0):
        return f"write {flow_yaml({word: [low, high]})}{note}"
    return f"write {flow_yaml({word: {'low': low, 'high': high, 'step': found.step}})}{note}"


def _advice_on_normal(found: Found) -> str:
    words = "a bell curve is none of the words"
    if found.low is None or found.high is None or found.high <= 0:
        return words
    ends = [found.low - 2 * found.high, found.low + 2 * found.high]
    return f"{words}: write {flow_yaml({'uniform': ends})} for two deviations"
