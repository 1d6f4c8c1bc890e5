"""What a million puzzle identifiers cost a training step and its memory, beside a single one.

One supervision step with its optimiser step (hidden 64, batch 64, AdamW, clipped), identifiers
drawn at random: seconds in turns, medians. With one identifier the gradient is dense. Memory is
what the process holds more after the steps than before the model was made.
"""

from __future__ import annotations

import psutil
import torch

from tests.benchmarks.side_by_side import compare
from trm.learning.optimizers import AdamWConfig, clip_gradients
from trm.network.model import TRM, ModelConfig

MANY, BATCH, SEQ_LEN, STEPS, ROUNDS = 1_000_000, 64, 81, 5, 5


class Training:
    """A model and its optimisers; a call is so many steps."""

    def __init__(self, identifiers: int) -> None:
        self.identifiers = identifiers
        self.rng = torch.Generator().manual_seed(0)
        config = ModelConfig(
            hidden_size=64, num_heads=4, H_cycles=2, L_cycles=2, expansion=2.0, puzzle_emb_len=1
        )
        self.model = TRM(
            config, seq_len=SEQ_LEN, vocab_size=11, num_puzzle_identifiers=identifiers,
            generator=self.rng,
        )  # fmt: skip
        self.optimizers = AdamWConfig(grad_clip=1.0).build(self.model)

    def __call__(self) -> None:
        for _ in range(STEPS):
            inputs = torch.randint(11, (BATCH, SEQ_LEN), generator=self.rng)
            rows = torch.randint(self.identifiers, (BATCH,), generator=self.rng)
            self.optimizers.zero_grad()
            _, output = self.model(self.model.fresh_latent(BATCH), inputs, rows)
            output.logits.square().mean().backward()  # type: ignore[no-untyped-call]
            clip_gradients(self.model.parameters(), 1.0)
            self.optimizers.step()


def main() -> None:
    torch.set_num_threads(1)
    process = psutil.Process()
    Training(1)()  # what torch loads at its first step is of neither
    before = process.memory_info().rss
    many = Training(MANY)
    many()
    grown = process.memory_info().rss - before
    table = many.model.puzzle_emb
    assert table is not None
    held = table.numel() * table.element_size()
    mine, single = compare(many, Training(1), ROUNDS)
    print(
        f"{MANY:,} identifiers: {mine / STEPS * 1e3:.1f} ms a step, one: "
        f"{single / STEPS * 1e3:.1f} ms, ratio {mine / single:.2f}; memory +{grown / 1e6:.0f} MB, "
        f"the table is {held / 1e6:.0f} MB"
    )
