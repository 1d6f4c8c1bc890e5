"""A recording holds what shallower and narrower passes would say; noise is what it is called."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from trm.evaluation import solve
from trm.learning.halting import HaltingConfig, HaltingRule
from trm.network.model import TRM, Latent, ModelConfig, Output
from trm.tasks.arrows import ArrowsConfig
from trm.tasks.base import Split, Task
from trm.thought.config import NoiseConfig
from trm.thought.noise import noise_streams, with_noise
from trm.thought.rollouts import Rollouts, record

CPU = torch.device("cpu")
LOUD = NoiseConfig(z_L=0.5)


@pytest.fixture(scope="module")
def task() -> Task:
    return ArrowsConfig(
        size=3, visited=[2, 4], train_examples=64, valid_examples=12, test_examples=6
    ).build()


@pytest.fixture(scope="module")
def model(task: Task) -> TRM:
    """An untrained model whose answers and logits differ from step to step."""
    config = ModelConfig(
        mixer="mlp_t", hidden_size=16, num_heads=2, L_layers=1, H_cycles=1, L_cycles=1,
        expansion=1.0, swiglu_multiple=16, puzzle_emb_len=1, halt_max_steps=2,
    )  # fmt: skip
    made = TRM(
        config, seq_len=task.seq_len, vocab_size=task.vocab_size,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    with torch.no_grad():
        made.q_head.weight.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
        made.q_head.bias.zero_()
    return made.eval()


def run(
    model: TRM, task: Task, steps: list[int], *, noise: NoiseConfig = LOUD, seed: int = 0,
    batch_size: int = 5, halting: HaltingRule | None = None, keep: bool = False,
) -> Rollouts:  # fmt: skip
    return record(
        model, task, task.split("valid"), steps, noise=noise, batch_size=batch_size, device=CPU,
        seed=seed, halting=halting, keep=keep,
    )  # fmt: skip


def test_the_first_rollout_is_the_model_as_it_is(model: TRM, task: Task) -> None:
    split = task.split("valid")
    expected = solve(model, split, steps=6, batch_size=5, device=CPU)
    recording = run(model, task, [6, 6, 3], keep=True)
    first = recording.rollouts[0]
    np.testing.assert_allclose(first.q, expected.q_halt, rtol=1e-5, atol=1e-6)
    for step in range(6):
        said = [recording.answers[i][first.answer[step, i]] for i in range(len(split))]
        assert np.array_equal(np.stack(said), expected.answers[step])
        right = task.right(split.inputs, split.labels, expected.answers[step])
        assert first.right[step].tolist() == right.tolist()
        valid = task.verify(split.inputs, expected.answers[step])
        assert first.valid[step].tolist() == valid.tolist()


def test_residuals_are_those_of_the_answer_state(model: TRM, task: Task) -> None:
    split = task.split("valid")
    inputs = torch.from_numpy(split.inputs)
    identifiers = torch.from_numpy(split.puzzle_identifiers)
    found = run(model, task, [3], noise=NoiseConfig()).rollouts[0].residual
    latent = model.fresh_latent(len(split))
    for step in range(3):
        with torch.no_grad():
            following, _ = model(latent, inputs, identifiers)
        for row in range(len(split)):
            old, new = latent.z_H[row].double(), following.z_H[row].double()
            share = float((new - old).square().sum().sqrt() / old.square().sum().sqrt())
            assert found[step, row] == pytest.approx(share, rel=1e-4)
        latent = following


def test_shallower_and_narrower_passes_are_part_of_it(model: TRM, task: Task) -> None:
    whole = run(model, task, [6, 6, 6, 6])
    part = run(model, task, [3, 3])
    for deep, shallow in zip(whole.rollouts, part.rollouts, strict=False):
        np.testing.assert_allclose(deep.q[:3], shallow.q, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(deep.residual[:3], shallow.residual, rtol=1e-3, atol=1e-5)
        assert (deep.right[:3] == shallow.right).mean() > 0.99


def test_rollouts_side_by_side_are_rollouts_one_by_one(model: TRM, task: Task) -> None:
    """All twelve puzzles fit, so that as many rollouts run at once as the batch has room for."""
    together = run(model, task, [4, 4, 4, 2], batch_size=40)
    alone = run(model, task, [4, 4, 4, 2], batch_size=12)
    for one, other in zip(together.rollouts, alone.rollouts, strict=True):
        np.testing.assert_allclose(one.q, other.q, rtol=1e-4, atol=1e-5)


def test_rollouts_differ_by_noise_and_seed_alone(model: TRM, task: Task) -> None:
    recording = run(model, task, [3, 3, 3])
    qs = [rollout.q for rollout in recording.rollouts]
    assert not np.allclose(qs[0], qs[1])
    assert not np.allclose(qs[1], qs[2])
    again = run(model, task, [3, 3, 3])
    assert all(np.array_equal(a, b.q) for a, b in zip(qs, again.rollouts, strict=True))
    other = run(model, task, [3, 3, 3], seed=1)
    assert np.array_equal(qs[0], other.rollouts[0].q)
    assert not np.allclose(qs[1], other.rollouts[1].q)
    silent = run(model, task, [3, 3], noise=NoiseConfig())
    np.testing.assert_allclose(silent.rollouts[0].q, silent.rollouts[1].q, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("noise", "at_first", "later"),
    [
        (NoiseConfig(z_H=0.3), (0.3, 0.0), (0.3, 0.0)),
        (NoiseConfig(z_L=0.7), (0.0, 0.7), (0.0, 0.7)),
        (NoiseConfig(start=1.0), (1.0, 1.0), (0.0, 0.0)),
        (NoiseConfig(z_H=0.3, start=0.4), (0.5, 0.4), (0.3, 0.0)),
    ],
)
def test_noise_has_the_deviation_that_is_asked_for(
    noise: NoiseConfig, at_first: tuple[float, float], later: tuple[float, float], first: bool
) -> None:
    zeros = torch.zeros(6, 50, 60)
    streams: list[torch.Generator | None] = [*noise_streams(0, [0, 1, 2], 0, CPU)]
    streams[0] = None
    found = with_noise(Latent(zeros, zeros), noise, streams, first)
    for state, deviation in zip((found.z_H, found.z_L), at_first if first else later, strict=True):
        assert not state[:2].any()  # the rollout without a stream
        assert float(state[2:].std()) == pytest.approx(deviation, rel=0.03)
        assert abs(float(state[2:].mean())) < 0.03
        if deviation:
            pairs = torch.corrcoef(state[2:].flatten(1)) - torch.eye(4)
            assert float(pairs.abs().max()) < 0.08


def test_no_batch_is_larger_than_asked(
    model: TRM, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    forward = TRM.forward

    def counting(self: TRM, latent: Latent, inputs: Tensor, *more: Tensor) -> object:
        rows.append(len(inputs))
        return forward(self, latent, inputs, *more)

    monkeypatch.setattr(TRM, "forward", counting)
    run(model, task, [2] * 7, batch_size=5)
    assert max(rows) <= 5
    assert sum(rows) == 12 * 7 * 2
    rows.clear()
    run(model, task, [2] * 7, batch_size=30)
    assert max(rows) == 24
    assert sum(rows) == 12 * 7 * 2


def test_the_rule_is_asked_at_each_step(model: TRM, task: Task) -> None:
    class Third(HaltingRule):
        name: Literal["third"] = "third"

        def wants_to_halt(self, output: Output, steps: Tensor, model: ModelConfig) -> Tensor:
            return steps == 3

    found = run(model, task, [4, 4], halting=Third())
    for rollout in found.rollouts:
        assert rollout.halts.sum(axis=1).tolist() == [0, 0, 12, 0]
    chance = HaltingConfig(eval_threshold=0.6)
    sure = run(model, task, [4], halting=chance).rollouts[0]
    assert np.array_equal(sure.halts, sure.q > np.log(0.6 / 0.4))
    assert 0 < sure.halts.mean() < 1


def test_a_model_with_random_starts_begins_each_rollout_elsewhere(model: TRM, task: Task) -> None:
    """But the first, which is what an evaluation sees."""
    config = model.config.model_copy(update={"initial_state": "random"})
    drawn = TRM(
        config, seq_len=task.seq_len, vocab_size=task.vocab_size,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    with torch.no_grad():
        drawn.q_head.weight.copy_(model.q_head.weight)
    silent = NoiseConfig()
    found, again = (run(drawn, task, [2, 2, 2], noise=silent) for _ in range(2))
    alone = solve(drawn.eval(), task.split("valid"), steps=2, batch_size=5, device=CPU)
    np.testing.assert_allclose(found.rollouts[0].q, alone.q_halt, rtol=1e-4, atol=1e-5)
    assert not np.allclose(found.rollouts[1].q, found.rollouts[0].q)
    assert not np.allclose(found.rollouts[1].q, found.rollouts[2].q)
    assert np.array_equal(found.rollouts[1].q, again.rollouts[1].q)


def test_progress_ends_at_the_whole(model: TRM, task: Task) -> None:
    shares: list[float] = []
    split: Split = task.split("valid")
    record(
        model, task, split, [4, 2, 2], noise=LOUD, batch_size=5, device=CPU,
        progress=shares.append,
    )  # fmt: skip
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
