"""One reading of a config: what it holds, how often it is read, and what reading never runs."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import search.engine.driver
import trm
from curricula.component import Component
from search.cli import main
from search.config.config import config_from, read_config
from search.config.plan import read_plan
from search.config.sections import SweepSections
from search.samplers import SAMPLERS
from search.sweep import sweep
from tests.support.folders import RUNS_V1
from tests.support.planned import planned
from tests.support.plugin_folder import working_in
from tests.support.widened import widened
from trm.config import Experiment
from trm.errors import UserError
from trm.files.run_folder import run_folder_of
from trm.files.yaml12 import dump_yaml

READING = ("status", "report", "importance", "fidelity", "diagnose", "export")
PLUGIN = """
from pathlib import Path
from typing import Literal
from search.samplers import SAMPLERS
from search.samplers.random import RandomConfig

class Mine(RandomConfig):
    name: Literal["mine"] = "mine"
    colour: str = "red"

SAMPLERS["mine"] = Mine
"""


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the sections of a sweep and an experiment have been read."""
    found: Counter[str] = Counter()

    def counted(kind: type[Component]) -> None:
        read = kind.model_validate

        def validate(tree: Any, **given: Any) -> Any:
            found[kind.__name__] += 1
            return read(tree, **given)

        monkeypatch.setattr(kind, "model_validate", validate)

    counted(SweepSections)
    counted(Experiment)
    return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with working_in(tmp_path, monkeypatch) as folder:
        before = dict(SAMPLERS)
        yield folder
        SAMPLERS.clear()
        SAMPLERS.update(before)


