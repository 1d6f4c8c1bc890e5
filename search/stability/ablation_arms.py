"""The configs of `trm ablate`: the base, and what each ablation changes in it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from curricula.component import nearest
from search.config.ablations import BASE, PAPER, paper_ablations
from search.config.checks import FIXED
from search.config.config import Config
from search.config.plan import Plan
from search.space.nodes import FIXED_SECTIONS
from trm.config import SECTIONS, set_value
from trm.errors import UserError

ABLATION = "ablation"
"""The parameter of such trials: the ablation's name."""


@dataclass(frozen=True)
class Arm:
    """One config of them.

    Attributes:
        name: `base` or the ablation's.
        changes: keys and the values that they have instead of the base's.
        tree: the whole config.
    """

    name: str
    changes: dict[str, Any]
    tree: dict[str, Any]


def arms(known: Config | Plan) -> tuple[list[Arm], dict[str, str]]:
    """The base and every ablation, and which of the built-in set are left out, and why.

    Raises:
        UserError: no ablation, or one that does not fit; names it.
    """
    section = known.sections.ablations
    # Without the sweep's own sections, which may differ when a run folder is extended.
    start = {k: v for k, v in known.default_tree.items() if k in SECTIONS}
    changes = {} if isinstance(section.base, str) else section.base
    base = Arm(BASE, changes, _with(known, start, changes, "ablations.base"))
    whole = known.experiment(base.tree).tree()
    built_in = section.named == PAPER
    named = section.named
    chosen = paper_ablations(whole) if isinstance(named, str) else named
    if not chosen:
        raise UserError(
            "ablations.named", None, "is missing: name some, or take `ablations: paper`"
        )
    found, left_out = [base], {}
    for name, values in chosen.items():
        where = f"ablations.named.{name}"
        if name == BASE:
            raise UserError(where, None, "is the base's own name: take another")
        try:
            changed = _with(known, base.tree, values, where)
            if known.experiment(changed).tree() == whole:
                raise UserError(where, values, "changes nothing: the base has these values")
        except UserError as error:
            if not built_in:
                raise
            left_out[name] = str(error).removeprefix(f"{where}: ")
            continue
        found.append(Arm(name, dict(values), changed))
    return found, left_out


def seeded(arm: Arm, seed: int) -> dict[str, Any]:
    """The arm's config tree with a seed."""
    return {**arm.tree, "train": {**arm.tree.get("train", {}), "seed": seed}}


def _with(
    known: Config | Plan, tree: Mapping[str, Any], values: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """A valid config with some keys set.

    Raises:
        UserError: a key that is unknown or must be alike in all runs, or a value that does not fit.
    """
    changed = deepcopy(dict(tree))
    for key, value in values.items():
        top = key.partition(".")[0]
        if top not in SECTIONS or top in FIXED_SECTIONS or top == "task":
            sections = [name for name in SECTIONS if name not in (*FIXED_SECTIONS, "task")]
            remedy = nearest(top, sections)
            raise UserError(f"{where}.{key}", value, f"cannot be changed by an ablation: {remedy}")
        if any(key == fixed or key.startswith(f"{fixed}.") for fixed in FIXED):
            raise UserError(
                f"{where}.{key}", value, "must be the same in all runs, or scores would not compare"
            )
        if any(fixed.startswith(f"{key}.") for fixed in FIXED):
            raise UserError(
                f"{where}.{key}", value, "would replace the whole section, and with it what must "
                f"be the same in all runs: name its keys, as in {key}.ema"
            )  # fmt: skip
        try:
            set_value(changed, key, deepcopy(value))
        except UserError as error:
            raise UserError(f"{where}.{key}", value, f"stands nowhere: {error}") from error
    try:
        known.experiment(changed)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return changed
