"""Learning a curriculum: real trainings that take over from each other, and their replays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from search.cli import main
from search.config.plan import Plan
from search.engine.job import Job, build_trainer
from search.explore.population import Population
from search.ledger.ledger import Ledger
from search.ledger.lineage import spent
from search.ledger.reader import read_curves, read_trials
from search.ledger.trial import Trial
from search.stability.result import read_result
from tests.support.planned import checked, planned
from trm.checkpoint.writing import save_checkpoint
from trm.config import experiment_from
from trm.errors import UserError
from trm.files.yaml12 import dump_yaml, read_yaml
from trm.report import MACHINE_COLUMNS
from trm.training.curriculum import begin_course, full_stage
from trm.training.trainer import Trainer

TREE: dict[str, Any] = {
    "name": "learned",
    "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 150,
             "valid_examples": 40, "test_examples": 30},
    "model": {"mixer": "mlp_t", "hidden_size": {"choice": {"options": [16, 24], "default": "16"}},
              "L_layers": 1, "expansion": 1.0, "swiglu_multiple": 16, "puzzle_emb_len": 1,
              "H_cycles": 2, "L_cycles": 3, "halt_max_steps": 3},
    "optimizer": {"name": "adamw", "lr": 1e-2, "lr_warmup_steps": 5, "lr_min_ratio": 0.1},
    "train": {"batch_size": 16, "budget": {"steps": 30}, "reports": 1, "ema": 0.9},
    "search": {
        "objective": "cell_accuracy",
        "scheduler": {
            "name": "pbt", "members": 4, "generations": 4, "quantile": 0.5,
            "learn": ["H_cycles", "L_cycles", "supervision_steps", "halt_weight", "exploration",
                      "learning_rate", "latent_noise", "difficulty_position", "difficulty_width"],
        },
    },
    "stability": {"candidates": 1, "seeds": 1, "promise_seeds": 2},
}  # fmt: skip


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planned(TREE)


def play(population: Population, ledger: Ledger, plan: Plan, most: int = 10**9) -> None:
    """Train stretch by stretch in this process; stops dead after `most` acknowledged reports."""
    while (trial := population.next()) is not None:
        attempt = ledger.begin_attempt(trial.id)
        job = Job(
            str(ledger.folder), trial.id, attempt, trial.config, trial.seed, plan.budget,
            plan.marks, trial.checkpoint,
        )  # fmt: skip
        training = build_trainer(job)
        for report in training.run():
            path = f"{job.checkpoints}/{attempt}/{report.mark}"
            training.save(ledger.folder / path)
            ledger.acknowledge(trial.id, attempt, report.row(), path)
            most -= 1
            if not most:
                return
            if population.on_report(trial, report.row()) == "complete":
                ledger.finish(trial.id, "completed", population.score(report.row()))
                population.on_end(trial)
                break


def place(trial: Trial) -> tuple[int, int]:
    return trial.params["generation"], trial.params["member"]


@pytest.fixture(scope="module")
def learned(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """A whole population, trained one member after another."""
    with Ledger.create(tmp_path_factory.mktemp("population") / "run") as ledger:
        play(Population(plan, ledger, 0.0), ledger, plan)
        yield ledger


def test_every_member_trains_every_generation_once(learned: Ledger) -> None:
    trials = list(learned.trials.values())
    assert sorted(map(place, trials)) == [(g, m) for g in range(4) for m in range(4)]
    assert {trial.outcome for trial in trials} == {"completed"}
    by_id = learned.trials
    took_over = 0
    for trial in trials:
        parent = trial.params["parent"]
        assert (parent is None) == (trial.params["generation"] == 0)
        if parent is not None:
            assert by_id[parent].params["generation"] == trial.params["generation"] - 1
            took_over += by_id[parent].params["member"] != trial.params["member"]
            assert by_id[parent].config["model"] == trial.config["model"]
            assert learned.curve(parent)[-1]["mark"] < learned.curve(trial.id)[0]["mark"]
    assert took_over >= 3


def test_a_learned_curriculum_replays_to_the_same_stages_and_weights(
    learned: Ledger, plan: Plan, tmp_path: Path
) -> None:
    last = [t for t in learned.trials.values() if t.params["generation"] == 3]
    changes = set()
    for trial in last:
        # As a user has it: written to a file, read back, trained alone.
        (tmp_path / "learned.yaml").write_text(dump_yaml(experiment_from(trial.config).tree()))
        config = experiment_from(read_yaml(tmp_path / "learned.yaml"))
        trainer = Trainer(config, config.task.build(), plan.budget, plan.marks)
        reports = list(trainer.run())
        line = [trial]
        while line[-1].params["parent"] is not None:
            line.append(learned.trials[line[-1].params["parent"]])
        for report, ancestor in zip(reports, reversed(line), strict=True):
            row = learned.curve(ancestor.id)[-1]
            settings = ancestor.params
            assert (report.H_cycles, report.L_cycles, report.supervision_steps) == tuple(
                settings[f"setting.{name}"]
                for name in ("H_cycles", "L_cycles", "supervision_steps")
            )
            alike = {k: v for k, v in report.row().items() if k not in MACHINE_COLUMNS}
            assert alike == {key: row[key] for key in alike}
            changes.add((report.mark, report.H_cycles, report.L_cycles, report.lr_factor))
        save_checkpoint(tmp_path / str(trial.id), trainer)
        assert trial.checkpoint is not None
        for file in ("weights", "ema", "training"):
            stored = load_file(learned.folder / trial.checkpoint / f"{file}.safetensors")
            again = load_file(tmp_path / str(trial.id) / f"{file}.safetensors")
            assert stored.keys() == again.keys()
            assert all(torch.equal(stored[name], again[name]) for name in stored)
    assert len(changes) > len(plan.marks), "nothing was learned that could be replayed"


@pytest.mark.parametrize(
    "reports", [4, 11, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 6, 15))]
)
def test_a_population_stopped_anywhere_ends_the_same(
    reports: int, learned: Ledger, plan: Plan, tmp_path: Path
) -> None:
    with Ledger.create(tmp_path / "run") as ledger:
        play(Population(plan, ledger, 0.0), ledger, plan, most=reports)
    with Ledger.open(tmp_path / "run") as ledger:
        play(Population(plan, ledger, 0.0), ledger, plan)
        assert {place(t): (t.params, t.score) for t in ledger.trials.values()} == {
            place(t): (t.params, t.score) for t in learned.trials.values()
        }


@pytest.mark.parametrize(
    "stored", [2, 13, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, 5, 7, 15))]
)
def test_members_half_stored_by_a_killed_driver_are_completed(
    stored: int, learned: Ledger, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.create(tmp_path / "run") as ledger:
        add = ledger.add_trial

        def killed(**values: Any) -> Trial:
            if len(ledger.trials) == stored:
                raise KeyboardInterrupt
            return add(**values)

        monkeypatch.setattr(ledger, "add_trial", killed)
        with pytest.raises(KeyboardInterrupt):
            play(Population(plan, ledger, 0.0), ledger, plan)
        assert len(ledger.trials) == stored
    with Ledger.open(tmp_path / "run") as ledger:
        play(Population(plan, ledger, 0.0), ledger, plan)
        assert {
            place(t): (t.params["parent"] is None, t.score) for t in ledger.trials.values()
        } == {place(t): (t.params["parent"] is None, t.score) for t in learned.trials.values()}


def test_what_ancestors_spent_counts_once(learned: Ledger, plan: Plan) -> None:
    compute, seconds = spent(learned.trials)
    # Four runs of the whole budget, each over by less than a step a generation.
    assert 4.0 <= compute / plan.budget < 4.0 + 16 * 0.05
    assert 0.0 < seconds < sum(trial.seconds for trial in learned.trials.values())


def test_nothing_learned_is_the_rest_of_the_config(learned: Ledger) -> None:
    first = next(t for t in learned.trials.values() if place(t) == (0, 0))
    config = experiment_from(first.config)
    assert begin_course(config, config.task.build()).advance(0.0) == full_stage(config)


def test_a_generation_of_less_than_a_step_is_refused() -> None:
    tree = {**TREE, "train": {**TREE["train"], "budget": {"steps": 3}}}
    with pytest.raises(UserError, match=r"search\.scheduler\.generations: 4 is more than the 3"):
        planned(tree)


def test_all_members_failing_ends_the_search(plan: Plan, tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "run") as ledger:
        population = Population(plan, ledger, 0.0)
        while (trial := population.next()) is not None:
            ledger.finish(trial.id, "crashed", 0.0, "on purpose")
            population.on_end(trial)
        assert population.exhausted()
        assert len(ledger.trials) == 4


def test_only_the_last_generations_checkpoints_stay(learned: Ledger) -> None:
    kept = {
        int(path.parent.parent.parent.name)
        for path in learned.folder.glob("checkpoints/*/*/*/checkpoint.json")
    }
    assert kept == {t.id for t in learned.trials.values() if t.params["generation"] == 3}


def test_a_sweep_with_a_population_ends_in_a_winner_that_trains_alone(
    ray_cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "learned.yaml").write_text(dump_yaml(TREE))
    run = tmp_path / "run"
    sets = ["--set", "search.scheduler.members=2", "--set", "search.scheduler.generations=2"]
    words = ["sweep", str(tmp_path / "learned.yaml"), "--out", str(run), "--parallel", "1", *sets]
    assert main(words) == 0
    trials = read_trials(run)
    result = read_result(run)
    assert result is not None
    assert trials[result.winner].stage == "population"
    assert trials[result.winner].params["generation"] == 1
    curves = read_curves(run).to_pylist()
    assert len({(row["trial"], row["mark"]) for row in curves}) == len(curves)
    assert main(["status", str(run)]) == 0
    text = capsys.readouterr().out
    assert "population" in text
    assert "  from 0%: H_cycles " in text
    assert "2 members x 2 generations" in text
    assert main(["export", str(run), "--trial", "0"]) == 0
    assert "a stretch that ends at 5" in capsys.readouterr().out
    assert main(["train", str(run / "best.yaml"), "--out", str(tmp_path / "again")]) == 0
    assert f"{result.promise.scores[0]:.3f} is" in capsys.readouterr().out
    assert main([*words, "--resume", "--trials", "9"]) == 2
    assert "--trials: 9 does not count with pbt" in capsys.readouterr().err
    assert main([*words, "--dry-run", "--trials", "9"]) == 2


def test_a_space_without_parameters_is_enough_for_a_population() -> None:
    tree = {**TREE, "model": {**TREE["model"], "hidden_size": 16}}
    assert not checked(tree).space.parameters
    with pytest.raises(UserError, match="nothing to search"):
        checked({**tree, "search": {}})
