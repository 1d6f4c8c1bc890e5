"""A model's supervision step through the library, with gradients."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from curricula.component import shown
from trm.network.fused.library import LABEL, MEMORY, TOKEN, Gradients, StepCall, library
from trm.network.layers import Attention, SwiGLU
from trm.network.mixers import PositionsMLP
from trm.network.transfer import ResidualTransfer

if TYPE_CHECKING:
    from trm.network.model import TRM, Latent
    from trm.network.model_config import ModelConfig

MOST_CHANNELS, MOST_POSITIONS = 256, 1024
"""Sizes up to which it was measured to be the faster one (tests/benchmarks/step.py)."""
MOST_VOCAB = 4096
"""Tokens up to which each thread keeps a whole table of their gradients."""


def unfit(model: TRM) -> str:
    """Why a model's step cannot run so, in a few words; empty if it can."""
    from trm.network.block import Block
    from trm.network.model import TRM

    blocks = _blocks(model)
    if type(model) is not TRM or any(type(block) is not Block for block in blocks):
        return "a model of another kind"
    if any(type(getattr(b, b.mixing)) not in (Attention, PositionsMLP) for b in blocks):
        return f"a mixer of another kind ({', '.join(dict.fromkeys(model.config.mixers))})"
    if len({type(getattr(block, block.mixing)) for block in blocks}) > 1:
        return "mixers that differ by layer"
    if others := _others(model.config):
        return f"it does not compute model.{others[0]}"
    if model.config.hidden_size > MOST_CHANNELS or model.positions > MOST_POSITIONS:
        return f"wider than {MOST_CHANNELS} or longer than {MOST_POSITIONS}"
    if model.dtype != torch.float32:
        return f"{str(model.dtype).removeprefix('torch.')}, not float32"
    if model.H_init.device.type != "cpu":
        return f"on {model.H_init.device.type}, not on a CPU"
    return ""


def _others(config: ModelConfig) -> list[str]:
    """Settings of a config that the library does not know, each as `key: value`."""
    known = {
        "mlp": config.mlp == "swiglu",
        "norm": config.norm == "post",
        "separate_networks": not config.separate_networks,
        "state_transfer": type(config.state_transfer) is ResidualTransfer,
        "initial_state": config.initial_state != "learned",
        "gradient_cycles": config.gradient_cycles == 1,
    }
    tree = config.model_dump(mode="json")
    return [f"{key}: {shown(tree[key])}" for key, here in known.items() if not here]


def use_fused(model: TRM) -> None:
    """Make a model take its supervision steps through the library, from the next on.

    Raises:
        NoLibraryError: there is none here.
    """
    library()
    model.fused = Fused()


