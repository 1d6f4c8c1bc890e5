from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from curricula.stage import Depth
from trm.checkpoint.writing import save_checkpoint
from trm.config import Experiment, experiment_from
from trm.device import resolve
from trm.errors import UserError
from trm.files.sums import is_sound
from trm.report import MACHINE_COLUMNS, Report
from trm.tasks.arrows import ArrowsTask
from trm.tasks.base import Split, SplitName, Task
from trm.train_config import TrainConfig
from trm.training.budget import budget_flops
from trm.training.flops import step_flops, supervision_step_flops
from trm.training.trainer import Trainer

Make = Callable[..., Trainer]

GROWTH = {
    "curriculum.depth": {
        "name": "stages",
        "stages": [
            {"at": 0.0, "H_cycles": 1, "L_cycles": 1},
            {"at": 0.2, "H_cycles": 2, "L_cycles": 1},
            {"at": 0.6, "H_cycles": 2, "L_cycles": 2},
        ],
    }
}


@pytest.fixture
def make(tiny: Callable[..., dict[str, Any]], cache: Path) -> Make:
    """`make({"train.seed": 3}, marks=(0.5, 1.0))`: a trainer of the tiny experiment."""

    def trainer(changes: dict[str, Any] | None = None, **options: Any) -> Trainer:
        config = experiment_from(tiny(changes))
        return Trainer(config, options.pop("task", None) or config.task.build(cache), **options)

    return trainer


def rows(reports: list[Report]) -> list[dict[str, Any]]:
    """Every column but the measured ones."""
    return [
        {key: value for key, value in report.row().items() if key not in MACHINE_COLUMNS}
        for report in reports
    ]


