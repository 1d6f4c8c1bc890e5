"""The `model` section: a network's sizes, its parts and its depth."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from curricula.component import Component, NameIn, shown
from curricula.limits import MOST_CYCLES, MOST_SUPERVISION, MOST_UPDATES, MOST_WIDTH
from trm.network.mixers import MIXERS
from trm.network.positions import POSITIONS
from trm.network.transfer import AnyTransfer, ResidualTransfer


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
        mixer: how positions are mixed: `attention`; `linear_attention`, with a kernel in place of
            its softmax; `mlp_t`, a SwiGLU over the sequence axis; or `conv_swiglu`, over
            neighbours. A list names one for each layer, and begins again where there are more.
        mlp: how channels are mixed: a `swiglu`, or a `conv_swiglu` with a convolution over
            neighbouring positions in it (URM, arXiv 2512.14693).
        conv_kernel: positions that the convolution of a `conv_swiglu` looks at: 2 the one before,
            3 one to both sides.
        pos_encodings: `rope` turns by the place in the sequence, `rope_2d` half of a head by the
            row and half by the column of the task's grid; null is what the mixer has: `rope` for
            both attentions, else `none`.
        norm: `post` norms the sum of what a layer's parts are given and what they make of it, as
            the reference does; `pre` norms what they are given, and once more what the network
            gives, so that a state stays as large however deep the recursion is.
        separate_networks: whether the answer is updated by a network of its own, of the same size,
            as in the paper's ablation (82.4 against 87.4 on Sudoku).
        state_transfer: what is kept of a state in each update.
        initial_state: what a puzzle begins from: `fixed`, a vector drawn with the weights, as in
            the reference; `learned`, that vector trained; `random`, normal numbers anew for each
            puzzle and position in training (EqR, arXiv 2605.21488), in evaluation always the same.
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
        gradient_cycles: the last H cycles of a supervision step that the gradient goes through;
            null is all of them. Memory grows with it.
    """

    hidden_size: int = Field(default=512, ge=1, le=MOST_WIDTH)
    num_heads: int = Field(default=8, ge=1, le=MOST_WIDTH)
    L_layers: int = Field(default=2, ge=1, le=MOST_CYCLES)
    H_cycles: int = Field(default=3, ge=1, le=MOST_CYCLES)
    L_cycles: int = Field(default=6, ge=1, le=MOST_CYCLES)
    expansion: float = Field(default=4.0, gt=0.0, le=1_000.0)
    swiglu_multiple: int = Field(default=256, ge=1, le=MOST_WIDTH)
    mixer: Annotated[str | list[str], NameIn(MIXERS)] = "attention"
    mlp: Literal["swiglu", "conv_swiglu"] = "swiglu"
    conv_kernel: int = Field(default=2, ge=1, le=MOST_CYCLES)
    pos_encodings: Annotated[str, NameIn(POSITIONS)] | None = None
    norm: Literal["post", "pre"] = "post"
    separate_networks: bool = False
    state_transfer: AnyTransfer = ResidualTransfer()
    initial_state: Literal["fixed", "learned", "random"] = "fixed"
    rope_theta: float = Field(default=10_000.0, gt=0.0, allow_inf_nan=False)
    rms_norm_eps: float = Field(default=1e-5, gt=0.0, allow_inf_nan=False)
    puzzle_emb_ndim: int | None = Field(default=None, ge=0, le=2**24)
    puzzle_emb_len: int = Field(default=16, ge=0, le=MOST_WIDTH)
    halt_max_steps: int = Field(default=16, ge=1, le=MOST_SUPERVISION)
    halt_exploration_prob: float = Field(default=0.1, ge=0.0, le=1.0)
    no_ACT_continue: bool = True
    carry_latent: bool = True
    one_step_gradient: bool = False
    gradient_cycles: int | None = Field(default=1, ge=1, le=MOST_CYCLES)

    @model_validator(mode="after")
    def _fits(self) -> ModelConfig:
        self._require_mixing()
        self._require_gradient()
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
        if isinstance(self.mixer, list) and len(self.mixer) > self.L_layers:
            raise ValueError(
                f"mixer names {len(self.mixer)} layers, and L_layers is {self.L_layers}: name no "
                "more than there are"
            )
        encoding = POSITIONS.get(self.positions)
        if encoding is None or any(name not in MIXERS for name in self.mixers):
            return  # a plug-in's, in a run that is looked at without it
        mixers = [MIXERS[name] for name in dict.fromkeys(self.mixers)]
        if encoding.rotates and not any(mixer.rotates for mixer in mixers):
            raise ValueError(
                f"pos_encodings {self.positions!r} has no effect with mixer {shown(self.mixer)}: "
                "leave it out, or use none"
            )
        for mixer in mixers:
            mixer.check(self)

    def _require_gradient(self) -> None:
        if self.one_step_gradient and self.gradient_cycles != 1:
            raise ValueError(
                f"one_step_gradient keeps less than one H cycle, gradient_cycles "
                f"{shown(self.gradient_cycles)} keeps more: set one of them to its default"
            )
        whole = not self.one_step_gradient and self.cycles_with_gradient(self.H_cycles) == (
            self.H_cycles
        )
        if self.initial_state == "learned" and not whole:
            raise ValueError(
                "initial_state 'learned' needs the gradient of every H cycle: set gradient_cycles "
                "to null, or H_cycles to 1"
            )

    def cycles_with_gradient(self, H_cycles: int) -> int:
        """How many of so many H cycles the gradient goes through, the last ones."""
        kept = self.gradient_cycles
        return H_cycles if kept is None else min(kept, H_cycles)

    @property
    def draws(self) -> bool:
        """Whether the forward pass of training draws random numbers."""
        return self.initial_state == "random" or self.state_transfer.draws

    @property
    def positions(self) -> str:
        """`pos_encodings` with its default filled in."""
        if self.pos_encodings is not None:
            return self.pos_encodings
        kinds = [MIXERS[name] for name in self.mixers if name in MIXERS]
        rotating = [kind.pos_encodings for kind in kinds if kind.rotates]
        return next(iter(rotating or [kind.pos_encodings for kind in kinds]), "none")

    @property
    def mixers(self) -> tuple[str, ...]:
        """The mixer of each layer, by name."""
        names = [self.mixer] if isinstance(self.mixer, str) else self.mixer
        return tuple(names[layer % len(names)] for layer in range(self.L_layers))

    @property
    def embedding_dim(self) -> int:
        """`puzzle_emb_ndim` with its default filled in."""
        return self.hidden_size if self.puzzle_emb_ndim is None else self.puzzle_emb_ndim

    @property
    def prefix(self) -> int:
        """Positions before the puzzle's own, which hold the puzzle embedding."""
        return self.puzzle_emb_len or -(-self.embedding_dim // self.hidden_size)
