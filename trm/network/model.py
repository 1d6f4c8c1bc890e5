"""The Tiny Recursive Model: one small network that recurses on its own answer.

"Less is More: Recursive Reasoning with Tiny Networks" (arXiv 2510.04871), section 4; names and
numbers as in SamsungSAILMontreal/TinyRecursiveModels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trm.network.block import Block
from trm.network.fused.step import Fused
from trm.network.layers import CastedLinear, rms_norm, truncated_normal_
from trm.network.model_config import ModelConfig
from trm.network.noise import Noise
from trm.network.positions import POSITIONS, rotary_tables
from trm.network.room import least_weights, require_room
from trm.network.soundness import (
    require_sound_mixers,
    require_sound_rotation,
    require_sound_table,
)

__all__ = ["SPARSE_FROM", "TRM", "Latent", "ModelConfig", "Output"]

SPARSE_FROM = 1000
"""Puzzle identifiers from which on a batch uses few of their rows, and only these cost time."""
Q_HEAD_BIAS = -5.0
"""Initial halting logits: the model starts almost sure that it is not done."""


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
        residual: how far the step moved z_H and z_L, `[batch, 2]`, see `residual`; only for a
            halting rule that watches.
        recalled: each row's answers before this one, int32 `[batch, answers, seq_len]`, newest
            first, -1 where there was none; only for a halting rule that recalls.
        state: the next state with its gradient; not from the compiled library.
    """

    logits: Tensor
    q_halt: Tensor
    q_continue: Tensor
    residual: Tensor | None = field(default=None, kw_only=True)
    recalled: Tensor | None = field(default=None, kw_only=True)
    state: Latent | None = field(default=None, kw_only=True)


