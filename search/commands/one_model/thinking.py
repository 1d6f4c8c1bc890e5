"""Options of `trm eval` and `trm solve` that say how deep, how wide and how long a model thinks."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from search.commands.options import positive
from trm.errors import UserError

if TYPE_CHECKING:
    from trm.learning.halting import HaltingRule
    from trm.solver import Solver
    from trm.thought.config import NoiseConfig

PICK_NAMES = ("q", "best_q", "residual", "vote", "verifier")
_STATES = ("z_H", "z_L", "start")
MOST = 10_000
"""Depth and breadth that are evaluated; beyond, no evaluation ends."""


def add_thinking(parser: argparse.ArgumentParser, *, several: bool) -> None:
    """`--depth`, `--breadth`, `--noise`, `--pick`, `--halt` and `--seed`.

    Args:
        several: whether depths, breadths and selectors are lists.
    """
    many = ",..." if several else ""
    parser.add_argument(
        "--depth", type=_all_of if several else _much, metavar=f"D{many}",
        help="so many times the supervision steps of training (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--breadth", type=_all_of if several else _much, metavar=f"K{many}",
        help="so many rollouts a puzzle, all but the first with noise (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--noise", type=_noise, metavar="SIGMA",
        help="standard deviation of that noise on z_L before each step, or of each: "
        "z_L=0.2,z_H=0.1,start=1 (start: on both states before the first; default: 0.2)",
    )  # fmt: skip
    parser.add_argument(
        "--pick", type=_picks if several else _pick, metavar=f"NAME{many}",
        help="whose answer counts: q, the rollout with the highest halting logit at its end; "
        "best_q, of all steps too; residual, the one that moves least; vote; verifier, the first "
        "that passes the rules (default: best_q"
        + (", and the others beside it)" if several else ")"),
    )  # fmt: skip
    parser.add_argument(
        "--halt", metavar="RULE",
        help="stop by a halting rule: its name, `config` for the model's own, or a mapping as in "
        "'{name: threshold, eval_threshold: 0.9}'",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=_natural, default=0, metavar="N", help="of the noise (default: 0)"
    )


def require_noise(breadth: int, noise: NoiseConfig | None, solver: Solver) -> None:
    """
    Raises:
        UserError: there are several rollouts, and nothing by which they would differ.
    """
    silent = noise is not None and noise.silent and solver.model.config.initial_state != "random"
    if breadth > 1 and silent:
        raise UserError("--noise", "0", f"makes {breadth} rollouts the same: raise it")


@dataclass(frozen=True)
class Halt:
    """A rule to stop by, and what to call it.

    Attributes:
        rule: None stops nowhere.
        name: of the rule, with its settings where the user gave them.
    """

    rule: HaltingRule | None = None
    name: str = field(default="")


def halt_of(text: str | None, solver: Solver) -> Halt:
    """The rule that `--halt` names; its plug-in has come with the model.

    Raises:
        UserError: there is no such rule, or its keys are wrong.
    """
    from pydantic import create_model

    from curricula.component import Component
    from trm.files.yaml12 import parse_yaml
    from trm.learning.halting import AnyHalting
    from trm.validation import validate

    if text is None:
        return Halt()
    if text == "config":
        own = solver.head.config.halting
        return Halt(own, own.name)
    tree: Any = {"name": text}
    if text.lstrip().startswith("{"):
        tree = parse_yaml(text, "--halt")
    section = create_model("Section", __base__=Component, halting=(AnyHalting, ...))
    try:
        rule = validate(section, {"halting": tree}).halting  # type: ignore[attr-defined]
    except UserError as error:
        raise UserError(f"--halt: {error}") from error
    return Halt(rule, text)


def _much(text: str) -> int:
    if (found := positive(text)) > MOST:
        raise argparse.ArgumentTypeError(
            f"{text!r} must be at most {MOST:,}: each is a forward pass of every puzzle"
        )
    return found


def _all_of(text: str) -> list[int]:
    return sorted({_much(part.strip()) for part in text.split(",")})


def _natural(text: str) -> int:
    return 0 if text == "0" else positive(text)


def _pick(text: str) -> str:
    if text not in PICK_NAMES:
        raise argparse.ArgumentTypeError(f"{text!r} must be one of {', '.join(PICK_NAMES)}")
    return text


def _picks(text: str) -> list[str]:
    return list(dict.fromkeys(_pick(part.strip()) for part in text.split(",")))


def _noise(text: str) -> NoiseConfig:
    from trm.thought.config import NoiseConfig
    from trm.validation import validate

    values: Mapping[str, Any]
    try:
        if "=" in text:
            pairs = [part.partition("=") for part in text.split(",")]
            values = {name.strip(): float(value) for name, _, value in pairs}
            if len(values) < len(pairs):
                raise argparse.ArgumentTypeError(f"{text!r} names one of them twice")
        else:
            values = {"z_L": float(text)}
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} must be a number, or numbers for some of {', '.join(_STATES)}, as in "
            "z_L=0.2,start=1"
        ) from None
    try:
        return validate(NoiseConfig, values)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
