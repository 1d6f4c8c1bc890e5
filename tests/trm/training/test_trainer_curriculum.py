"""What a curriculum sets is what the trainer does, and nothing of its path is lost on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from curricula.feedback import Feedback
from tests.support.curricular import EVERYTHING, LINE, MARKS, path_of, weights
from tests.support.trainers import Make
from trm.network.noise import Noise
from trm.report import Report
from trm.training.curriculum import disturbed
from trm.training.flops import step_flops
from trm.training.steps import waiting

# What is spied on is what the compiled step does in one call.
EAGER = {"train.kernel": "eager"}


@pytest.mark.parametrize("marks", [(1.0,), (0.05, 0.051, 0.5, 0.9, 1.0)])
def test_when_a_run_reports_does_not_change_its_path(make: Make, marks: tuple[float, ...]) -> None:
    plain, other = make(EVERYTHING, marks=MARKS), make(EVERYTHING, marks=marks)
    assert path_of(plain) == path_of(other)
    assert plain.course.state_dict() == other.course.state_dict()
    one, two = weights(plain), weights(other)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_compute_is_exactly_the_sum_of_each_steps_flops(make: Make) -> None:
    trainer = make({**EVERYTHING, "model.no_ACT_continue": False})
    depths = [stage.depth for stage in path_of(trainer)]
    assert len(set(depths)) == 2
    total = 0.0
    for depth in depths:
        total += step_flops(trainer.config, trainer.task, depth)
    assert trainer.counters.compute == total
    assert trainer.counters.step == len(depths)
    full = step_flops(trainer.config, trainer.task)
    assert trainer.budget <= total < trainer.budget + full


def test_training_runs_at_the_stages_depth_and_evaluation_at_full(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make({**EVERYTHING, **EAGER})
    forward, asked = trainer.model.forward, []

    def spy(*inputs: Any, **options: Any) -> Any:
        full = trainer.config.model
        asked.append(
            (options.get("H_cycles", full.H_cycles), options.get("L_cycles", full.L_cycles))
        )
        return forward(*inputs, **options)

    monkeypatch.setattr(trainer.model, "forward", spy)
    for _ in range(30):
        asked.clear()
        trainer.train_step()
        assert asked == [trainer.stage.depth]
        asked.clear()
        noise = trainer.noise.get_state()
        trainer.evaluate()
        assert asked == [(2, 2)] * 4  # all of halt_max_steps, whatever the curriculum allows
        assert torch.equal(noise, trainer.noise.get_state())
    assert trainer.stage.supervision_steps < 4


def test_the_continue_target_is_of_the_stages_depth_too(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make({"model.no_ACT_continue": False, "curriculum.depth": "cgar"})
    forward, asked = trainer.model.forward, []

    def spy(*inputs: Any, **options: Any) -> Any:
        asked.append((options["H_cycles"], options["L_cycles"]))
        return forward(*inputs, **options)

    monkeypatch.setattr(trainer.model, "forward", spy)
    trainer.train_step()
    assert asked == [(1, 1), (1, 1)]


def test_no_row_goes_on_past_the_curriculums_last_step(make: Make) -> None:
    stages = [{"at": 0.0, "steps": 3}, {"at": 0.4, "steps": 1}, {"at": 0.7, "steps": 2}]
    trainer = make({"curriculum.supervision": {"name": "stages", "stages": stages}})
    seen = set()
    while trainer.counters.compute < trainer.budget:
        trainer.train_step()
        limit = trainer.stage.supervision_steps
        going = trainer.carry.steps[~trainer.carry.halted]
        assert (going < limit).all()
        assert trainer.carry.halted[trainer.carry.steps >= limit].all()
        seen.add(limit)
    assert seen == {1, 2, 3}


class Spy:
    """Stands in for the trainer's loss and keeps what it was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[dict[str, Any]] = []
        self._loss = waiting.act_loss
        monkeypatch.setattr(waiting, "act_loss", self)

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        self.calls.append(options)
        return self._loss(*inputs, **options)


