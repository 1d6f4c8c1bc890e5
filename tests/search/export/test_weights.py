"""What a sweep keeps of its winner, and that whoever has the run evaluates and solves with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.analysis.check import check_run
from search.analysis.repair import repair_run
from search.cli import main
from search.config.plan import Plan, read_plan
from search.config.resolve import with_stability
from search.export.weights import FOLDER, keep_weights, promise_runs, weights_of
from search.ledger.ledger import Ledger
from search.ledger.reader import read_trials
from search.ledger.storage import Place, Remote, place, remove_tree
from search.stability.result import read_result
from search.sweep.run import Run
from tests.support.damaged import finished_run
from tests.support.weighted import with_weights
from trm.checkpoint.head import read_head
from trm.errors import UserError
from trm.files.sums import damage_of


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep whose promise trials have their checkpoints, of models that know nothing."""
    return with_weights(finished_run(tmp_path_factory.mktemp("finished") / "run"))


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def best_of(folder: Path) -> list[int]:
    """The winner's promise trials as its result has them, the best first."""
    result = read_result(folder)
    assert result is not None
    scores = dict(zip(result.promise.seeds, result.promise.scores, strict=True))
    mine = {t.seed: t.id for t in read_trials(folder).values() if t.stage == "promise"}
    return [mine[seed] for seed in sorted(scores, key=lambda seed: -scores[seed])]


def kept(folder: Place, **stability: Any) -> list[str]:
    """Keep weights as a sweep's end does; the lines that it says."""
    plan, result, said = read_plan(folder), read_result(folder), list[str]()
    assert result is not None
    if stability:
        plan = with_stability(plan, stability)
    with Ledger.open(folder) as ledger:
        keep_weights(plan, ledger, result, said.append)
    return said


def names(folder: Place) -> set[str]:
    return {path.name for path in (folder / FOLDER).iterdir()} if _is_there(folder) else set()


def _is_there(folder: Place) -> bool:
    return (folder / FOLDER).is_dir()


