"""The Tiny Recursive Model: one small network that recurses on its own answer.

"Less is More: Recursive Reasoning with Tiny Networks" (arXiv 2510.04871), section 4; names and
numbers as in SamsungSAILMontreal/TinyRecursiveModels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from curricula.component import Component, NameIn
from curricula.limits import MOST_CYCLES, MOST_SUPERVISION, MOST_UPDATES, MOST_WIDTH
from trm.network.fused.step import Fused
from trm.network.layers import CastedLinear, SwiGLU, rms_norm, truncated_normal_
from trm.network.mixers import MIXERS
from trm.network.positions import POSITIONS
from trm.network.room import least_weights, require_room
from trm.network.soundness import (
    require_sound_mixer,
    require_sound_rotation,
    require_sound_table,
)

SPARSE_FROM = 1000
"""Puzzle identifiers from which on a batch uses few of their rows, and only these cost time."""
Q_HEAD_BIAS = -5.0
"""Initial halting logits: the model starts almost sure that it is not done."""


class ModelConfig(Component):
    """The `model` section, in the reference's names with the reference's defaults.

    `carry_latent: false` and `one_step_gradient: true` take away what the paper shows to matter,
    for ablations.

    Attributes:
        hidden_size: width of every position's state.
        num_heads: attention heads.
        L_layers: layers of the network.
        H_cycles: updates of the answer in a supervision step, each after `L_cycles` of the
            latent.
        L_cycles: updates of the latent before each of the answer.
        expansion: width of the SwiGLU in multiples of `hidden_size`, times 2/3.
        swiglu_multiple: the SwiGLU's width is rounded up to a multiple of it.
        mixer: how positions are mixed: attention, or for `mlp_t` a SwiGLU over the sequence
            axis.
        pos_encodings: null is `rope` for attention and `none` for `mlp_t`.
        rope_theta: base of the rotary encodings' wavelengths.
        rms_norm_eps: what is added to the mean square before its root is divided by.
        puzzle_emb_ndim: size of the puzzle embedding; null is `hidden_size`, 0 means there is
            none.
        puzzle_emb_len: length of the prefix that holds the puzzle embedding; 0 is the shortest
            that does.
        halt_max_steps: supervision steps at most, and of every evaluation.
        halt_exploration_prob: chance, at each training step, that a row may not halt before a
            random step.
        no_ACT_continue: whether halting has no continue head (the Q-learning of HRM).
        carry_latent: whether a supervision step begins where the last one ended; false begins
            each, in training and in evaluation, from the initial state.
        one_step_gradient: whether the gradient is kept to the last update of z_L and of z_H, as
            HRM does (arXiv 2506.21734), instead of the whole last H cycle.
    """

    hidden_size: int = Field(default=512, ge=1, le=MOST_WIDTH)
    num_heads: int = Field(default=8, ge=1, le=MOST_WIDTH)
    L_layers: int = Field(default=2, ge=1, le=MOST_CYCLES)
    H_cycles: int = Field(default=3, ge=1, le=MOST_CYCLES)
    L_cycles: int = Field(default=6, ge=1, le=MOST_CYCLES)
    expansion: float = Field(default=4.0, gt=0.0, le=1_000.0)
    swiglu_multiple: int = Field(default=256, ge=1, le=MOST_WIDTH)
    mixer: Annotated[str, NameIn(MIXERS)] = "attention"
    pos_encodings: Annotated[str, NameIn(POSITIONS)] | None = None
    rope_theta: float = Field(default=10_000.0, gt=0.0, allow_inf_nan=False)
    rms_norm_eps: float = Field(default=1e-5, gt=0.0, allow_inf_nan=False)
    puzzle_emb_ndim: int | None = Field(default=None, ge=0, le=2**24)
    puzzle_emb_len: int = Field(default=16, ge=0, le=MOST_WIDTH)
    halt_max_steps: int = Field(default=16, ge=1, le=MOST_SUPERVISION)
    halt_exploration_prob: float = Field(default=0.1, ge=0.0, le=1.0)
    no_ACT_continue: bool = True
    carry_latent: bool = True
    one_step_gradient: bool = False

    @model_validator(mode="after")
    def _fits(self) -> ModelConfig:
        self._require_mixing()
        if self.H_cycles * (self.L_cycles + 1) > MOST_UPDATES:
            raise ValueError(
                f"H_cycles {self.H_cycles} with L_cycles {self.L_cycles} are more than "
                f"{MOST_UPDATES:,} updates of the state in a supervision step: lower one of them"
            )
        if self.embedding_dim > self.prefix * self.hidden_size:
            raise ValueError(
                f"puzzle_emb_ndim {self.embedding_dim} does not fit into puzzle_emb_len "
                f"{self.prefix} x hidden_size {self.hidden_size}"
            )
        if not self.embedding_dim and self.puzzle_emb_len:
            raise ValueError("puzzle_emb_ndim 0 needs puzzle_emb_len 0: there is no prefix then")
        return self

    def _require_mixing(self) -> None:
        mixer, encoding = MIXERS.get(self.mixer), POSITIONS.get(self.positions)
        if mixer is None or encoding is None:
            return  # a plug-in's, in a run that is looked at without it
        if encoding.rotated is not None and not mixer.rotates:
            raise ValueError(
                f"pos_encodings {self.positions!r} has no effect with mixer {self.mixer!r}: leave "
                "it out, or use none"
            )
        mixer.check(self)

    @property
    def positions(self) -> str:
        """`pos_encodings` with its default filled in."""
        if self.pos_encodings is not None:
            return self.pos_encodings
        return MIXERS[self.mixer].pos_encodings if self.mixer in MIXERS else "none"

    @property
    def embedding_dim(self) -> int:
        """`puzzle_emb_ndim` with its default filled in."""
        return self.hidden_size if self.puzzle_emb_ndim is None else self.puzzle_emb_ndim

    @property
    def prefix(self) -> int:
        """Positions before the puzzle's own, which hold the puzzle embedding."""
        return self.puzzle_emb_len or -(-self.embedding_dim // self.hidden_size)


@dataclass
class Latent:
    """The state that is carried between supervision steps.

    Attributes:
        z_H: the answer (the paper's y), `[batch, prefix + seq_len, hidden]`.
        z_L: the latent (the paper's z), the same shape.
    """

    z_H: Tensor
    z_L: Tensor


@dataclass
class Output:
    """What one supervision step says.

    Attributes:
        logits: `[batch, seq_len, vocab]`, in the forward pass's type.
        q_halt: halting logits `[batch]`, float32.
        q_continue: continue logits `[batch]`, float32.
    """

    logits: Tensor
    q_halt: Tensor
    q_continue: Tensor


class Block(nn.Module):
    """Mix positions, then channels, each with a post-norm residual."""

    def __init__(self, config: ModelConfig, positions: int, generator: torch.Generator) -> None:
        super().__init__()
        self.eps = config.rms_norm_eps
        mixer = MIXERS[config.mixer]
        self.mixing, self.turned = mixer.attribute, mixer.turned
        self.add_module(self.mixing, mixer.build(config, positions, generator))
        self.mlp = SwiGLU(config.hidden_size, config.expansion, config.swiglu_multiple, generator)

    def forward(self, h: Tensor, rope: tuple[Tensor, Tensor] | None) -> Tensor:
        mix = getattr(self, self.mixing)
        if self.turned:
            # As in the reference, this norm runs over the sequence axis.
            turned = h.transpose(1, 2)
            h = rms_norm(turned + mix(turned, rope), self.eps).transpose(1, 2)
        else:
            h = rms_norm(h + mix(h, rope), self.eps)
        return rms_norm(h + self.mlp(h), self.eps)


class TRM(nn.Module):
    """The model.

    Args:
        config: its sizes and depth.
        seq_len: positions of a puzzle.
        vocab_size: tokens.
        num_puzzle_identifiers: rows of the puzzle embedding.
        generator: a CPU generator for the initial weights.
        dtype: type of the forward pass; parameters stay float32.

    Raises:
        UserError: its weights do not fit into this machine.

    Attributes:
        compiled: what stands in for `through_layers`; None is the method itself.
        fused: what stands in for a whole supervision step where it can; None is nothing.
    """

    embed_pos: Tensor | None
    cos: Tensor | None
    sin: Tensor | None
    H_init: Tensor
    L_init: Tensor

    def __init__(
        self,
        config: ModelConfig,
        *,
        seq_len: int,
        vocab_size: int,
        num_puzzle_identifiers: int = 1,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        require_room(least_weights(config, seq_len, vocab_size, num_puzzle_identifiers))
        self.config = config
        self.dtype = dtype
        self.compiled: Callable[[TRM, Tensor], Tensor] | None = None
        self.fused: Fused | None = None
        dim, self.prefix = config.hidden_size, config.prefix
        positions = self.prefix + seq_len
        scale = 1.0 / math.sqrt(dim)
        self.embed_scale = math.sqrt(dim)

        def normal(*shape: int, std: float) -> Tensor:
            return truncated_normal_(torch.empty(*shape), std, generator)

        self.embed_tokens = nn.Parameter(normal(vocab_size, dim, std=scale))
        self.puzzle_emb = (
            nn.Parameter(torch.zeros(num_puzzle_identifiers, config.embedding_dim))
            if config.embedding_dim
            else None
        )
        encoding = POSITIONS[config.positions]
        table = encoding.added and encoding.added(config, positions, generator)
        if table is not None:
            require_sound_table(config, table, positions)
        if table is None or encoding.trained:
            self.embed_pos = None if table is None else nn.Parameter(table)
        else:
            self.register_buffer("embed_pos", table, persistent=False)
        self.layers = nn.ModuleList(
            Block(config, positions, generator) for _ in range(config.L_layers)
        )
        self.lm_head = CastedLinear(dim, vocab_size, generator)
        self.q_head = CastedLinear(dim, 2, generator, bias=True, std=0.0)
        assert self.q_head.bias is not None
        nn.init.constant_(self.q_head.bias, Q_HEAD_BIAS)
        self.register_buffer("H_init", normal(dim, std=1.0))
        self.register_buffer("L_init", normal(dim, std=1.0))
        tables: tuple[Tensor | None, Tensor | None] = (None, None)
        if encoding.rotated is not None:
            tables = encoding.rotated(config, positions)
            require_sound_rotation(config, tables, positions)
        self.register_buffer("cos", tables[0], persistent=False)
        self.register_buffer("sin", tables[1], persistent=False)
        self.positions = positions
        require_sound_mixer(self)

    @property
    def sparse_rows(self) -> bool:
        """Whether the puzzle embedding's gradient holds the batch's rows alone."""
        # Torch has no sparse tensors on Apple's GPUs.
        table = self.puzzle_emb
        return table is not None and len(table) > SPARSE_FROM and table.device.type != "mps"

    def fresh_latent(self, batch_size: int) -> Latent:
        """The state before the first supervision step, for `batch_size` rows."""
        shape = (batch_size, self.positions, -1)
        return Latent(
            self.H_init.to(self.dtype).expand(shape), self.L_init.to(self.dtype).expand(shape)
        )

    def reset(self, latent: Latent, rows: Tensor) -> Latent:
        """The state with the given rows (bool `[batch]`) fresh again."""
        chosen = rows[:, None, None]
        return Latent(
            torch.where(chosen, self.H_init.to(latent.z_H.dtype), latent.z_H),
            torch.where(chosen, self.L_init.to(latent.z_L.dtype), latent.z_L),
        )

    def embed(self, inputs: Tensor, puzzle_identifiers: Tensor) -> Tensor:
        """Tokens `[batch, seq_len]` and identifiers `[batch]` as `[batch, positions, hidden]`."""
        x = F.embedding(inputs, self.embed_tokens)
        if self.puzzle_emb is not None:
            puzzle = F.embedding(puzzle_identifiers, self.puzzle_emb, sparse=self.sparse_rows)
            room = self.prefix * self.config.hidden_size
            puzzle = F.pad(puzzle, (0, room - puzzle.shape[-1]))
            x = torch.cat((puzzle.view(len(x), self.prefix, -1), x), dim=1)
        if self.embed_pos is not None:
            x = math.sqrt(0.5) * (x + self.embed_pos)
        return (self.embed_scale * x).to(self.dtype)

    def forward(
        self,
        latent: Latent,
        inputs: Tensor,
        puzzle_identifiers: Tensor,
        *,
        H_cycles: int | None = None,
        L_cycles: int | None = None,
    ) -> tuple[Latent, Output]:
        """One supervision step: recursion, with a gradient in the last H cycle, and both heads.

        Args:
            latent: the carried state.
            inputs: tokens `[batch, seq_len]`.
            puzzle_identifiers: `[batch]`.
            H_cycles: instead of the config's, as a depth curriculum has it.
            L_cycles: likewise.

        Returns:
            The next state, detached, and the step's output.
        """
        H = self.config.H_cycles if H_cycles is None else H_cycles
        L = self.config.L_cycles if L_cycles is None else L_cycles
        if not self.config.carry_latent:
            latent = self.fresh_latent(len(inputs))
        if self.fused is not None and self.fused.takes(self, latent, inputs):
            z_H, z_L, *said = self.fused(self, latent, inputs, puzzle_identifiers, H, L)
            return Latent(z_H, z_L), Output(*said)
        x = self.embed(inputs, puzzle_identifiers)
        z_H, z_L = latent.z_H, latent.z_L
        if H > 1:
            with torch.no_grad():
                for _ in range(H - 1):
                    z_H, z_L = self._cycle(z_H, z_L, x, L)
        if self.config.one_step_gradient:
            with torch.no_grad():
                for _ in range(L - 1):
                    z_L = self._recurse(z_L, z_H + x)
            L = 1
        z_H, z_L = self._cycle(z_H, z_L, x, L)
        q = self.q_head(z_H[:, 0]).float()
        output = Output(self.lm_head(z_H[:, self.prefix :]), q[:, 0], q[:, 1])
        return Latent(z_H.detach(), z_L.detach()), output

    def transition(self, latent: Latent, x: Tensor) -> Latent:
        """One supervision step's map of the state alone, at full depth, differentiable in it.

        Args:
            latent: the state.
            x: embedded inputs, `[batch, positions, hidden]`, in the type to compute in.
        """
        z_H, z_L = latent.z_H, latent.z_L
        for _ in range(self.config.H_cycles):
            z_H, z_L = self._cycle(z_H, z_L, x, self.config.L_cycles)
        return Latent(z_H, z_L)

    def _cycle(self, z_H: Tensor, z_L: Tensor, x: Tensor, L_cycles: int) -> tuple[Tensor, Tensor]:
        injection = z_H + x
        for _ in range(L_cycles):
            z_L = self._recurse(z_L, injection)
        return self._recurse(z_H, z_L), z_L

    def _recurse(self, state: Tensor, injection: Tensor) -> Tensor:
        # The sum stays outside of what is compiled: a state with a gradient and one without would
        # take a graph each.
        h = state + injection
        return self.through_layers(h) if self.compiled is None else self.compiled(self, h)

    def through_layers(self, h: Tensor) -> Tensor:
        """The network itself: `[batch, positions, hidden]` to the same shape."""
        rope = None
        if self.cos is not None and self.sin is not None:
            rope = (self.cos, self.sin)
        for layer in self.layers:
            h = layer(h, rope)
        return h