def tensors(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Every tensor of the state, copied."""
    state = trainer.state_dict()
    parts = {"weights": state.weights, "ema": state.ema, "training": state.training}
    return {f"{p}/{k}": t.detach().clone() for p, part in parts.items() for k, t in part.items()}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different


# --- stop, save, load in a new process ---------------------------------------------------------

EVERYTHING = {
    **GROWTH,
    "task.augment": True,
    "train.ema": 0.9,
    "train.budget.steps": 75,
    "train.batch_size": 8,
    "model.halt_exploration_prob": 0.5,
    # 100 steps or so at this depth curriculum; the cut at 50 lies inside the warm-up.
    "optimizer.lr_warmup_steps": 60,
}
RESUMED: dict[str, dict[str, Any]] = {
    "adamw, mlp_t": EVERYTHING,
    "adam_atan2, attention, continue head, clipped": {
        **EVERYTHING,
        "optimizer.name": "adam_atan2",
        "optimizer.grad_clip": 0.5,
        "model.mixer": "attention",
        "model.no_ACT_continue": False,
        "loss.loss_type": "softmax_cross_entropy",
    },
    "bfloat16, no EMA, constant rate": {
        "train.precision": "bfloat16",
        "train.batch_size": 4,
        "train.budget.steps": 100,
        "optimizer.lr_min_ratio": 1.0,
        "model.pos_encodings": "learned",
    },
}
SECOND_HALF = """
import json, sys
from pathlib import Path
from trm.checkpoint.head import read_head
from trm.checkpoint.reading import resume
from trm.checkpoint.writing import save_checkpoint
from trm.files.run_folder import cache_folder
for folder in map(Path, sys.argv[1:]):
    task = read_head(folder / "middle").config.task.build(cache_folder())
    trainer = resume(folder / "middle", task)
    reports = [report.row() for report in trainer.run()]
    save_checkpoint(folder / "resumed", trainer)
    (folder / "resumed.json").write_text(json.dumps(reports))
"""


@pytest.fixture(scope="module")
def halves(
    tiny: Callable[..., dict[str, Any]], cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, list[dict[str, Any]], list[dict[str, Any]]]]:
    """Folder, reports of the straight run and reports of the two halves, by what is resumed."""
    done: dict[str, tuple[Path, list[dict[str, Any]], list[dict[str, Any]]]] = {}
    for name, changes in RESUMED.items():
        folder = tmp_path_factory.mktemp("halves")
        config = experiment_from(tiny(changes))
        task = config.task.build(cache)
        marks = (0.1, 0.7, 1.0)
        straight = Trainer(config, task, marks=marks)
        whole = rows(list(straight.run()))
        save_checkpoint(folder / "straight", straight)
        first = Trainer(config, task, marks=marks)
        reports = rows(list(first.run(lambda: first.counters.step == 50)))  # noqa: B023
        assert first.counters.step == 50
        save_checkpoint(folder / "middle", first)
        done[name] = (folder, whole, reports)
    folders = [str(folder) for folder, _, _ in done.values()]
    environment = {**os.environ, "TRM_CACHE": str(cache)}
    subprocess.run([sys.executable, "-c", SECOND_HALF, *folders], check=True, env=environment)
    for folder, _, reports in done.values():
        rest = json.loads((folder / "resumed.json").read_text())
        reports += [{k: v for k, v in r.items() if k not in MACHINE_COLUMNS} for r in rest]
    return done


@pytest.mark.parametrize("name", RESUMED)
def test_resumed_in_a_new_process_is_bit_for_bit_the_straight_run(
    name: str, halves: dict[str, tuple[Path, list[dict[str, Any]], list[dict[str, Any]]]]
) -> None:
    folder, whole, reports = halves[name]
    assert whole[-1]["step"] >= 90
    assert [row["step"] for row in reports] == [row["step"] for row in whole]
    assert reports == whole
    files = {path.name for path in (folder / "straight").glob("*.safetensors")}
    assert ("ema.safetensors" in files) == ("train.ema" in RESUMED[name])
    for file in files:
        assert_same(load_file(folder / "straight" / file), load_file(folder / "resumed" / file))
    values = [
        json.loads((folder / f / "checkpoint.json").read_text()) for f in ("straight", "resumed")
    ]
    for value in values:
        assert is_sound(value)
        del value["crc32"]  # of the seconds, too
        assert value["values"]["counters"].pop("seconds") > 0
        assert value["values"]["counters"].pop("train_seconds") > 0
    assert values[0] == values[1]


def test_the_resumed_runs_exercise_what_they_claim(make: Make) -> None:
    trainer = make(EVERYTHING, marks=(0.1, 0.7, 1.0))
    stages = {}
    for _ in trainer.run(lambda: stages.setdefault(trainer.counters.step, trainer.stage) is None):
        pass
    assert stages[50] != stages[1]
    assert stages[50] != stages[max(stages)]
    assert trainer.stream.drawn > 150  # past the first epoch


# --- marks and compute -------------------------------------------------------------------------


def test_reports_come_at_the_first_step_at_or_past_each_mark(make: Make) -> None:
    marks = (0.1, 0.33, 0.34, 0.5, 1.0)
    trainer = make(marks=marks)
    reports = list(trainer.run())
    assert [report.step for report in reports] == [2, 7, 10, 20]
    # A step that passes two marks makes one report, of the later mark.
    assert [report.mark for report in reports] == [1, 3, 4, 5]
    assert [report.progress for report in reports] == pytest.approx([0.1, 0.35, 0.5, 1.0])
    assert trainer.finished
    assert list(trainer.run()) == []


@pytest.mark.parametrize("steps", [7, 100, 977])
def test_marks_are_not_missed_by_rounding(make: Make, steps: int) -> None:
    trainer = make(
        {"train.budget.steps": steps}, marks=tuple((i + 1) / steps for i in range(steps))
    )
    each = step_flops(trainer.config, trainer.task)
    trainer.train_step = lambda: _count_only(trainer, each)  # type: ignore[method-assign]
    trainer._report = lambda: trainer.counters.step  # type: ignore[assignment,method-assign,return-value]
    seen = []
    while trainer.counters.mark < steps:
        seen.append(next(iter(trainer.run())))
        trainer.counters.mark += 1
    assert seen == list(range(1, steps + 1))


def _count_only(trainer: Trainer, flops: float) -> None:
    trainer.counters.step += 1
    trainer.counters.compute += flops


def test_compute_is_the_sum_over_steps_of_their_stages(make: Make) -> None:
    trainer = make({**GROWTH, "model.no_ACT_continue": False})
    model, train = trainer.config.model, trainer.config.train
    total, stages = 0.0, []
    while trainer.counters.compute < trainer.budget:
        trainer.train_step()
        stages.append(trainer.stage.depth)
        total += supervision_step_flops(
            model, 9, 9, train.batch_size, trainer.stage.H_cycles, trainer.stage.L_cycles
        )
        assert trainer.counters.compute == pytest.approx(total, rel=1e-12)
    assert list(dict.fromkeys(stages)) == [Depth(1, 1), Depth(2, 1), Depth(2, 2)]


def test_stages_change_at_their_share_of_compute(make: Make) -> None:
    trainer = make({**GROWTH, "train.budget.steps": 50})
    previous = trainer.stage.depth
    while trainer.counters.compute < trainer.budget:
        before = trainer.progress
        trainer.train_step()
        if trainer.stage.depth != previous:
            share = {Depth(2, 1): 0.2, Depth(2, 2): 0.6}[trainer.stage.depth]
            assert share <= before < share + 0.03
        previous = trainer.stage.depth


def test_a_depth_curriculum_buys_more_steps_for_the_same_compute(make: Make) -> None:
    plain, grown = list(make().run())[-1], list(make(GROWTH).run())[-1]
    assert grown.compute == pytest.approx(plain.compute, rel=0.05)
    assert grown.step > 1.2 * plain.step
    assert (grown.H_cycles, grown.L_cycles) == (plain.H_cycles, plain.L_cycles) == (2, 2)


def test_budgets_in_steps_flops_and_minutes(make: Make) -> None:
    trainer = make()
    each = step_flops(trainer.config, trainer.task)
    assert trainer.budget == 20 * each
    assert make({"train.budget": {"flops": 3.5 * each}}).budget == 3.5 * each
    assert list(make({"train.budget": {"flops": 3.5 * each}}).run())[-1].step == 4
    timed = experiment_from(trainer.config.tree() | {"train": {"budget": {"minutes": 1.0}}})
    flops = budget_flops(timed, trainer.task, seconds_to_time=0.05)
    assert 10 * step_flops(timed, trainer.task) < flops < math.inf


def test_timing_a_config_that_diverges_still_gives_a_budget(make: Make) -> None:
    at_once = {"optimizer.lr": 1e6, "optimizer.lr_warmup_steps": 0}
    trainer = make({"train.budget": {"flops": 1.0}, **at_once})
    for _ in range(3):  # as many as are not timed
        trainer.train_step()
    assert trainer.counters.diverged
    tree = trainer.config.tree() | {"train": {"budget": {"minutes": 1.0}, "batch_size": 4}}
    assert budget_flops(experiment_from(tree), trainer.task, 0.05) > 0


def test_the_rate_warms_up_and_falls_as_the_reference_has_it_at_constant_depth(
    make: Make,
) -> None:
    trainer, warmup, steps, least = make(), 5, 20, 0.1
    for n in range(1, steps + 1):
        trainer.train_step()
        share = (n - warmup) / (steps - warmup)
        cosine = least + (1 - least) * 0.5 * (1 + math.cos(math.pi * share))
        factor = n / warmup if n < warmup else cosine
        assert trainer.counters.learning_rate == pytest.approx(1e-2 * factor, rel=1e-9)


def test_even_marks_end_at_one() -> None:
    for reports in range(1, 60):
        marks = TrainConfig(reports=reports).marks
        assert marks[-1] == 1.0
        assert len(marks) == reports


# --- ends --------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adamw", "adam_atan2"])
def test_a_run_that_diverges_says_so_and_ends_at_once(make: Make, optimizer: str) -> None:
    changes = {"optimizer.name": optimizer, "optimizer.lr": 1e3, "optimizer.lr_warmup_steps": 0}
    trainer = make({**changes, "train.budget.steps": 2000, "optimizer.weight_decay": 1.0})
    reports = list(trainer.run())
    assert len(reports) == 1
    assert reports[0].diverged
    assert reports[0].step == trainer.counters.step < 200
    assert trainer.finished
    assert list(trainer.run()) == []


def test_weights_that_are_lost_in_the_last_step_are_a_divergence(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make({"train.budget.steps": 3, "train.reports": 1})
    step = trainer.optimizer.step

    def last_step_overflows() -> None:
        step()
        if trainer.counters.step == 2:
            with torch.no_grad():
                trainer.model.lm_head.weight[0, 0] = math.inf

    monkeypatch.setattr(trainer.optimizer, "step", last_step_overflows)
    (report,) = trainer.run()
    assert (report.step, report.mark, report.diverged) == (3, 1, True)
    assert report.findings == 1
    assert trainer.finished


def test_the_step_that_diverges_changes_no_weight(make: Make) -> None:
    trainer = make()
    trainer.train_step()
    with torch.no_grad():
        trainer.model.lm_head.weight[0, 0] = math.nan
    before = tensors(trainer)
    trainer.train_step()
    assert trainer.counters.diverged
    after = tensors(trainer)
    weights = [name for name in before if name.startswith("weights")]
    changed = [
        n for n in weights if not before[n].equal(after[n]) and n != "weights/lm_head.weight"
    ]
    assert not changed


def test_stop_ends_the_run_between_two_steps_without_a_report(make: Make) -> None:
    straight = make()
    whole = rows(list(straight.run()))
    trainer = make()
    asked: list[int] = []

    def stop() -> bool:
        asked.append(trainer.counters.step)
        return trainer.counters.step in (3, 10)  # 10 is a mark: its report comes after the stop

    assert list(trainer.run(stop)) == []
    assert asked == [1, 2, 3]
    assert not trainer.finished
    assert list(trainer.run(stop)) == []
    assert trainer.counters.step == 10
    assert rows(list(trainer.run(stop))) == whole
    assert_same(tensors(trainer), tensors(straight))


# --- what a run may touch ----------------------------------------------------------------------


class Guarded(ArrowsTask):
    """A task whose test split nobody may look at."""

    def split(self, name: SplitName) -> Split:
        assert name != "test"
        return super().split(name)


def guarded(task: Task, config: Experiment) -> Guarded:
    splits: dict[SplitName, Split] = {name: task.split(name) for name in ("train", "valid", "test")}
    return Guarded(config.task, splits)  # type: ignore[arg-type]


def test_the_test_split_is_never_read(make: Make, tmp_path: Path) -> None:
    plain = make()
    task = guarded(plain.task, plain.config)
    with pytest.raises(AssertionError):
        task.split("test")
    assert rows(list(make(task=task).run())) == rows(list(plain.run()))


def global_states() -> tuple[bytes, str, str]:
    numpy_state = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().numpy().tobytes(), str(numpy_state), str(random.getstate())


def test_global_generators_are_neither_read_nor_moved(make: Make) -> None:
    changes = {**EVERYTHING, "train.budget.steps": 8}
    torch.manual_seed(1)
    random.seed(1)
    before = global_states()
    first = make(changes)
    reports = rows(list(first.run()))
    assert global_states() == before
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    random.seed(2)
    second = make(changes)
    assert rows(list(second.run())) == reports
    assert_same(tensors(first), tensors(second))


def test_two_runs_in_turns_equal_two_runs_alone(make: Make) -> None:
    settings: list[dict[str, Any]] = [
        {"train.reports": 5, "train.ema": 0.9},
        {"train.reports": 5, "train.seed": 1, "model.hidden_size": 32, **GROWTH},
    ]
    alone = [rows(list(make(changes).run())) for changes in settings]
    trainers = [make(changes) for changes in settings]
    runs: list[Iterator[Report]] = [trainer.run() for trainer in trainers]
    turns = [next(run) for _ in range(5) for run in runs]
    assert [rows(turns[0::2]), rows(turns[1::2])] == alone


def test_how_often_a_run_reports_does_not_change_it(make: Make) -> None:
    seldom, often = make({"train.reports": 1}), make({"train.reports": 10})
    last = [list(trainer.run())[-1] for trainer in (seldom, often)]
    assert last[0].exact_accuracy == last[1].exact_accuracy
    assert last[0].lm_loss == last[1].lm_loss
    assert_same(tensors(seldom), tensors(often))


def test_the_seed_covers_weights_order_and_exploration_and_not_the_split(make: Make) -> None:
    a, b, c = make(), make(), make({"train.seed": 1})
    assert_same(tensors(a), tensors(b))
    assert a.task.data_hash == c.task.data_hash
    different = {name for name, t in tensors(a).items() if not torch.equal(t, tensors(c)[name])}
    assert {"weights/embed_tokens", "weights/H_init", "training/exploration"} <= different
    assert not np.array_equal(a.stream.take(16).inputs, c.stream.take(16).inputs)


def test_evaluation_uses_the_averaged_weights_and_gives_the_live_ones_back(make: Make) -> None:
    trainer = make({"train.ema": 0.9})
    list(islice(trainer.run(), 1))
    before = tensors(trainer)
    averaged, live = trainer.evaluate(), trainer.evaluate(live=True)
    assert_same(before, tensors(trainer))
    assert averaged.lm_loss != live.lm_loss
    bare = make({"train.ema": 0.9})
    state = trainer.state_dict()
    bare.model.load_state_dict({**state.weights, **state.ema})
    assert bare.evaluate(live=True) == averaged


def test_valid_examples_cap_an_evaluation(make: Make) -> None:
    assert make().evaluate().examples == 40
    assert make({"train.valid_examples": 7}).evaluate().examples == 7


def test_an_unknown_device_is_refused(make: Make) -> None:
    for device in ("gpu", "meta", "cuda:99"):
        with pytest.raises(UserError, match=rf"train\.device: '{device}'.* use auto"):
            make({"train.device": device})


def test_a_run_sets_its_own_thread_count(make: Make) -> None:
    before = torch.get_num_threads()
    try:
        trainer = make({"train.threads": 2})
        assert resolve(trainer.config.train).threads == 2
        torch.set_num_threads(1)
        seen: list[int] = []
        trainer.train_step = lambda: seen.append(torch.get_num_threads())  # type: ignore[method-assign]
        assert list(trainer.run(lambda: True)) == []
        assert seen == [2]
    finally:
        torch.set_num_threads(before)


# --- learning ----------------------------------------------------------------------------------


def test_a_tiny_run_learns(make: Make) -> None:
    trainer = make(
        {
            "task": {
                "name": "sudoku", "box": [2, 2], "blanks": 4,
                "train_examples": 400, "valid_examples": 50, "test_examples": 20,
            },
            "model.hidden_size": 32,
            "model.swiglu_multiple": 32,
            "model.H_cycles": 1,
            "train.batch_size": 32,
            "train.budget.steps": 100,
        }
    )  # fmt: skip
    untrained = trainer.evaluate()
    first, last = trainer.run()
    assert untrained.exact_accuracy == 0.0
    assert untrained.blank_accuracy < 0.5
    assert last.exact_accuracy > 0.8
    assert last.blank_accuracy > 0.9
    assert last.train_loss < 0.5 * first.train_loss
    assert last.exact_accuracy == last.live_exact_accuracy


def test_reports_say_what_a_model_costs(make: Make) -> None:
    trainer = make()
    *_, last = trainer.run()
    state = trainer.model.state_dict()
    named = dict(trainer.model.named_parameters())
    assert last.parameters == sum(state[name].numel() for name in named)
    assert any("emb" in name for name in named), "embeddings are counted"
    assert 0 < last.latency * trainer.evaluate().examples < last.seconds
    assert 0 < last.latency_ms < 1e3 * last.seconds
    assert last.memory > 2**20
