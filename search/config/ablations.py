"""The `ablations` section: what is changed in a base, one named ablation after another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from curricula.component import Component, shown

PAPER = "paper"
"""The built-in set of ablations."""
BASE = "base"
SECTION = "ablations"
OLD_SECTION = "study"
"""Its name in older files and run folders."""
OLD_NAMED = "ablations"
"""The name of the section's `named` there."""


class AblationsConfig(Component):
    """A named set of ablations, each run over the same seeds as the base.

    `ablations: paper` is short for `ablations: {named: paper}`.

    Attributes:
        base: `default`, the file's default values, or a mapping from keys to values on top of them.
        named: by name, a mapping from keys to values, as `{no_ema: {train.ema: null}}`; or
            `paper`, the ablations of the TRM paper as far as they fit, and each curriculum.
        seeds: runs of each.
    """

    base: Literal["default"] | dict[str, Any] = "default"
    named: Literal["paper"] | dict[str, dict[str, Any]] = Field(default={})
    seeds: int = Field(default=5, ge=2, le=1000)

    @field_validator("base", mode="before")
    @classmethod
    def _base_kind(cls, value: Any) -> Any:
        if value == "default" or isinstance(value, Mapping):
            return value
        raise ValueError(
            f"{shown(value)} is no base: take default, or a mapping from keys to values"
        )

    @field_validator("named", mode="before")
    @classmethod
    def _named_kind(cls, value: Any) -> Any:
        if value == PAPER:
            return value
        if not isinstance(value, Mapping):
            raise ValueError(
                f"{shown(value)} is no set of ablations: take paper, or name some, as in "
                "{no_ema: {train.ema: null}}"
            )
        for name, changes in value.items():
            if not isinstance(name, str):
                raise ValueError(f"{shown(name)} is no name: put it in quotes")
            if not isinstance(changes, Mapping):
                raise ValueError(
                    f"{name}: {shown(changes)} must be a mapping from keys to values, as in "
                    "{train.ema: null}"
                )
        return value


def parse_ablations(value: Any) -> Any:
    """A set's name as a section, for the schema; `named` has its old name too."""
    if isinstance(value, str):
        return {"named": value}
    if isinstance(value, Mapping) and OLD_NAMED in value and "named" not in value:
        return {"named" if key == OLD_NAMED else key: child for key, child in value.items()}
    return value


def paper_ablations(tree: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The ablations of the TRM paper (arXiv 2510.04871, tables 1 and 2), and every curriculum.

    Args:
        tree: the base, every default written out.
    """
    from curricula.published import CURRICULA

    model = tree["model"]
    H, L = model["H_cycles"], model["L_cycles"]
    other = "attention" if model["mixer"] == "mlp_t" else "mlp_t"
    found: dict[str, dict[str, Any]] = {
        "no_ema": {"train.ema": None},
        "softmax": {"loss.loss_type": "softmax_cross_entropy"},
        "act_continue": {"model.no_ACT_continue": False},
        other: {"model.mixer": other, "model.pos_encodings": None},
        "two_networks": {"model.separate_networks": True},
        "one_step_gradient": {"model.one_step_gradient": True},
        "no_carry": {"model.carry_latent": False},
        "one_supervision_step": {"model.halt_max_steps": 1},
        "depth_halved": {"model.H_cycles": -(-H // 2), "model.L_cycles": -(-L // 2)},
        "twice_the_layers": {
            "model.L_layers": 2 * model["L_layers"], "model.L_cycles": -(-L // 2)
        },
    }  # fmt: skip
    kinds = [name for name in CURRICULA if name not in ("none", "custom")]
    return {**found, **{name: {"curriculum": {"name": name}} for name in kinds}}
