"""Checkpoints both ways between this project and a checkout of the reference, by the commands.

    python -m tests.benchmarks.reference_weights --reference PATH [--puzzles 200]

`github.com/SamsungSAILMontreal/TinyRecursiveModels`, at whatever commit the checkout has; it needs
`einops`. For every kind of model that the reference has:

their weights here: a model of the reference's own class with random weights, saved as its
`pretrain.py` saves, through `trm import`; both answer the same puzzles, all supervision steps.
our weights there: that checkpoint through `trm export --format reference-weights`, loaded as
`pretrain.py` loads (`assign=True`) into a new model of that class.

Tensors are compared bit by bit, answers by their tokens, logits by the largest difference; that
of our own float64 run from our float32 run says how much of it is rounding.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from search.cli import main as trm
from tests.benchmarks.reference_step import NoReferenceError, reference_modules
from tests.support.reference_arch import ARCH
from trm.files.yaml12 import dump_yaml, read_yaml
from trm.reference.weights import CHECKPOINT_PREFIX, WIDTH_MULTIPLE
from trm.solver import Solver, load
from trm.tasks.base import Split

TASK = {"name": "sudoku", "box": [2, 2], "train_examples": 400, "valid_examples": 200}
TASK |= {"test_examples": 200, "blanks": 8}
SIZES = {"seq_len": 16, "vocab_size": 6, "num_puzzle_identifiers": 1}
KINDS: dict[str, dict[str, Any]] = {
    "attention, rope": {},
    "attention, rope, theta 500, eps 1e-6": {"rope_theta": 500.0, "rms_norm_eps": 1e-6},
    "attention, learned positions": {"pos_encodings": "learned"},
    "attention, no positions": {"pos_encodings": "none"},
    "attention, no embedding": {"puzzle_emb_ndim": 0, "puzzle_emb_len": 0},
    "attention, embedding 100, shortest prefix": {"puzzle_emb_ndim": 100, "puzzle_emb_len": 0},
    "attention, one head, 4 layers, H1 L6": {
        "num_heads": 1, "L_layers": 4, "H_cycles": 1, "L_cycles": 6
    },
    "attention, expansion 2.5, continue head": {"expansion": 2.5, "no_ACT_continue": False},
    "mlp_t": {"mlp_t": True, "pos_encodings": "none"},
    "mlp_t, its default positions": {"mlp_t": True},
    "mlp_t, learned positions, prefix 1": {
        "mlp_t": True, "pos_encodings": "learned", "puzzle_emb_len": 1
    },
    "mlp_t, no embedding, H3 L4, 1 layer": {
        "mlp_t": True, "pos_encodings": "none", "puzzle_emb_ndim": 0, "puzzle_emb_len": 0,
        "H_cycles": 3, "L_cycles": 4, "L_layers": 1,
    },
}  # fmt: skip
TRAINED = (
    ("trained here, narrower, mlp_t", "mlp_t", "float32"),
    ("trained here, narrower, attention", "attention", "float32"),
    ("trained here, narrower, mlp_t", "mlp_t", "bfloat16"),
)
"""Models of ours whose SwiGLU is narrower than the reference's, and which know something."""


@dataclass(frozen=True)
class Said:
    """What a model says of some puzzles, step by step.

    Attributes:
        answers: `[T, n, seq_len]`.
        logits: `[T, n, seq_len, vocab]`, float64.
        q: halting logits `[T, n]`, float64.
        state: type of its answer state.
    """

    answers: Tensor
    logits: Tensor
    q: Tensor
    state: torch.dtype

    def apart(self, other: Said) -> float:
        """The largest difference of any logit."""
        return max(
            float((self.logits - other.logits).abs().max()), float((self.q - other.q).abs().max())
        )


@dataclass(frozen=True)
class Row:
    """One kind of model, both ways."""

    kind: str
    dtype: str
    here: str
    tensors: int
    equal: int
    answers_here: float
    apart_here: float
    rounding: float
    answers_there: float
    apart_there: float

    def line(self) -> str:
        """The row of a Markdown table."""
        return (
            f"| {self.kind} | {self.dtype} | {self.here} | {self.equal} of {self.tensors} | "
            f"{self.answers_here:.4f} | {self.apart_here:.1e} | {self.rounding:.1e} | "
            f"{self.answers_there:.4f} | {self.apart_there:.1e} |"
        )