@pytest.mark.parametrize("preset", ["arrows4", "arrows5", "sudoku6"])
def test_a_start_of_a_sweep_reads_the_sections_once(
    preset: str, reads: Counter[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Started(Exception):
        pass

    def start(*args: Any, **kwargs: Any) -> Any:
        raise Started

    monkeypatch.setattr(search.engine.driver, "connected", start)
    small = ["task.train_examples=50", "task.valid_examples=20", "task.test_examples=20"]
    with pytest.raises(Started):
        sweep(preset, sets=small, out=tmp_path / "run")
    assert reads["SweepSections"] == 1
    assert 1 <= reads["Experiment"] <= 3
    assert len(read_plan(tmp_path / "run").space.parameters) > 3
    assert list((tmp_path / "run").glob("log/*")), "the first trial has been drawn by then"


def test_settings_and_options_of_the_command_line_are_part_of_it() -> None:
    config = read_config("arrows4", ["search.trials=5", "train.seed=9"])
    assert (config.sections.search.trials, config.default.train.seed) == (5, 9)
    more = config.with_trials(7).with_warm_start(["a", Path("b")])
    assert (more.sections.search.trials, more.sections.search.warm_start) == (7, ["a", "b"])
    again = config_from(more.tree)
    assert again.sections == more.sections, "the tree says the same"
    assert config.sections.search.trials == 5, "nothing is changed in place"
    assert read_config(config) is config
    assert read_config(config, ["train.seed=3"]).default.train.seed == 3
    bred = read_config("arrows4-population")
    with pytest.raises(UserError, match=r"^--trials: 3 does not count with pbt: set search\.sch"):
        bred.with_trials(3)


def test_a_tree_is_a_config_and_stays_as_it_is(tiny: Any) -> None:
    tree = tiny({"optimizer.lr": {"loguniform": [1e-3, 1e-2]}})
    before = json.dumps(tree)
    config = read_config(tree, ["model.hidden_size=48"])
    assert json.dumps(tree) == before
    drawn = config.space.apply({"optimizer.lr": 0.002})
    assert config.experiment(drawn).optimizer.lr == 0.002
    assert config.experiment(drawn).model is config.default.model, "what is alike is not read again"
    with pytest.raises(UserError, match=r"^optimizer\.lr: 'x' must be a number$"):
        config.experiment({**drawn, "optimizer": {**drawn["optimizer"], "lr": "x"}})


def test_a_plugin_comes_before_the_sections_that_name_what_it_brings(here: Path, tiny: Any) -> None:
    beside = here / "configs"
    beside.mkdir()
    (beside / "brings_a_sampler_of_test.py").write_text(PLUGIN)
    tree = tiny({"optimizer.lr": {"loguniform": [1e-3, 1e-2]}})
    tree |= {"plugins": ["brings_a_sampler_of_test"], "search": {"sampler": "mine"}}
    with pytest.raises(UserError, match="cannot be imported: ModuleNotFoundError"):
        read_config(tree)
    file = beside / "mine.yaml"
    file.write_text(dump_yaml(tree))
    config = read_config(file)
    assert config.sections.search.sampler.model_dump() == {"name": "mine", "colour": "red"}
    assert config.folders == (here, beside), "workers look there too"
    with pytest.raises(UserError, match=r"^search\.sampler\.color: unknown key: did you mean"):
        read_config({**tree, "search": {"sampler": {"name": "mine", "color": "red"}}})


# --- a stranger's run folder -------------------------------------------------------------------


@pytest.fixture
def strange(here: Path) -> Path:
    """A finished run that names plug-ins, which lie in it, and components that they bring."""
    run = here / "strange"
    shutil.copytree(RUNS_V1 / "finished", run)
    plan = read_plan(widened(run, configs=8))
    tree = {**plan.tree, "plugins": ["evil", "strange.evil"]}
    tree["search"] = {**tree["search"], "sampler": {"name": "theirs", "depth": 3}}
    tree["task"] = {"name": "theirs", "size": 3}
    tree["optimizer"] = {"name": "theirs", "lr": {"loguniform": [1e-3, 1e-1]}}
    (run / "sweep.yaml").write_text(dump_yaml(tree))
    head = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**head, "study": "strange-0"}))
    (run / "evil.py").write_text(f"open({str(here / 'ran')!r}, 'w')")
    return run


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize("inside", [False, True])
def test_commands_that_read_run_nothing_of_a_run_folder(
    command: str, inside: bool, strange: Path, here: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(strange if inside else here)
    assert main([command, str(strange)]) == 0, capsys.readouterr().err
    assert not (here / "ran").exists()


def test_two_strangers_compare(strange: Path, here: Path, capsys: Any) -> None:
    assert main(["compare", str(strange), str(RUNS_V1 / "finished")]) == 0
    assert "have different tasks" in capsys.readouterr().out
    assert not (here / "ran").exists()


@pytest.mark.parametrize("command", ["stability", "sensitivity"])
@pytest.mark.parametrize("where", ["strange", "."])
def test_commands_that_train_refuse_plugins_that_lie_in_a_run_folder(
    command: str, where: str, strange: Path, here: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(here / where)
    if where == ".":  # from beside it, as a package of the folder's name
        text = (strange / "sweep.yaml").read_text()
        (strange / "sweep.yaml").write_text(text.replace("- evil\n", ""))
    assert main([command, str(strange)]) == 2
    assert "run folder" in capsys.readouterr().err
    assert not (here / "ran").exists()


def test_a_path_knows_its_run_folder(tmp_path: Path) -> None:
    assert run_folder_of(tmp_path) is None
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").touch()
    assert run_folder_of(run / "x.py") is None
    (run / "sweep.yaml").touch()
    assert run_folder_of(run / "deep" / "x.py") == run


def test_what_a_plan_draws_has_the_budget_in_flops(tiny: Any) -> None:
    plan = planned(tiny({"optimizer.lr": {"loguniform": [1e-3, 1e-2]}}))
    for tree in (plan.tree, plan.default_tree, plan.space.apply({"optimizer.lr": 0.002})):
        assert tree["train"]["budget"] == {"flops": plan.budget}
        assert plan.experiment(plan.default_tree) == plan.default
    assert plan.default.train.budget.flops == plan.budget > 1e3


def test_what_is_no_config_is_refused_in_a_line() -> None:
    # The two calls take each other's objects easily for their own.
    config = read_config("arrows4")
    with pytest.raises(UserError, match=r"^config: a Config is no .*: .* pass its `default`$"):
        trm.train(config)  # type: ignore[arg-type]
    for wrong, kind in ((config.default, "Experiment"), (None, "NoneType"), (5, "int")):
        with pytest.raises(UserError, match=f"^config: a {kind} is no path, preset's name"):
            read_config(wrong)  # type: ignore[arg-type]