def test_each_row_counts_what_its_step_counts(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    loss, trainer = Spy(monkeypatch), make({"curriculum": "cgar", **EAGER})
    powers, seen = [0.7**t for t in range(3)], set()
    for _ in range(12):
        trainer.train_step()
        given = loss.calls[-1]["weights"]
        steps = trainer.carry.steps.tolist()
        expected = [powers[step - 1] / sum(powers) for step in steps]
        assert given.tolist() == pytest.approx(expected)
        seen |= set(steps)
    assert seen == {1, 2, 3}


def test_a_row_past_a_lowered_last_step_counts_as_its_last(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = Spy(monkeypatch)
    stages = [{"at": 0.0}, {"at": 0.1, "steps": 1}]
    supervision = {"name": "stages", "stages": stages}
    trainer = make(
        {
            "curriculum": {"supervision": supervision, "supervision_weights": "decay"},
            "model.halt_exploration_prob": 1.0,
            **EAGER,
        }
    )
    for _ in range(3):
        trainer.train_step()
    assert trainer.carry.steps.max() > 1
    assert loss.calls[-1]["weights"].tolist() == [1.0] * 16


def test_last_step_loss_trains_only_rows_that_halt(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = Spy(monkeypatch)
    trainer = make({"curriculum.supervision_weights": "last_step"})
    for _ in range(12):
        trainer.train_step()
        assert torch.equal(loss.calls[-1]["weights"], trainer.carry.halted.float())


def test_nothing_is_learnt_before_the_last_step(make: Make) -> None:
    # Untrained q is at -5: without exploration every row halts at step 3, together.
    trainer = make(
        {
            "curriculum.supervision_weights": "last_step",
            "model.halt_exploration_prob": 0.0,
            "optimizer.weight_decay": 0.0,
        }
    )
    before = weights(trainer)
    for _ in range(2):
        trainer.train_step()
        assert trainer.counters.grad_norm == 0.0
    assert all(torch.equal(before[name], t) for name, t in weights(trainer).items())
    trainer.train_step()
    assert trainer.counters.grad_norm > 0.0


def test_noise_has_the_stages_deviation_on_both_states_and_its_own_seed(make: Make) -> None:
    trainer, again = (make({"curriculum.latent_noise": 0.3}) for _ in range(2))
    other = make({"curriculum.latent_noise": 0.3, "train.seed": 1})
    latent = trainer.carry.latent
    added = [disturbed(latent, 0.3, Noise(t.noise)) for t in (trainer, again, other)]
    for part in ("z_H", "z_L"):
        noise = getattr(added[0], part) - getattr(latent, part)
        assert float(noise.std()) == pytest.approx(0.3, rel=0.05)
        assert abs(float(noise.mean())) < 0.02
        assert torch.equal(getattr(added[0], part), getattr(added[1], part))
        assert not torch.equal(getattr(added[0], part), getattr(added[2], part))
    assert not torch.equal(added[0].z_H - latent.z_H, added[0].z_L - latent.z_L)


def test_noise_changes_training_and_no_noise_does_not(make: Make) -> None:
    plain, silent, noisy = (
        make(changes)
        for changes in ({}, {"curriculum.latent_noise": 0.0}, {"curriculum.latent_noise": 0.1})
    )
    for trainer in (plain, silent, noisy):
        trainer.train_step()
    names = list(weights(plain))
    assert all(torch.equal(weights(plain)[n], weights(silent)[n]) for n in names)
    assert not all(torch.equal(weights(plain)[n], weights(noisy)[n]) for n in names)
    assert torch.equal(plain.exploration.get_state(), noisy.exploration.get_state())


def test_the_curriculums_factor_multiplies_the_learning_rate(make: Make) -> None:
    plain, halved = make(), make({"curriculum.learning_rate": {**LINE, "start": 0.5}})
    for _ in range(20):
        plain.train_step()
        progress = halved.progress
        halved.train_step()
        factor = 0.5 - 0.25 * progress
        expected = factor * plain.counters.learning_rate
        assert halved.counters.learning_rate == pytest.approx(expected, rel=1e-9)
        rates = [
            [group["lr"] for part in trainer.optimizer.parts for group in part.param_groups]
            for trainer in (plain, halved)
        ]
        assert rates[1] == pytest.approx([factor * rate for rate in rates[0]])


def test_the_rate_warms_up_again_after_a_change_of_depth(make: Make) -> None:
    changes = {"curriculum.depth": "cgar", "optimizer.lr_warmup_steps": 0}
    plain, warm = make(changes), make({**changes, "curriculum.rewarm_steps": 4})
    since, depth = 99, plain.stage.depth
    while plain.counters.compute < plain.budget:
        plain.train_step()
        warm.train_step()
        since = 0 if warm.stage.depth != depth else since + 1
        depth = warm.stage.depth
        factor = min((since + 1) / 4, 1.0)
        expected = factor * plain.counters.learning_rate
        assert warm.counters.learning_rate == pytest.approx(expected, rel=1e-9)


def test_halting_follows_its_curves(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    loss, explored = Spy(monkeypatch), []
    real = waiting.halt

    def halt(*inputs: Any, **options: Any) -> Any:
        explored.append(options["exploration"])
        return real(*inputs, **options)

    monkeypatch.setattr(waiting, "halt", halt)
    exploration = {**LINE, "end": 4.0}
    trainer = make({"curriculum.halt_weight": LINE, "curriculum.exploration": exploration, **EAGER})
    for _ in range(20):
        progress = trainer.progress
        trainer.train_step()
        assert loss.calls[-1]["halt_weight"] == pytest.approx(0.5 * (1.0 - 0.75 * progress))
        assert explored[-1] == pytest.approx(min(0.3 * (1.0 + 3.0 * progress), 1.0))


def test_report_columns_are_the_stages_values(make: Make) -> None:
    trainer = make(EVERYTHING, marks=tuple((i + 1) / 10 for i in range(10)))
    seen: list[Report] = []
    for report in trainer.run():
        stage = trainer.stage
        for column in (
            "H_cycles", "L_cycles", "supervision_steps", "halt_weight", "exploration",
            "latent_noise", "lr_factor",
        ):  # fmt: skip
            assert getattr(report, column) == getattr(stage, column)
        assert report.learning_rate == trainer.counters.learning_rate
        seen.append(report)
    assert len({report.halt_weight for report in seen}) == len(seen) == 10


@pytest.mark.parametrize(("name", "low", "high"), [("easy", 0.0, 0.2), ("hard", 0.8, 1.0)])
def test_examples_come_from_the_stages_slices(
    make: Make, name: str, low: float, high: float
) -> None:
    other = {"easy": "hard", "hard": "easy"}[name]
    pool = {"name": f"{name}_to_{other}", "pool": 0.2}
    trainer = make({"curriculum.difficulty": pool})
    for report in trainer.run():
        assert low <= report.train_difficulty <= high
        assert (trainer.difficulty >= np.float32(low)).all()
        assert (trainer.difficulty < high).all()
    easy = float(trainer.task.split("train").difficulty.mean())
    taken = trainer.stream.take(50, trainer.stage.difficulty)
    rows = {row.tobytes(): d for row, d in zip(
        trainer.task.split("train").inputs, trainer.task.split("train").difficulty, strict=True
    )}  # fmt: skip
    mean = np.mean([rows[row.tobytes()] for row in taken.inputs])
    assert (mean < easy) == (name == "easy")


def test_feedback_is_what_training_saw(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make(EVERYTHING)
    told: list[Feedback] = []
    real = trainer.course.observe

    def observe(progress: float, feedback: Feedback) -> None:
        told.append(feedback)
        real(progress, feedback)

    monkeypatch.setattr(trainer.course, "observe", observe)
    losses, halted, windows = [], np.zeros(3, int), 0
    while trainer.counters.compute < trainer.budget:
        before = trainer.counters.sums["loss"]
        trainer.train_step()
        losses.append(trainer.counters.sums["loss"] - before)
        done = trainer.carry.halted.numpy()
        halted += np.bincount((trainer.difficulty[done] * 3).astype(int), minlength=3)
        if len(told) > windows:
            windows += 1
            assert told[-1].loss == pytest.approx(np.mean(losses))
            assert [count for count, _ in told[-1].by_difficulty] == halted.tolist()
            losses, halted = [], np.zeros(3, int)
    assert windows == pytest.approx(33, abs=2)


def test_without_adaptive_parts_nothing_is_counted(make: Make) -> None:
    trainer = make({"curriculum": "cgar"})
    path_of(trainer)
    assert trainer.window.steps == 0
