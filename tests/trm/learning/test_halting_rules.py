"""Each halting rule against what it says, looked up in a recording by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from curricula.component import by_name
from tests.conftest import Tiny
from trm.config import experiment_from
from trm.errors import UserError
from trm.evaluation import watched
from trm.learning.halting import (
    HALTING_RULES,
    Carry,
    HaltingConfig,
    begin,
    logit_threshold,
    refill,
)
from trm.learning.losses import LossConfig
from trm.learning.memory import Onlooker, blank_memory, remembered, seen
from trm.network.model import TRM, Latent, ModelConfig, Output
from trm.tasks.base import Task
from trm.testing.fitting import check_trains
from trm.training.stacking.obstacles import unstackable
from trm.training.trainer import Trainer

STEPS, ROWS, CELLS, VOCAB = 7, 40, 3, 3
MODEL = ModelConfig(hidden_size=8, num_heads=2)

Recorded = list[tuple[Latent, Latent, Output]]


def recording(seed: int = 0) -> Recorded:
    """Steps of few cells and tokens, so that answers come again, and of states that settle."""
    generator = torch.Generator().manual_seed(seed)

    def state(scale: float) -> Tensor:
        return scale * torch.randn(ROWS, 4, 8, generator=generator)

    found, before = [], Latent(state(1.0), state(1.0))
    for step in range(STEPS):
        scale = 2.0**-step
        after = Latent(before.z_H + state(scale), before.z_L + state(2 * scale))
        logits = 2.0 * torch.randn(ROWS, CELLS, VOCAB, generator=generator)
        logits[:, 0, 0] += 6.0  # or no answer would come again
        q = torch.randn(2, ROWS, generator=generator)
        found.append((before, after, Output(logits, q[0], q[1])))
        before = after
    return found


def stops(section: Any, recorded: Recorded) -> NDArray[np.bool_]:
    """Where a rule would stop, `[steps, rows]`."""
    onlooker = Onlooker(by_name(HALTING_RULES, section), MODEL)
    return torch.stack([onlooker.stops(*step) for step in recorded]).numpy()


def answers(recorded: Recorded) -> list[list[tuple[int, ...]]]:
    """By row, its answer after each step."""
    told = np.stack([output.logits.argmax(-1).numpy() for _, _, output in recorded], axis=1)
    return [[tuple(answer) for answer in row] for row in told.tolist()]


def by_hand(section: dict[str, Any], recorded: Recorded) -> list[list[bool]]:
    """By row, whether it would stop after each step."""
    name, found = section["name"], []
    for row, told in enumerate(answers(recorded)):
        wants = []
        for step in range(STEPS):
            before, after, output = recorded[step]
            if name == "fixed":
                wants.append(section.get("steps") is not None and step + 1 >= section["steps"])
            elif name == "unchanged":
                past = [told[step - back] if step >= back else None
                        for back in range(1, section["patience"] + 1)]  # fmt: skip
                wants.append(all(old == told[step] for old in past))
            elif name == "cycle":
                wants.append(told[step] in told[max(step - section["period"], 0) : step])
            elif name == "residual":
                shares = {}
                for state in ("H", "L"):
                    old = getattr(before, f"z_{state}")[row].double().flatten().numpy()
                    new = getattr(after, f"z_{state}")[row].double().flatten().numpy()
                    shares[state] = np.sqrt(((new - old) ** 2).sum() / (old**2).sum())
                shares["both"] = max(shares.values())
                wants.append(shares[section.get("state", "H")] < section["threshold"])
            else:
                x = output.logits[row].double().numpy()
                if section.get("probabilities") == "softmax":
                    weights = np.exp(x)
                else:
                    weights = np.where(x < 0, 1 / (1 - np.minimum(x, 0)), x + 1)
                most = (weights / weights.sum(-1, keepdims=True)).max(-1)
                sure = most.mean() if section.get("over") == "mean" else most.min()
                wants.append(sure > section["threshold"])
        found.append(wants)
    return found


SECTIONS: list[dict[str, Any]] = [
    {"name": "fixed"},
    {"name": "fixed", "steps": 3},
    {"name": "residual", "threshold": 0.2},
    {"name": "residual", "threshold": 0.4, "state": "L"},
    {"name": "residual", "threshold": 0.3, "state": "both"},
    {"name": "confidence", "threshold": 0.45},
    {"name": "confidence", "threshold": 0.7, "over": "mean", "probabilities": "softmax"},
    {"name": "confidence", "threshold": 0.6, "over": "mean"},
    {"name": "unchanged", "patience": 1},
    {"name": "unchanged", "patience": 2},
    {"name": "cycle", "period": 2},
    {"name": "cycle", "period": 4},
]


@pytest.mark.parametrize("section", SECTIONS, ids=str)
def test_a_rule_stops_where_it_says(section: dict[str, Any]) -> None:
    recorded = recording()
    found = stops(section, recorded)
    expected = np.array(by_hand(section, recorded)).T
    assert np.array_equal(found, expected)
    if section != {"name": "fixed"}:
        assert 0 < expected.sum() < expected.size


def test_an_answer_that_alternates_is_a_cycle_and_does_not_stay_the_same() -> None:
    recorded = recording()
    for step, (_, _, output) in enumerate(recorded):
        output.logits[:] = 0.0
        output.logits[..., step % 2] = 9.0
    assert not stops("unchanged", recorded).any()
    assert stops("cycle", recorded)[:2].sum() == 0
    assert stops("cycle", recorded)[2:].all()
    assert not stops({"name": "cycle", "period": 1}, recorded).any()


@pytest.mark.parametrize(
    ("section", "other"),
    [
        ({"name": "residual", "threshold": 1e-6, "eval_threshold": 0.3}, {"threshold": 0.3}),
        ({"name": "confidence", "threshold": 0.99, "eval_threshold": 0.5}, {"threshold": 0.5}),
        ({"name": "threshold", "threshold": 0.99, "eval_threshold": 0.6}, {"eval_threshold": 0.6}),
    ],
)
def test_training_and_evaluation_have_thresholds_of_their_own(
    section: dict[str, Any], other: dict[str, Any]
) -> None:
    recorded = recording()
    both = by_name(HALTING_RULES, section)
    assert np.array_equal(
        stops(section, recorded), stops({"name": section["name"], **other}, recorded)
    )
    before, after, output = recorded[-1]
    told = seen(both, output, before, after, {})
    assert not both.wants_to_halt(told, torch.ones(ROWS), MODEL).any()
    assert both.stops(told, torch.ones(ROWS), MODEL).any()


def test_evaluation_stops_past_its_own_chance_whatever_training_and_the_continue_head_say() -> None:
    recorded = recording()
    q = np.stack([output.q_halt.numpy() for _, _, output in recorded])
    for section, chance in (
        ({"name": "threshold"}, 0.5),
        ({"name": "threshold", "threshold": 0.9}, 0.5),
        ({"name": "threshold", "threshold": 0.9, "eval_threshold": 0.7}, 0.7),
    ):
        expected = q > np.log(chance / (1.0 - chance))
        assert np.array_equal(stops(section, recorded), expected)
        assert 0 < expected.mean() < 1
        onlooker = Onlooker(
            by_name(HALTING_RULES, section), MODEL.model_copy(update={"no_ACT_continue": False})
        )
        asked = torch.stack([onlooker.stops(*step) for step in recorded]).numpy()
        assert np.array_equal(asked, expected)


def test_a_rule_that_says_itself_where_evaluation_stops_is_asked() -> None:
    class Twice(HaltingConfig):
        def stops(self, output: Output, steps: Tensor, model: ModelConfig) -> Tensor:
            return steps == 2

    assert logit_threshold(HaltingConfig(eval_threshold=0.7)) == 0.7
    assert logit_threshold(HaltingConfig(threshold=0.7)) == 0.5
    assert logit_threshold(Twice()) is None


def test_what_a_rule_does_not_look_at_is_not_computed() -> None:
    before, after, output = recording()[0]
    for name, rule in HALTING_RULES.items():
        told = seen(rule(name=name), output, before, after, {"recalled": torch.zeros(ROWS, 1, 1)})
        assert (told.residual is not None) == (name == "residual")
        assert (told.recalled is not None) == (name in ("unchanged", "cycle"))


# --- in training -------------------------------------------------------------------------------


def test_a_row_that_begins_remembers_nothing_and_the_others_their_last_answers() -> None:
    recorded, rule = recording(), by_name(HALTING_RULES, {"name": "cycle", "period": 3})
    memory = blank_memory(rule, LossConfig(), ROWS, CELLS, VOCAB, torch.device("cpu"))
    assert memory["recalled"].shape == (ROWS, 3, CELLS)
    assert (memory["recalled"] == -1).all()
    for _, _, output in recorded[:4]:
        memory = remembered(memory, output, LossConfig())
    told = answers(recorded)
    for row in range(ROWS):
        assert [tuple(a) for a in memory["recalled"][row].tolist()] == told[row][3:0:-1]
    model = TRM(MODEL, seq_len=CELLS, vocab_size=VOCAB, generator=torch.Generator().manual_seed(0))
    halted = torch.arange(ROWS) % 3 == 0
    carry = begin(model, ROWS, CELLS, torch.device("cpu"), memory)
    carry.halted = halted
    count = int(halted.sum())
    fresh = torch.zeros(count, CELLS, dtype=torch.int32)
    carry = refill(model, carry, fresh, fresh, torch.zeros(count, dtype=torch.int32))
    assert (carry.memory["recalled"][halted] == -1).all()
    assert torch.equal(carry.memory["recalled"][~halted], memory["recalled"][~halted])
    again = Carry.restored(carry.tensors())
    assert torch.equal(again.memory["recalled"], carry.memory["recalled"])


@pytest.fixture
def task(tiny: Tiny, cache: Path) -> Task:
    return experiment_from(tiny()).task.build(cache)


def trainer(tiny: Tiny, task: Task, section: Any, **more: Any) -> Trainer:
    changes = {"halting": section, "model.halt_exploration_prob": 0.0, "model.halt_max_steps": 6}
    return Trainer(experiment_from(tiny({"train.kernel": "eager", **changes, **more})), task)


def test_fixed_halting_trains_all_rows_for_as_many_steps(tiny: Tiny, task: Task) -> None:
    run = trainer(tiny, task, {"name": "fixed", "steps": 4})
    for step in range(12):
        run.train_step()
        assert (run.carry.steps == 1 + step % 4).all()
        assert bool(run.carry.halted.all()) == (step % 4 == 3)
        assert not run.carry.halted.any() or run.carry.halted.all()


@pytest.mark.parametrize(
    "section",
    [
        {"name": "residual", "threshold": 0.5, "state": "both"},
        {"name": "unchanged"},
        {"name": "cycle"},
        {"name": "confidence", "threshold": 0.2, "over": "mean"},
    ],
    ids=lambda section: section["name"],
)
def test_rows_halt_in_training_where_the_rule_says(
    tiny: Tiny, task: Task, section: dict[str, Any]
) -> None:
    run, counted = trainer(tiny, task, section), 0
    recalled: list[list[tuple[int, ...]]] = [[] for _ in range(16)]
    for _ in range(25):
        fresh = run.carry.halted.clone()
        states = run.model.reset(run.carry.latent, fresh)
        run.train_step()
        carry = run.carry
        for row in range(16):
            if fresh[row]:
                recalled[row] = []
        for row in range(16):
            assert carry.halted[row] or carry.steps[row] < 6
        if section["name"] == "residual":
            pairs = [(states.z_H, carry.latent.z_H), (states.z_L, carry.latent.z_L)]
            moved = torch.stack(
                [(b - a).flatten(1).norm(dim=1) / a.flatten(1).norm(dim=1) for a, b in pairs]
            ).amax(0)
            expected = (moved < 0.5) | (carry.steps >= 6)
            assert torch.equal(carry.halted, expected)
        elif section["name"] in ("unchanged", "cycle"):
            back = 1 if section["name"] == "unchanged" else 2
            told = [tuple(a) for a in carry.memory["recalled"][:, 0].tolist()]
            for row in range(16):
                again = told[row] in recalled[row][-back:]
                assert bool(carry.halted[row]) == (again or int(carry.steps[row]) >= 6)
                recalled[row].append(told[row])
        counted += int((carry.halted & (carry.steps < 6)).sum())
    assert counted > 0


def test_evaluation_scores_where_the_rule_would_stop(tiny: Tiny, task: Task) -> None:
    run = trainer(tiny, task, {"name": "fixed", "steps": 2})
    report = list(run.run())[-1]
    assert report.mean_steps == 2.0
    split = task.split("valid")
    inputs, identifiers = (
        torch.from_numpy(array) for array in (split.inputs, split.puzzle_identifiers)
    )
    rule = by_name(HALTING_RULES, "unchanged")
    outputs = list(watched(run.model, inputs, identifiers, 5, rule))
    told = [output.logits.argmax(-1) for output, _ in outputs]
    for step, (_, stopped) in enumerate(outputs):
        expected = (told[step] == told[step - 1]).all(-1) if step else torch.zeros(len(split)) > 0
        assert stopped is not None
        assert torch.equal(stopped, expected)


@pytest.mark.parametrize("section", SECTIONS[1:], ids=str)
def test_a_training_goes_on_bit_for_bit(section: dict[str, Any]) -> None:
    check_trains({"halting": section})


def test_rules_that_look_back_are_not_stacked(tiny: Tiny, task: Task) -> None:
    for name in ("residual", "unchanged", "cycle"):
        assert f"halting rule {name!r}" in unstackable(trainer(tiny, task, name))
    for name in ("fixed", "confidence"):
        assert not unstackable(trainer(tiny, task, name))


def test_the_compiled_step_takes_fixed_halting_and_leaves_the_others(
    tiny: Tiny, task: Task
) -> None:
    for name in HALTING_RULES:
        config = experiment_from(tiny({"halting": {"name": name}, "train.kernel": "fused"}))
        at_once = Trainer(config, task).waiting.at_once
        assert at_once == (name in ("threshold", "fixed"))


def test_a_bad_section_is_a_line(tiny: Tiny) -> None:
    for section, word in (
        ({"name": "cycl"}, "did you mean cycle"),
        ({"name": "unchanged", "patience": 0}, "halting.patience"),
        ({"name": "confidence", "probabilities": "sigmoid"}, "halting.probabilities"),
    ):
        with pytest.raises(UserError, match=word):
            experiment_from(tiny({"halting": section}))