@dataclass
class Fused:
    """What stands in for a model's supervision step where it `takes` it.

    Attributes:
        spare: rooms of steps whose backward pass is done: fresh memory costs more than to use it.
    """

    spare: list[Tensor] = field(default_factory=list)

    def __getstate__(self) -> dict[str, Any]:
        return {"spare": []}

    def takes(self, model: TRM, latent: Latent, inputs: Tensor) -> bool:
        """Whether it computes this step, or leaves it to the layers."""
        states = (latent.z_H, latent.z_L)
        if torch.compiler.is_compiling() or torch._C._get_tracing_state() or not len(inputs):
            return False
        if any(z.dtype != torch.float32 or z.device.type != "cpu" for z in states):
            return False
        # The gradient to a state ends at the last cycle in training; whoever asks for more of it
        # has the layers.
        if torch.is_grad_enabled() and any(z.requires_grad for z in states):
            return False
        return all(
            w.dtype == torch.float32 and w.device.type == "cpu" and w.is_contiguous()
            for w in parameters(model)
        )

    def __call__(
        self, model: TRM, latent: Latent, inputs: Tensor, puzzles: Tensor, H: int, L: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """New z_H and z_L, both without a gradient, then logits, q_halt and q_continue."""
        task, constants, puzzle, x = call(model, latent, inputs, puzzles, H, L)
        # Asked here: within the function gradients are off, and weights still say they want them.
        keeps = torch.is_grad_enabled()
        z_H, z_L, logits, q = _Step.apply(  # type: ignore[no-untyped-call]
            self, keeps, task, constants, puzzle, x, *parameters(model)
        )
        return z_H, z_L, logits, q[:, 0], q[:, 1]


def call(
    model: TRM, latent: Latent, inputs: Tensor, puzzles: Tensor, H: int, L: int
) -> tuple[StepCall, tuple[Any, ...], Tensor | None, Tensor | None]:
    """The call without its addresses, what has no gradient, and what was embedded and has one."""
    config = model.config
    x = puzzle = tokens = None
    if embeds(model):
        tokens = inputs.to(torch.int32).contiguous()
        if model.puzzle_emb is not None:
            puzzle = F.embedding(puzzles, model.puzzle_emb, sparse=model.sparse_rows)
    else:
        x = model.embed(inputs, puzzles).contiguous()
    block = _blocks(model)[0]
    mixing = getattr(block, block.mixing)
    task = StepCall(
        rows=len(inputs),
        positions=model.positions,
        channels=config.hidden_size,
        layers=len(model.layers),
        inner=block.mlp.down_proj.weight.shape[1],
        mixing=mixing.down_proj.weight.shape[1] if isinstance(mixing, SwiGLU) else 0,
        heads=config.num_heads,
        H_cycles=H,
        L_cycles=L,
        L_kept=1 if config.one_step_gradient else L,
        threads=torch.get_num_threads(),
        prefix=model.prefix,
        vocab=model.lm_head.weight.shape[0],
        puzzle=0 if puzzle is None else puzzle.shape[1],
        eps=config.rms_norm_eps,
        scale=model.embed_scale,
    )
    constants = (model.cos, model.sin, tokens, latent.z_H.contiguous(), latent.z_L.contiguous())
    return task, constants, puzzle, x


def embeds(model: TRM) -> bool:
    """Whether the library looks up the embeddings too."""
    return model.embed_pos is None and len(model.embed_tokens) <= MOST_VOCAB


def _blocks(model: TRM) -> list[Any]:
    return list(model.layers)


def parameters(model: TRM) -> list[Tensor]:
    """Tokens, both heads, then of each layer what mixes positions and the SwiGLU."""
    bias = model.q_head.bias
    assert bias is not None
    found: list[Tensor] = [model.embed_tokens, model.lm_head.weight, model.q_head.weight, bias]
    for block in _blocks(model):
        for part in (getattr(block, block.mixing), block.mlp):
            if isinstance(part, Attention):
                found += [part.qkv_proj.weight, part.o_proj.weight]
            else:
                found += [part.gate_up_proj.weight, part.down_proj.weight]
    return found


def address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _list(tensors: list[Tensor]) -> Any:
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


def point(
    task: StepCall, constants: tuple[Any, ...], puzzle: Any, x: Any, weights: list[Tensor]
) -> Any:
    """Fill in the task's addresses; what comes back must outlive the call."""
    layers = _list(weights[4:])
    task.weights = ctypes.cast(layers, ctypes.c_void_p)
    task.cosines, task.sines, task.tokens = (address(each) for each in constants[:3])
    task.table, task.lm_head, task.q_head, task.q_bias = (address(each) for each in weights[:4])
    task.puzzles, task.x = address(puzzle), address(x)
    return layers


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        fused: Fused,
        keeps: bool,
        task: StepCall,
        constants: tuple[Any, ...],
        puzzle: Tensor | None,
        x: Tensor | None,
        *weights: Tensor,
    ) -> tuple[Tensor, ...]:
        *_, z_H, z_L = constants
        here = library()
        new_H, new_L = torch.empty_like(z_H), torch.empty_like(z_L)
        seq_len = task.positions - task.prefix
        logits = torch.empty(task.rows, seq_len, task.vocab)
        q = torch.empty(task.rows, 2)
        kept = None
        if keeps and any(ctx.needs_input_grad):
            kept = _room(fused, here.kept_size(ctypes.byref(task)))
        alive = point(task, constants, puzzle, x, list(weights))
        code = here.forward(
            ctypes.byref(task),
            *map(address, (z_H, z_L, new_H, new_L, logits, q, kept)),
        )
        del alive
        require(code)
        ctx.fused, ctx.task, ctx.constants, ctx.kept = fused, task, constants, kept
        ctx.save_for_backward(puzzle, x, *weights)
        ctx.mark_non_differentiable(new_H, new_L)
        ctx.set_materialize_grads(False)
        return new_H, new_L, logits, q

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        puzzle, x, *weights = ctx.saved_tensors
        if ctx.kept is None:
            raise RuntimeError("a supervision step is differentiated once: its room is used again")
        kept, ctx.kept = ctx.kept, None
        said = [None if g is None else g.contiguous() for g in gradients[2:]]
        d_puzzle, d_x = (None if each is None else torch.empty_like(each) for each in (puzzle, x))
        d_weights: list[Any] = [torch.empty_like(weight) for weight in weights]
        if x is not None:
            d_weights[0] = None
        alive = point(ctx.task, ctx.constants, puzzle, x, weights)
        to, layers = places(d_weights, d_puzzle, d_x)
        code = library().backward(
            ctypes.byref(ctx.task), *map(address, (kept, *said)), ctypes.byref(to)
        )
        del alive, layers
        require(code)
        ctx.fused.spare.append(kept)
        if said[0] is None:
            d_weights[1] = None
        if said[1] is None:
            d_weights[2] = d_weights[3] = None
        wanted = ctx.needs_input_grad[6:]
        d_weights = [each if asked else None for each, asked in zip(d_weights, wanted, strict=True)]
        return (None, None, None, None, d_puzzle, d_x, *d_weights)


def places(d_weights: list[Any], d_puzzle: Any, d_x: Any) -> tuple[Gradients, Any]:
    """Addresses of gradients, in the order of `parameters`; what comes beside must outlive them."""
    layers = _list(d_weights[4:])
    table, lm_head, q_head, q_bias = map(address, d_weights[:4])
    weights = ctypes.cast(layers, ctypes.c_void_p)
    return Gradients(
        weights, table, address(d_puzzle), address(d_x), lm_head, q_head, q_bias
    ), layers


def _room(fused: Fused, floats: int) -> Tensor:
    while fused.spare:
        room = fused.spare.pop()
        # One that is far too large is that of an evaluation or of a depth that is over.
        if floats <= len(room) <= 2 * floats:
            return room
    return torch.empty(floats)


def require(code: int) -> None:
    """Raise what one of the library's functions says went wrong.

    Raises:
        MemoryError: memory is short.
        IndexError: a token or a label that the vocabulary does not have.
    """
    if code == MEMORY:
        raise MemoryError("a supervision step's weights and rows do not fit into memory")
    if code == TOKEN:
        raise IndexError("index out of range: a token that the vocabulary does not have")
    if code == LABEL:
        raise IndexError("index out of range: a label that the vocabulary does not have")
