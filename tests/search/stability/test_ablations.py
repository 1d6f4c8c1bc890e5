"""Ablations: their configs, their table, and one through the engine that resumes and extends."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.cli import main
from search.config.ablations import PAPER
from search.config.config import read_config
from search.config.plan import Plan, simulated_plan
from search.engine.driver import Runner
from search.ledger.book import Book
from search.ledger.reader import read_trials
from search.stability.ablation_arms import arms
from search.stability.ablation_table import ablations_markdown, tabled
from search.stability.ablations import ablate, ablation_trials, read_ablations
from search.stats.intervals import difference
from tests.support.folders import ROOT
from tests.support.toy_training import SWEPT
from trm.config import experiment_from
from trm.errors import UserError
from trm.files.yaml12 import dump_yaml

TREE: dict[str, Any] = {
    "name": "ablated",
    "task": {"name": "arrows", "size": 4, "train_examples": 60, "valid_examples": 30,
             "test_examples": 10},
    "model": {"mixer": "mlp_t", "hidden_size": 16, "num_heads": 2, "H_cycles": 3, "L_cycles": 2,
              "L_layers": 1, "expansion": 1.0, "swiglu_multiple": 8, "puzzle_emb_len": 1,
              "halt_max_steps": 2},
    "optimizer": {"name": "adamw", "lr": 0.2, "lr_warmup_steps": 2},
    "train": {"batch_size": 1, "budget": {"flops": 1e6}, "reports": 2, "ema": 0.9, "seed": 3},
    "ablations": {"seeds": 3, "named": {"wild": {"optimizer.lr": 5.0},
                                        "slow": {"optimizer.lr": 0.01}}},
}  # fmt: skip


def with_ablations(section: Any) -> dict[str, Any]:
    return {**TREE, "ablations": section}


def fill(plan: Plan, scores: dict[str, list[float | None]]) -> Book:
    book = Book()
    for trial in ablation_trials(plan, book):
        value = scores[trial.params["ablation"]].pop(0)
        book.begin_attempt(trial.id)
        outcome = "completed" if value is not None else "diverged"
        book.finish(trial.id, outcome, 0.0 if value is None else value)  # type: ignore[arg-type]
    return book


def test_the_papers_set_fits_the_base() -> None:
    found, left_out = arms(read_config(with_ablations(PAPER)))
    trees = {arm.name: experiment_from(arm.tree) for arm in found}
    assert trees["no_ema"].train.ema is None
    assert trees["softmax"].loss.loss_type == "softmax_cross_entropy"
    assert trees["attention"].model.mixer == "attention"
    assert not trees["no_carry"].model.carry_latent
    assert trees["one_step_gradient"].model.one_step_gradient
    assert (trees["depth_halved"].model.H_cycles, trees["depth_halved"].model.L_cycles) == (2, 1)
    assert trees["twice_the_layers"].model.L_layers == 2
    assert trees["cgar"].curriculum.name == "cgar"
    assert trees["base"].model.H_cycles == 3
    assert not left_out
    without = {**with_ablations(PAPER), "train": {**TREE["train"], "ema": None}}
    found, left_out = arms(read_config(without))
    assert "no_ema" not in [arm.name for arm in found]
    assert "changes nothing" in left_out["no_ema"]


def test_a_base_of_its_own() -> None:
    section = {"base": {"optimizer.lr": 0.4}, "named": {"no_ema": {"train.ema": None}}}
    (base, other), _ = arms(read_config(with_ablations(section)))
    assert base.tree["optimizer"]["lr"] == other.tree["optimizer"]["lr"] == 0.4
    assert TREE["optimizer"]["lr"] == 0.2, "the file's tree is left alone"


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"named": {"a": {"train.emma": None}}}, "ablations.named.a: train.emma"),
        ({"named": {"a": {"train.ema": 2.0}}}, "ablations.named.a: train.ema"),
        ({"named": {"a": {"train.ema": 0.9}}}, "ablations.named.a.*changes nothing"),
        ({"named": {"a": {"train.budget": {"steps": 1}}}}, "must be the same"),
        ({"named": {"a": {"train.seed": 1}}}, "must be the same"),
        ({"named": {"a": {"train": {"ema": None}}}}, "replace the whole section"),
        ({"base": {"train": {"ema": None}}, "named": {}}, "ablations.base.train"),
        ({"named": {"a": {"task.size": 5}}}, "cannot be changed by an ablation"),
        ({"named": {"a": {"search.trials": 5}}}, "cannot be changed by an ablation"),
        ({"named": {"a": {"name.x": 5}}}, "ablations.named.a.name.x"),
        ({"named": {"a": {"train.ema.x": 5}}}, "ablations.named.a.train.ema.x"),
        ({"named": {"base": {"train.ema": None}}}, "base's own name"),
        ({"base": {"train.emma": 1}, "named": {"a": {"train.ema": None}}}, "ablations.base"),
        ({"named": {}}, "ablations.named"),
        ("papre", "ablations.named: 'papre' is no set of ablations: take paper"),
        ({"base": 3, "named": "paper"}, "ablations.base: 3 is no base: take default"),
        ({"named": {"a": 3}}, "ablations.named: a: 3 must be a mapping"),
        ({"seeds": 1, "named": "paper"}, "ablations.seeds"),
    ],
)
def test_bad_ones_name_the_ablation_and_start_nothing(
    section: Any, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=words):
        arms(read_config(with_ablations(section)))
    file = tmp_path / "file.yaml"
    file.write_text(dump_yaml(with_ablations(section)))
    assert main(["ablate", str(file), "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("section", [None, 3, ["a"]])
def test_a_section_that_is_none_is_one_line_with_seeds_too(
    section: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(dump_yaml(with_ablations(section)))
    assert main(["ablate", str(file), "--seeds", "3", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "ablations" in error
    assert error.count("\n") == 1


def test_the_table_is_welchs_difference_with_failures_at_the_floor() -> None:
    plan = simulated_plan(TREE)
    scores: dict[str, list[float | None]] = {
        "base": [0.80, 0.84, 0.82], "wild": [None, None, 0.5], "slow": [0.81, 0.85, 0.80],
    }  # fmt: skip
    expected = {
        name: difference([s or 0.0 for s in own], [0.80, 0.84, 0.82], 0.9, examples=30)
        for name, own in scores.items()
    }
    found = tabled("run", plan, fill(plan, {k: list(v) for k, v in scores.items()}))
    base, wild, slow = found.lines
    assert base.difference is None
    assert base.mean == pytest.approx(0.82)
    assert (wild.failures, wild.scores) == (2, [0.0, 0.0, 0.5])
    for line in (wild, slow):
        own = expected[line.name]
        assert (line.difference, line.low, line.high) == (own.mean, own.low, own.high)
        assert (line.beats, line.seeds_needed) == (own.wins, own.seeds)
    assert found.complete
    table = ablations_markdown(found)
    assert "| wild | 0.167 | -0.653 (" in table
    assert "| 2 of 3 |" in table
    assert "| base | 0.820 |  | 0 of 3 |" in table
    assert "\n3 seeds each," in table
    fewer = replace(found, lines=[base, replace(slow, scores=[0.8])])
    assert "\n1 to 3 seeds each," in ablations_markdown(fewer)


def test_less_is_better_turns_the_winning_but_not_the_difference() -> None:
    tree = {**TREE, "search": {"objective": {"column": "lm_loss", "floor": 9.0}}}
    plan = simulated_plan(tree)
    scores = {"base": [1.0, 1.1, 1.2], "wild": [5.0, 5.1, 5.2], "slow": [0.5, 0.4, 0.6]}
    book = fill(plan, {key: list(values) for key, values in scores.items()})
    _, wild, slow = tabled("run", plan, book).lines
    assert wild.difference == pytest.approx(4.0)
    assert wild.low is not None
    assert wild.high is not None
    assert wild.low < 4.0 < wild.high
    assert wild.beats is not None
    assert slow.beats is not None
    assert wild.beats < 0.05 < 0.95 < slow.beats


def test_an_ablation_that_has_run_keeps_its_values() -> None:
    plan = simulated_plan(TREE)
    book = fill(plan, {name: [0.5] * 3 for name in ("base", "wild", "slow")})
    count = len(book.trials)
    assert len(ablation_trials(plan, book)) == len(book.trials) == count == 9
    assert [t.seed for t in book.trials.values()][:4] == [4004, 4004, 4004, 4005]
    changed = with_ablations({"named": {"wild": {"optimizer.lr": 4.0}}, "seeds": 3})
    with pytest.raises(UserError, match="wild: has run with other values"):
        ablation_trials(simulated_plan(changed), book)
    assert len(book.trials) == count


def test_they_run_through_the_engine_resume_and_extend(
    ray_cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, run = tmp_path / "file.yaml", tmp_path / "run"
    file.write_text(dump_yaml(TREE))
    runner = Runner(factory=SWEPT, path=[str(ROOT)], parallel=1)
    found = ablate(file, out=run, seeds=2, runner=runner)
    trials = read_trials(run)
    assert len(trials) == 6
    assert {t.stage for t in trials.values()} == {"ablation"}
    assert {t.outcome for t in trials.values() if t.params["ablation"] == "wild"} == {"diverged"}
    assert [line.failures for line in found.lines] == [0, 2, 0]
    assert json.loads((run / "ablations.json").read_text())["lines"][1]["name"] == "wild"
    assert "| wild |" in (run / "ablations.md").read_text()
    with pytest.raises(UserError, match="resume"):
        ablate(file, out=run, runner=runner)
    more = {**TREE["ablations"], "named": {**TREE["ablations"]["named"], "half": {
        "optimizer.lr": 0.1}}}  # fmt: skip
    file.write_text(dump_yaml(with_ablations(more)))
    extended = ablate(file, out=run, seeds=3, resume=True, runner=runner)
    assert len(read_trials(run)) == 12
    assert extended.lines[0].scores[:2] == found.lines[0].scores
    assert extended.complete
    assert read_ablations(run) == extended
    assert main(["status", str(run)]) == 0
    shown = capsys.readouterr().out
    assert "4 configs x 3 seeds" in shown
    assert "| half |" in shown
    assert main(["ablate", str(file), "--out", str(run), "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["seeds"] == 3
    before = (run / "sweep.yaml").read_text()
    assert main(["stability", str(run)]) == 2
    assert "holds ablations" in capsys.readouterr().err
    assert (run / "sweep.yaml").read_text() == before


@pytest.mark.slow
def test_real_trainings_at_equal_compute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRM_CACHE", str(tmp_path / "cache"))
    tree = with_ablations({"named": "paper", "seeds": 2})
    tree["train"] = {**TREE["train"], "batch_size": 8, "budget": {"steps": 6}}
    tree["optimizer"] = {**TREE["optimizer"], "lr": 0.01}
    file = tmp_path / "file.yaml"
    file.write_text(dump_yaml(tree))
    assert main(["ablate", str(file), "--out", str(tmp_path / "run")]) == 0
    table = capsys.readouterr().out
    assert "| no_carry |" in table
    trials = read_trials(tmp_path / "run").values()
    assert {t.outcome for t in trials} == {"completed"}
    budget = next(iter(trials)).compute
    assert all(t.compute == pytest.approx(budget, rel=0.6) for t in trials)


def test_the_preset_has_them() -> None:
    found, _ = arms(read_config("arrows4-ablations"))
    assert len(found) >= 10
    everything, _ = arms(read_config("arrows4-ablations", ["ablations=paper"]))
    assert {"cgar", "no_carry", "bandit"} <= {arm.name for arm in everything}