class TRM(nn.Module):
    """The model.

    Args:
        config: its sizes and depth.
        seq_len: positions of a puzzle.
        vocab_size: tokens.
        num_puzzle_identifiers: rows of the puzzle embedding.
        generator: a CPU generator for the initial weights.
        grid: rows and columns of a puzzle, for positions that ask; None is one row.
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
        grid: tuple[int, int] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        require_room(least_weights(config, seq_len, vocab_size, num_puzzle_identifiers))
        self.config = config
        self.dtype = dtype
        self.compiled: Callable[[TRM, Tensor, bool], Tensor] | None = None
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
            Block(config, name, positions, generator) for name in config.mixers
        )
        self.lm_head = CastedLinear(dim, vocab_size, generator)
        self.q_head = CastedLinear(dim, 2, generator, bias=True, std=0.0)
        assert self.q_head.bias is not None
        nn.init.constant_(self.q_head.bias, Q_HEAD_BIAS)
        start = (positions, dim) if config.initial_state == "random" else (dim,)
        for name in ("H_init", "L_init"):
            drawn = normal(*start, std=1.0)
            if config.initial_state == "learned":
                self.register_parameter(name, nn.Parameter(drawn))
            else:
                self.register_buffer(name, drawn)
        tables: tuple[Tensor | None, Tensor | None] = (None, None)
        if encoding.rotates:
            tables = rotary_tables(config, positions, grid or (1, seq_len))
            require_sound_rotation(config, tables, positions)
        self.register_buffer("cos", tables[0], persistent=False)
        self.register_buffer("sin", tables[1], persistent=False)
        self.positions = positions
        self.H_layers: nn.ModuleList | None = None
        if config.separate_networks:
            layers = (Block(config, name, positions, generator) for name in config.mixers)
            self.H_layers = nn.ModuleList(layers)
        gate = partial(config.state_transfer.build, dim, generator)
        self.gate, self.H_gate = gate(), gate() if config.separate_networks else None
        require_sound_mixers(self)

    @property
    def sparse_rows(self) -> bool:
        """Whether the puzzle embedding's gradient holds the batch's rows alone."""
        # Torch has no sparse tensors on Apple's GPUs.
        table = self.puzzle_emb
        return table is not None and len(table) > SPARSE_FROM and table.device.type != "mps"

    def fresh_latent(
        self, batch_size: int, noise: Noise | None = None, drafts: Tensor | None = None
    ) -> Latent:
        """The state before the first supervision step, for `batch_size` rows.

        Args:
            noise: what random initial states are drawn from, each row's its own; None: all rows
                have the one that was drawn with the weights.
            drafts: see `drafted`; None: they begin from nothing.
        """
        shape = (batch_size, self.positions, self.config.hidden_size)
        fresh = Latent(*(self._started(z.to(self.dtype).expand(shape), noise) for z in self._inits))
        return fresh if drafts is None else self.drafted(fresh, drafts)

    def drafted(self, latent: Latent, drafts: Tensor) -> Latent:
        """A state whose answer begins from a draft.

        In the paper z_H is the embedded answer (arXiv 2510.04871, section 4.2): here each cell's
        initial vector plus the draft's token, as large as an input's. It has no gradient.

        Args:
            latent: fresh.
            drafts: tokens `[batch, seq_len]`; a cell of `IGNORE` is left as it is.
        """
        said = (drafts >= 0)[..., None]
        with torch.no_grad():
            tokens = F.embedding(drafts.clamp(min=0), self.embed_tokens)
            added = torch.where(said, self.embed_scale * tokens, 0.0).to(latent.z_H.dtype)
        return Latent(latent.z_H + F.pad(added, (0, 0, self.prefix, 0)), latent.z_L)

    def reset(self, latent: Latent, rows: Tensor, noise: Noise | None = None) -> Latent:
        """The state with the given rows (bool `[batch]`) fresh again; `noise` as above."""
        chosen = rows[:, None, None]
        old = (latent.z_H, latent.z_L)
        fresh = [
            self._started(start.to(z.dtype).expand_as(z), noise)
            for start, z in zip(self._inits, old, strict=True)
        ]
        return Latent(*(torch.where(chosen, new, z) for new, z in zip(fresh, old, strict=True)))

    @property
    def _inits(self) -> tuple[Tensor, Tensor]:
        return self.H_init, self.L_init

    def _started(self, fixed: Tensor, noise: Noise | None) -> Tensor:
        if noise is None or self.config.initial_state != "random":
            return fixed
        return noise.truncated(fixed)

    def embed(self, inputs: Tensor, puzzle_identifiers: Tensor) -> Tensor:
        """Tokens `[batch, seq_len]` and identifiers `[batch]` as `[batch, positions, hidden]`."""
        x = F.embedding(inputs, self.embed_tokens)
        if self.puzzle_emb is not None:
            puzzle = F.embedding(puzzle_identifiers, self.puzzle_emb, sparse=self.sparse_rows)
            room = self.prefix * self.config.hidden_size
            puzzle = F.pad(puzzle, (0, room - puzzle.shape[-1]))
            # Not len(x): a number of rows that torch.export would take for the only one.
            x = torch.cat((puzzle.view(x.shape[0], self.prefix, -1), x), dim=1)
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
        noise: Noise | None = None,
    ) -> tuple[Latent, Output]:
        """One supervision step: recursion, with a gradient in the last H cycles, and both heads.

        Args:
            latent: the carried state.
            inputs: tokens `[batch, seq_len]`.
            puzzle_identifiers: `[batch]`.
            H_cycles: instead of the config's, as a depth curriculum has it.
            L_cycles: likewise.
            noise: what a step of training draws from, where the config has it draw; None: nothing
                is drawn.

        Returns:
            The next state, detached, and the step's output.
        """
        H = self.config.H_cycles if H_cycles is None else H_cycles
        L = self.config.L_cycles if L_cycles is None else L_cycles
        if not self.config.carry_latent:
            latent = self.fresh_latent(inputs.shape[0], noise)
        if self.fused is not None and self.fused.takes(self, latent, inputs):
            z_H, z_L, *said = self.fused(self, latent, inputs, puzzle_identifiers, H, L)
            return Latent(z_H, z_L), Output(*said)
        x = self.embed(inputs, puzzle_identifiers)
        z_H, z_L = latent.z_H, latent.z_L
        kept = self.config.cycles_with_gradient(H)
        if kept < H:
            with torch.no_grad():
                for _ in range(H - kept):
                    z_H, z_L = self._cycle(z_H, z_L, x, L, noise)
        if self.config.one_step_gradient:
            with torch.no_grad():
                for _ in range(L - 1):
                    z_L = self._recurse(z_L, z_H + x, noise)
            L = 1
        for _ in range(kept):
            z_H, z_L = self._cycle(z_H, z_L, x, L, noise)
        q = self.q_head(z_H[:, 0]).float()
        logits = self.lm_head(z_H[:, self.prefix :])
        output = Output(logits, q[:, 0], q[:, 1], state=Latent(z_H, z_L))
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

    def _cycle(
        self, z_H: Tensor, z_L: Tensor, x: Tensor, L_cycles: int, noise: Noise | None = None
    ) -> tuple[Tensor, Tensor]:
        injection = z_H + x
        for _ in range(L_cycles):
            z_L = self._recurse(z_L, injection, noise)
        return self._recurse(z_H, z_L, noise, answer=True), z_L

    def _recurse(
        self, state: Tensor, injection: Tensor, noise: Noise | None, answer: bool = False
    ) -> Tensor:
        # The sum stays outside of what is compiled: a state with a gradient and one without would
        # take a graph each.
        h = state + injection
        own = answer and self.config.separate_networks
        new = self.through_layers(h, own) if self.compiled is None else self.compiled(self, h, own)
        gate = self.H_gate if own else self.gate
        return self.config.state_transfer.carried(state, h, new, gate, noise)

    def through_layers(self, h: Tensor, answer: bool = False) -> Tensor:
        """The network itself: `[batch, positions, hidden]` to the same shape.

        Args:
            answer: the answer's own, where there is one.
        """
        rope = None
        if self.cos is not None and self.sin is not None:
            rope = (self.cos, self.sin)
        layers = self.H_layers if answer and self.H_layers is not None else self.layers
        for layer in layers:
            h = layer(h, rope)
        return rms_norm(h, self.config.rms_norm_eps) if self.config.norm == "pre" else h
