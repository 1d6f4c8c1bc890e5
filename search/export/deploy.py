"""A checkpoint as a folder that other programs run: graphs, and what one has to know of them.

step.onnx, think.onnx    format `onnx`: a supervision step, and the loop around it
step.pt2, think.pt2      format `torch`: the same, of `torch.export`
model.json               the task, its tokens, a puzzle with the checkpoint's answer, its steps of
                         training, the halting rule and threshold
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from search.export.onnx_int8 import Int8
from trm.errors import UserError

if TYPE_CHECKING:
    from trm.deployment.graphs import SupervisionStep
    from trm.learning.halting import HaltingRule
    from trm.solver import Solver
    from trm.tasks.base import Split

Format = Literal["onnx", "torch"]
Answers = Callable[["Split", int], NDArray[Any]]
"""Of what was written: answers `[n, seq_len]` to puzzles after so many steps."""
CHECKED = 64
"""Puzzles of `valid` on which what was written is held against the checkpoint."""


@dataclass(frozen=True)
class Deployed:
    """What was written.

    Attributes:
        files: each with its bytes.
        checked: puzzles that were answered by both.
        same: share of their cells that are answered alike after the last step.
        same_deeper: likewise at four times the steps.
        right: share of puzzles that the graph answers right, and the checkpoint, likewise deeper.
    """

    files: dict[str, int]
    checked: int
    same: float
    same_deeper: float
    right: tuple[float, float, float, float]

    def lines(self, out: Path) -> list[str]:
        """For the user, a line each."""
        sizes = ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in self.files.items())
        graph, own, graph4, own4 = self.right
        return [
            f"{out}: {sizes}",
            f"  on {self.checked} puzzles of valid: {self.same:.4%} of the cells as the checkpoint "
            f"answers them, right {graph:.3f} (checkpoint {own:.3f})",
            f"  at 4 times the depth: {self.same_deeper:.4%}, right {graph4:.3f} ({own4:.3f})",
        ]


def deploy(
    solver: Solver,
    out: Path,
    format: Format,
    *,
    rule: HaltingRule | None = None,
    int8: Int8 | None = None,
) -> Deployed:
    """Write the folder `out`, then answer puzzles with what lies there.

    Args:
        rule: where a row stops; None is the config's own.
        int8: of the format `onnx`: how it is rounded; None is not at all.

    Raises:
        UserError: there is such a folder, it cannot be written, or packages are missing.
    """
    from trm.deployment.graphs import SupervisionStep

    if out.exists():
        raise UserError("--out", str(out), "is there already: name a new folder")
    if int8 is not None and format != "onnx":
        raise UserError("--int8", int8, "goes with --format onnx")
    if format == "onnx":
        from search.export.onnx_format import require_deploy

        require_deploy()
    try:
        out.mkdir(parents=True)
    except OSError as error:
        raise UserError("--out", str(out), f"cannot be made: {error.strerror}") from error
    step = SupervisionStep(solver.model.cpu(), rule or solver.head.config.halting)
    try:
        write = _write_onnx if format == "onnx" else _write_torch
        answers = write(step, solver.task.seq_len, out, int8)
        text = json.dumps(_described(solver, step, format, int8), indent=1, ensure_ascii=False)
        (out / "model.json").write_text(text + "\n", encoding="utf-8")
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    return _checked(solver, out, answers)


def _write_onnx(step: SupervisionStep, seq_len: int, out: Path, int8: Int8 | None) -> Answers:
    import onnx

    from search.export.onnx_format import loop_model, step_model
    from search.export.onnx_int8 import int8_model
    from search.export.onnx_run import Thinker

    model = step_model(step, seq_len)
    if int8 is not None:
        model = int8_model(model, int8)
    onnx.save(model, out / "step.onnx")
    onnx.save(loop_model(model), out / "think.onnx")
    thinker = Thinker(out / "think.onnx")

    def answers(split: Split, steps: int) -> NDArray[Any]:
        return thinker.think(split.inputs, split.puzzle_identifiers, steps).answers

    return answers


def _write_torch(step: SupervisionStep, seq_len: int, out: Path, int8: Int8 | None) -> Answers:
    import torch

    from trm.deployment.graphs import exported_step, exported_think, save_program

    program = exported_step(step, seq_len)
    save_program(program, out / "step.pt2")
    save_program(exported_think(step, program, seq_len), out / "think.pt2")
    think = torch.export.load(out / "think.pt2").module()

    def answers(split: Split, steps: int) -> NDArray[Any]:
        given = (
            torch.from_numpy(split.inputs).long(),
            torch.from_numpy(split.puzzle_identifiers).long(),
            torch.tensor(steps),
            torch.tensor(1.0),
        )
        with torch.no_grad():
            found: NDArray[Any] = think(*given)[0].numpy()
        return found

    return answers


def _described(
    solver: Solver, step: SupervisionStep, format: Format, int8: Int8 | None
) -> dict[str, Any]:
    """What a program has to know that uses the graphs."""
    from trm.learning.halting import logit_threshold

    head, task = solver.head, solver.task
    return {
        "format": format,
        "int8": int8,
        "task": head.config.tree()["task"],
        "cells": task.seq_len,
        "grid": list(task.grid_shape),
        "tokens": task.vocab_size,
        "symbols": task.symbols,
        "token_names": list(head.vocabulary),
        "example": _example(solver),
        "puzzle_identifiers": task.num_puzzle_identifiers,
        "steps": head.config.model.halt_max_steps,
        "halting": step.rule.model_dump(mode="json"),
        "parameters": sum(p.numel() for p in solver.model.parameters()),
        "trained_steps": head.values["counters"]["step"],
        "carried": list(step.carried),
        # A rule that is no threshold is on at any value below 1.
        "threshold": logit_threshold(step.rule) or 0.5,
    }


def _example(solver: Solver) -> dict[str, Any]:
    """A puzzle of `valid` as a person sees it and as tokens, and its answer at the trained depth.

    It shows what the tokens stand for, and tells a program whether it feeds a graph rightly.
    """
    split = solver.split("valid").take(slice(1))
    answers = solver.think(split, solver.head.config.model.halt_max_steps).answers[-1]
    return {
        "puzzle": solver.task.show(split.inputs[0]).splitlines(),
        "inputs": split.inputs[0].tolist(),
        "puzzle_identifier": int(split.puzzle_identifiers[0]),
        "answer": solver.task.show(answers[0]).splitlines(),
        "answers": answers[0].tolist(),
    }


def _checked(solver: Solver, out: Path, answers: Answers) -> Deployed:
    split, task = solver.split("valid").take(slice(CHECKED)), solver.task
    steps = solver.head.config.model.halt_max_steps
    own = solver.think(split, 4 * steps).answers
    ours, ours4 = own[steps - 1], own[-1]
    graph, graph4 = answers(split, steps), answers(split, 4 * steps)
    right = [
        float(task.right(split.inputs, split.labels, said.astype(np.int32)).mean())
        for said in (graph, ours, graph4, ours4)
    ]
    return Deployed(
        {path.name: path.stat().st_size for path in sorted(out.iterdir())},
        len(split),
        float((graph == ours).mean()),
        float((graph4 == ours4).mean()),
        (right[0], right[1], right[2], right[3]),
    )