def test_the_best_promise_run_evaluates_and_solves_without_the_checkpoints(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = best_of(run)[0]
    assert kept(run) == []
    assert names(run) == {str(best)}
    assert {path.name for path in (run / FOLDER / str(best)).iterdir()} == {
        "checkpoint.json", "weights.safetensors",
    }  # fmt: skip
    shutil.rmtree(run / "checkpoints")
    trial = read_trials(run)[best]
    assert main(["eval", str(run), "--split", "test", "--examples", "5", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["examples"] == 5
    assert f"trial {best}, seed {trial.seed}" in shown.err
    assert main(["solve", str(run), "valid:0", "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == trial.config["model"]["halt_max_steps"]
    solver = Run(run).solver()
    assert solver.head.config.train.seed == trial.seed
    assert solver.evaluate(examples=3).examples == 3


def test_another_training_begins_with_the_winner(run: Path, tmp_path: Path) -> None:
    kept(run)
    shutil.rmtree(run / "checkpoints")
    out = tmp_path / "tuned"
    again = ["train", str(run / "best.yaml"), "--from", str(run), "--out", str(out)]
    assert main([*again, "--set", "train.budget.flops=1e6"]) == 0
    start = json.loads((out / "start.json").read_text())
    assert start["path"] == str(run / FOLDER / str(best_of(run)[0]))
    assert main([*again, "--set", "train.budget.flops=1e6", "--resume"]) == 0


def test_as_many_are_kept_as_the_file_says(run: Path) -> None:
    best = best_of(run)
    assert kept(run, keep=len(best)) == []
    assert names(run) == set(map(str, best))
    kept(run, keep=0)
    assert not _is_there(run)
    [line] = kept(run, keep=1, keep_mb=0.001)
    assert "stability.keep_mb 0.001" in line
    assert not _is_there(run)
    size = sum(
        path.stat().st_size
        for path in (run / str(read_trials(run)[best[0]].checkpoint)).glob("weights*")
    )
    [line] = kept(run, keep=2, keep_mb=1.5 * size / 1e6)
    assert f"{FOLDER}/{best[1]}: is not kept" in line
    assert names(run) == {str(best[0])}


def test_what_was_cut_short_or_of_another_winner_is_not_taken(run: Path) -> None:
    best = best_of(run)[0]
    kept(run)
    (run / FOLDER / str(best) / "weights.safetensors").unlink()
    shutil.copytree(run / FOLDER / str(best), run / FOLDER / "0")
    with weights_of(run) as weights:
        assert weights.checkpoint == run / str(read_trials(run)[best].checkpoint)
    kept(run)
    assert names(run) == {str(best)}
    with weights_of(run) as weights:
        assert weights.checkpoint == run / FOLDER / str(best)
        assert damage_of(weights.checkpoint) is None
        assert read_head(weights.checkpoint).config.train.seed == read_trials(run)[best].seed


def test_what_is_gone_is_said(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(run / "checkpoints")
    [line] = kept(run)
    assert "gone or damaged" in line
    assert main(["eval", str(run)]) == 2
    assert "gone or damaged" in capsys.readouterr().err
    assert main(["eval", str(run), "--trial", "99"]) == 2
    assert main(["eval", str(run.parent), "--trial", "1"]) == 2
    assert "is of a sweep's run" in capsys.readouterr().err
    (run / "result.json").unlink()
    shutil.rmtree(run / "spare")
    with pytest.raises(UserError, match="has no winner yet"), weights_of(run):
        pass


def test_damage_is_seen_and_mended(run: Path) -> None:
    kept(run)
    assert check_run(run).damaged == []
    path = run / FOLDER / str(best_of(run)[0]) / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    [damage] = check_run(run).damaged
    assert "copies it again" in damage.what
    assert repair_run(run).whole
    assert not path.exists()
    kept(run)
    assert path.is_file()


def test_the_reference_recipe_as_winner(run: Path) -> None:
    """Its promise trials are the reference's, where those are there."""
    plan, result, trials = read_plan(run), read_result(run), read_trials(run)
    assert result is not None
    for other in [t.id for t in trials.values() if t.stage == "reference"]:
        del trials[other]
    mine = [t for t in trials.values() if t.stage == "promise"]
    trials[result.winner].params = plan.space.default()[0]
    before = [trial.id for trial in promise_runs(plan, result, trials)]
    assert before == best_of(run)
    for trial in mine:
        trial.stage, trial.candidate = "reference", -1
    assert [trial.id for trial in promise_runs(plan, result, trials)] == before
    mine[0].outcome = "diverged"
    assert mine[0].id not in {trial.id for trial in promise_runs(plan, result, trials)}


def test_on_an_object_store(
    run: Path, uri: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    there = place(uri("run"))
    assert isinstance(there, Remote)
    for path in run.rglob("*"):
        if path.is_file() and path.name != "lock":
            (there / str(path.relative_to(run))).write_bytes(path.read_bytes())
    best = best_of(run)[0]
    assert kept(there) == []
    assert names(there) == {str(best)}
    remove_tree(there / "checkpoints")
    assert main(["eval", str(there), "--examples", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == 4
    # Cut short: a part is there, and what made it is gone.
    (there / FOLDER / str(best) / "weights.safetensors").unlink()
    assert main(["eval", str(there)]) == 2


def test_minimised_scores(run: Path) -> None:
    plan, result, trials = read_plan(run), read_result(run), read_trials(run)
    assert result is not None
    least = plan.objective.model_copy(update={"direction": "minimize"})
    turned = _with_objective(plan, least)
    assert [one.id for one in promise_runs(turned, result, trials)] == best_of(run)[::-1]


def _with_objective(plan: Plan, objective: Any) -> Plan:
    from dataclasses import replace

    search = plan.sections.search.model_copy(update={"objective": [objective]})
    return replace(plan, sections=plan.sections.model_copy(update={"search": search}))
