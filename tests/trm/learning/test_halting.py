"""Who halts, who goes on, and what fresh rows look like."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trm.errors import UserError
from trm.learning.halting import (
    Carry,
    HaltingConfig,
    begin,
    continue_target,
    halt,
    refill,
    wants_to_halt,
)
from trm.network.model import TRM, ModelConfig, Output
from trm.validation import validate

SEQ_LEN, VOCAB = 4, 5
BASE = ModelConfig(
    hidden_size=8,
    num_heads=2,
    L_layers=1,
    H_cycles=1,
    L_cycles=1,
    expansion=1.0,
    swiglu_multiple=4,
    puzzle_emb_len=1,
    halt_max_steps=4,
    halt_exploration_prob=0.0,
)


def config(**changes: object) -> ModelConfig:
    return ModelConfig.model_validate(BASE.model_dump() | changes)


def output(q_halt: list[float], q_continue: list[float] | None = None) -> Output:
    other = q_continue if q_continue is not None else [0.0] * len(q_halt)
    return Output(torch.zeros(len(q_halt), 1, 2), torch.tensor(q_halt), torch.tensor(other))


def decide(
    out: Output, steps: list[int], model: ModelConfig, threshold: float = 0.5, seed: int = 0
) -> list[bool]:
    halted = halt(
        out,
        torch.tensor(steps, dtype=torch.int32),
        config=model,
        halting=HaltingConfig(threshold=threshold),
        generator=torch.Generator().manual_seed(seed),
    )
    assert halted.dtype == torch.bool
    return halted.tolist()


def test_a_row_halts_above_zero_or_at_the_last_step() -> None:
    out = output([-1.0, 0.0, 0.1, -9.0, 9.0])
    assert decide(out, [1, 1, 1, 4, 4], config()) == [False, False, True, True, True]
    assert decide(out, [3, 3, 3, 5, 3], config()) == [False, False, True, True, True]


@given(threshold=st.floats(0.01, 0.99), q=st.floats(-8, 8))
@settings(max_examples=60, deadline=None)
def test_the_threshold_is_a_probability(threshold: float, q: float) -> None:
    probability = 1 / (1 + math.exp(-q))
    if abs(probability - threshold) < 1e-5:
        return
    assert decide(output([q]), [1], config(), threshold) == [probability > threshold]


def test_the_continue_head_halts_where_halting_is_better() -> None:
    out = output([1.0, 1.0, -2.0, -3.0], [2.0, 0.5, -3.0, 5.0])
    model = config(no_ACT_continue=False)
    assert decide(out, [1, 1, 1, 4], model) == [False, True, True, True]


def test_wanting_to_halt_is_the_decision_without_limits_and_exploration() -> None:
    model = config(halt_exploration_prob=1.0, halt_max_steps=2)
    out = output([1.0, -1.0, 2.0, 0.0], [2.0, -2.0, 0.0, 0.0])
    other = config(no_ACT_continue=False)
    for sizes, rule, expected in [
        (model, HaltingConfig(), [True, False, True, False]),
        (model, HaltingConfig(threshold=0.8), [False, False, True, False]),
        (other, HaltingConfig(), [False, True, True, False]),
    ]:
        assert wants_to_halt(out, torch.ones(4), sizes, rule).tolist() == expected


def test_a_single_step_always_halts() -> None:
    for probability in (0.0, 1.0):
        model = config(halt_max_steps=1, halt_exploration_prob=probability)
        assert decide(output([-9.0, 9.0]), [1, 1], model) == [True, True]


def test_a_curriculum_can_lower_the_last_step() -> None:
    model = config(halt_max_steps=16, halt_exploration_prob=1.0)
    for limit in (1, 2, 3):
        for step in range(1, 5):
            halted = halt(
                output([-9.0] * 50),
                torch.full((50,), step),
                config=model,
                halting=HaltingConfig(),
                generator=torch.Generator().manual_seed(0),
                max_steps=limit,
            )
            assert halted.tolist() == [step >= limit] * 50


@pytest.mark.parametrize("limit", [2, 3, 16])
def test_a_curriculum_sets_how_often_and_how_long_rows_explore(limit: int) -> None:
    model, rows = config(halt_max_steps=16, halt_exploration_prob=0.9), 4000
    for chance in (0.0, 0.25, 1.0):
        halted = halt(
            output([9.0] * rows),
            torch.full((rows,), 2),
            config=model,
            halting=HaltingConfig(),
            generator=torch.Generator().manual_seed(0),
            max_steps=limit,
            exploration=chance,
        )
        # Of {2, ..., limit}, all but 2 hold a willing row back at step 2.
        expected = chance * (limit - 2) / (limit - 1)
        share = 1.0 - float(halted.float().mean())
        assert share == pytest.approx(expected, abs=5 * math.sqrt(expected / rows) + 1e-6)


def test_no_row_explores_past_the_last_step() -> None:
    model = config(halt_exploration_prob=1.0)
    assert all(decide(output([9.0] * 500), [4] * 500, model))


def test_every_exploring_row_runs_at_least_two_steps() -> None:
    model = config(halt_exploration_prob=1.0)
    assert not any(decide(output([9.0] * 500), [1] * 500, model))


def test_exploration_draws_its_minimum_from_two_to_the_last_step_evenly() -> None:
    rows, probability = 20_000, 0.3
    model = config(halt_exploration_prob=probability)
    # At step s a willing row is held back when it explores and draws more than s from {2, 3, 4}.
    for step, share_above in ((1, 1.0), (2, 2 / 3), (3, 1 / 3)):
        held = 1.0 - sum(decide(output([9.0] * rows), [step] * rows, model)) / rows
        expected = probability * share_above
        assert held == pytest.approx(expected, abs=5 * math.sqrt(expected / rows))


def test_exploration_never_halts_an_unwilling_row() -> None:
    model = config(halt_exploration_prob=0.5)
    assert not any(decide(output([-9.0] * 500), [3] * 500, model))


def test_decisions_depend_on_the_generator_alone() -> None:
    model, out = config(halt_exploration_prob=0.5), output([9.0] * 100)
    torch.manual_seed(1)
    one = decide(out, [2] * 100, model, seed=5)
    torch.manual_seed(2)
    assert decide(out, [2] * 100, model, seed=5) == one
    assert decide(out, [2] * 100, model, seed=6) != one


def test_the_continue_target_by_hand() -> None:
    following = output([1.0, 1.0, -2.0], [3.0, -1.0, 4.0])
    target = continue_target(following, torch.tensor([False, False, True]))
    expected = [1 / (1 + math.exp(-x)) for x in (3.0, 1.0, -2.0)]
    assert target.tolist() == pytest.approx(expected, rel=1e-6)


def test_no_gradient_flows_through_the_continue_target() -> None:
    following = output([1.0], [3.0])
    following.q_continue.requires_grad_()
    assert not continue_target(following, torch.tensor([False])).requires_grad


@pytest.fixture(scope="module")
def model() -> TRM:
    generator = torch.Generator().manual_seed(0)
    return TRM(
        BASE, seq_len=SEQ_LEN, vocab_size=VOCAB, num_puzzle_identifiers=9, generator=generator
    )


def examples(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randint(0, VOCAB, (count, SEQ_LEN), generator=generator),
        torch.randint(0, VOCAB, (count, SEQ_LEN), generator=generator),
        torch.randint(0, 9, (count,), generator=generator),
    )


def stepped(model: TRM, carry: Carry) -> Carry:
    with torch.no_grad():
        carry.latent, _ = model(carry.latent, carry.inputs, carry.puzzle_identifiers)
    carry.steps = carry.steps + 1
    return carry


def test_the_first_refill_fills_every_row(model: TRM) -> None:
    carry = begin(model, 3, SEQ_LEN, torch.device("cpu"))
    assert carry.halted.all()
    fresh = examples(3, 1)
    carry = refill(model, carry, *fresh)
    assert not carry.halted.any()
    assert carry.steps.tolist() == [0, 0, 0]
    for ours, given_ in zip(
        (carry.inputs, carry.labels, carry.puzzle_identifiers), fresh, strict=True
    ):
        assert torch.equal(ours.long(), given_)
    assert torch.equal(carry.latent.z_H, model.fresh_latent(3).z_H)
    assert torch.equal(carry.latent.z_L, model.fresh_latent(3).z_L)


@given(halted=st.lists(st.booleans(), min_size=5, max_size=5), seed=st.integers(0, 999))
@settings(max_examples=30, deadline=None)
def test_refilled_rows_start_afresh_and_the_others_go_on(
    model: TRM, halted: list[bool], seed: int
) -> None:
    carry = refill(model, begin(model, 5, SEQ_LEN, torch.device("cpu")), *examples(5, seed))
    carry = stepped(model, carry)
    old = carry
    carry = Carry(
        old.latent,
        old.steps,
        torch.tensor(halted),
        old.inputs,
        old.labels,
        old.puzzle_identifiers,
    )
    inputs, labels, identifiers = examples(sum(halted), seed + 1)
    carry = refill(model, carry, inputs, labels, identifiers)
    assert not carry.halted.any()
    fresh, taken = model.fresh_latent(5), 0
    for row, replaced in enumerate(halted):
        source = fresh if replaced else old.latent
        assert torch.equal(carry.latent.z_H[row], source.z_H[row])
        assert torch.equal(carry.latent.z_L[row], source.z_L[row])
        assert int(carry.steps[row]) == (0 if replaced else 1)
        expected = (
            (inputs[taken], labels[taken], identifiers[taken])
            if replaced
            else (old.inputs[row], old.labels[row], old.puzzle_identifiers[row])
        )
        taken += replaced
        assert torch.equal(carry.inputs[row].long(), expected[0].long())
        assert torch.equal(carry.labels[row].long(), expected[1].long())
        assert int(carry.puzzle_identifiers[row]) == int(expected[2])


def test_a_replaced_row_runs_as_in_a_fresh_batch(model: TRM) -> None:
    carry = refill(model, begin(model, 4, SEQ_LEN, torch.device("cpu")), *examples(4, 1))
    carry = stepped(model, stepped(model, carry))
    carry.halted = torch.tensor([False, True, False, True])
    new = examples(2, 2)
    carry = stepped(model, refill(model, carry, *new))
    alone = refill(model, begin(model, 2, SEQ_LEN, torch.device("cpu")), *new)
    alone = stepped(model, alone)
    torch.testing.assert_close(carry.latent.z_H[[1, 3]], alone.latent.z_H, atol=1e-6, rtol=0)
    torch.testing.assert_close(carry.latent.z_L[[1, 3]], alone.latent.z_L, atol=1e-6, rtol=0)


def test_ignored_labels_survive_the_carry(model: TRM) -> None:
    inputs, labels, identifiers = examples(2, 1)
    labels[0, 1] = -100
    carry = refill(
        model, begin(model, 2, SEQ_LEN, torch.device("cpu")), inputs, labels, identifiers
    )
    assert int(carry.labels[0, 1]) == -100


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1.5])
def test_a_threshold_is_a_probability_between_zero_and_one(value: float) -> None:
    with pytest.raises(UserError, match=r"halting\.threshold"):
        validate(HaltingConfig, {"threshold": value}, "halting")