HEAD = (
    "| kind | their states | here | tensors back, bit for bit | same cells here | logits apart | "
    "float64 from float32 | same cells there | logits apart |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


class Reference:
    """The classes of a checkout, as `pretrain.py` puts them together."""

    def __init__(self, checkout: Path) -> None:
        models, losses, _ = reference_modules(checkout, WIDTH_MULTIPLE)
        self._model, self._head = models.TinyRecursiveReasoningModel_ACTV1, losses.ACTLossHead

    def model(self, arch: dict[str, Any], seed: int, sizes: dict[str, int]) -> nn.Module:
        """A model in its loss head, no weight of which is 0."""
        torch.manual_seed(seed)
        values = arch | sizes | {"batch_size": 8}
        if values["puzzle_emb_ndim"] == "${.hidden_size}":
            values["puzzle_emb_ndim"] = values["hidden_size"]
        head: nn.Module = self._head(self._model(values), loss_type="stablemax_cross_entropy")
        with torch.no_grad():
            for name, tensor in head.state_dict().items():
                if name.endswith(("q_head.weight", "q_head.bias", "puzzle_emb.weights")):
                    tensor.normal_(std=0.5)
        return head.eval()

    @staticmethod
    def save(head: nn.Module, path: Path) -> None:
        """As from a compiled model."""
        torch.save({f"_orig_mod.{name}": t for name, t in head.state_dict().items()}, path)

    @staticmethod
    def load(head: nn.Module, path: Path) -> None:
        """As `load_checkpoint` does; a model that is not compiled has names without a prefix."""
        found = torch.load(path, weights_only=True)
        assert all(name.startswith(CHECKPOINT_PREFIX) for name in found)
        found = {name.removeprefix("_orig_mod."): tensor for name, tensor in found.items()}
        head.load_state_dict(found, assign=True)

    @staticmethod
    @torch.inference_mode()
    def said(head: nn.Module, split: Split, steps: int) -> Said:
        """What it says, as its evaluation asks it."""
        arrays = (split.inputs, split.labels, split.puzzle_identifiers)
        names = ("inputs", "labels", "puzzle_identifiers")
        batch = dict(zip(names, map(torch.from_numpy, arrays), strict=True))
        carry = head.initial_carry(batch)  # type: ignore[operator]
        logits, q = [], []
        for _ in range(steps):
            carry, _, _, outputs, _ = head(
                carry=carry, batch=batch, return_keys=["logits", "q_halt_logits"]
            )
            logits.append(outputs["logits"].double())
            q.append(outputs["q_halt_logits"].double())
        stacked = torch.stack(logits)
        return Said(stacked.argmax(-1), stacked, torch.stack(q), carry.inner_carry.z_H.dtype)


@torch.inference_mode()
def ours_said(solver: Solver, split: Split, dtype: torch.dtype | None = None) -> Said:
    """What our model says; with a type, computed in that."""
    model = solver.model
    if dtype is not None:
        model = model.to(dtype)
        model.dtype = dtype
    inputs = torch.from_numpy(split.inputs)
    identifiers = torch.from_numpy(split.puzzle_identifiers)
    latent, logits, q = model.fresh_latent(len(inputs)), [], []
    for _ in range(model.config.halt_max_steps):
        latent, output = model(latent, inputs, identifiers)
        logits.append(output.logits.double())
        q.append(output.q_halt.double())
    stacked = torch.stack(logits)
    return Said(stacked.argmax(-1), stacked, torch.stack(q), latent.z_H.dtype)


def both_ways(
    reference: Reference, kind: str, arch: dict[str, Any], folder: Path, puzzles: int, seed: int
) -> Row:
    """Their weights here, and back there."""
    theirs = reference.model(arch, seed, SIZES)
    theirs_file, arch_file, task_file = (folder / n for n in ("step_7", "arch.yaml", "task.yaml"))
    reference.save(theirs, theirs_file)
    arch_file.write_text(dump_yaml(arch))
    task_file.write_text(dump_yaml({"task": TASK}))
    out = folder / "ours"
    command("import", theirs_file, "--config", arch_file, "--task", task_file, "--out", out)
    return _compared(reference, kind, arch, SIZES, theirs, theirs_file, out, puzzles)


def _compared(
    reference: Reference,
    kind: str,
    arch: dict[str, Any],
    sizes: dict[str, int],
    theirs: nn.Module | None,
    theirs_file: Path | None,
    out: Path,
    puzzles: int,
) -> Row:
    solver = load(out, "cpu")
    split = solver.split("test").take(slice(puzzles))
    here = ours_said(solver, split)
    back = out.parent / "back"
    command("export", out, "--format", "reference-weights", "--out", back)
    again = reference.model(arch, 1, sizes)
    reference.load(again, back)
    steps = solver.head.config.model.halt_max_steps
    there = reference.said(again, split, steps)
    before = here if theirs is None else reference.said(theirs, split, steps)
    exact = ours_said(solver, split, torch.float64)
    stored = torch.load(back, weights_only=True)
    old = stored if theirs_file is None else torch.load(theirs_file, weights_only=True)
    same = [_same(stored.get(name), tensor) for name, tensor in old.items()]
    return Row(
        kind,
        str(there.state).removeprefix("torch."),
        str(here.state).removeprefix("torch."),
        len(old),
        sum(same) if theirs_file is not None else 0,
        float((here.answers == before.answers).double().mean()),
        here.apart(before),
        here.apart(exact),
        float((there.answers == before.answers).double().mean()),
        there.apart(before),
    )


def _same(one: Tensor | None, other: Tensor) -> bool:
    return one is not None and one.dtype == other.dtype and torch.equal(one, other)


def ours_there(
    reference: Reference, kind: str, mixer: str, precision: str, folder: Path, puzzles: int
) -> Row:
    """A model of ours that was trained here, whose SwiGLU is narrower than the reference's."""
    config: dict[str, Any] = {
        "task": TASK,
        "model": {
            "mixer": mixer, "hidden_size": 32, "num_heads": 2, "expansion": 1.0, "L_cycles": 2,
            "H_cycles": 2, "swiglu_multiple": 32, "puzzle_emb_len": 2, "halt_max_steps": 4,
        },
        "optimizer": {"name": "adamw", "lr": 3e-3, "lr_warmup_steps": 10},
        "train": {
            "batch_size": 64, "budget": {"steps": 100}, "reports": 1, "ema": None,
            "precision": precision,
        },
    }  # fmt: skip
    path, out = folder / "mine.yaml", folder / "ours"
    path.write_text(dump_yaml(config))
    command("train", path, "--out", out)
    command("export", out, "--format", "reference-weights", "--out", folder / "first")
    arch = read_yaml(folder / "first.yaml")
    return _compared(reference, kind, arch, SIZES, None, None, out, puzzles)


def command(*words: object) -> None:
    """Run `trm`; what it prints is shown where it fails."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = trm([str(word) for word in words])
    if code:
        raise SystemExit(f"trm {' '.join(map(str, words))}: {printed.getvalue()}")


def main(words: Sequence[str] | None = None) -> int:
    """Compare and print the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, prog="reference_weights")
    parser.add_argument("--reference", type=Path, required=True, metavar="PATH")
    parser.add_argument("--puzzles", type=int, default=200, metavar="N")
    args = parser.parse_args(words)
    try:
        reference = Reference(args.reference)
    except NoReferenceError as error:
        print(f"reference_weights: {error}", file=sys.stderr)
        return 2
    print(HEAD)
    for seed, (kind, changes) in enumerate(KINDS.items()):
        for dtype in ("float32", "bfloat16"):
            with TemporaryDirectory() as folder:
                arch = ARCH | changes | {"forward_dtype": dtype}
                row = both_ways(reference, kind, arch, Path(folder), args.puzzles, seed)
            print(row.line(), flush=True)
    for kind, mixer, dtype in TRAINED:
        with TemporaryDirectory() as folder:
            row = ours_there(reference, kind, mixer, dtype, Path(folder), args.puzzles)
        print(row.line(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
