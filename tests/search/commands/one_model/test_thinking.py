"""`trm eval` and `trm solve` with depth, breadth, noise, selectors and halting rules."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.analysis.thought.result import read_thought
from search.commands.one_model.thinking import PICK_NAMES
from tests.support.damaged import finished_run
from tests.support.weighted import with_weights
from trm.solver import load
from trm.thought.config import NoiseConfig
from trm.thought.picks import PICKS
from trm.thought.points import point

PUZZLE = "12.4341221434.21"


def tree(result: Any) -> dict[str, Any]:
    assert (result.code, result.err) == (0, "")
    found: dict[str, Any] = json.loads(result.out)
    return found


def test_names_of_selectors_are_those_that_there_are() -> None:
    assert sorted(PICK_NAMES) == sorted(PICKS)


def test_one_pass_says_what_each_depth_and_breadth_says_alone(cli: Any, sudoku_run: Path) -> None:
    words = ("--noise", "0.4", "--seed", "2", "--json")
    found = tree(cli("eval", sudoku_run, "--depth", "1,2", "--breadth", "1,3", *words))
    plain = tree(cli("eval", sudoku_run, "--steps", "6", "--json"))
    assert [(p["depth"], p["breadth"]) for p in found["points"]] == [(1, 1), (2, 1), (1, 3)]
    assert (found["trained_steps"], found["examples"], found["source"]) == (3, 30, "valid")
    assert (found["noise"]["z_L"], found["noise"]["z_H"], found["seed"]) == (0.4, 0.0, 2)
    assert found["picks"][0] == "best_q"
    assert sorted(found["picks"]) == sorted(PICKS)
    by_step = plain["exact_accuracy_by_step"]
    assert [p["picked"]["q"]["mean"] for p in found["points"][:2]] == [by_step[2], by_step[5]]
    assert found["points"][1]["picked"]["best_q"]["mean"] == plain["best_q_accuracy"]
    solver = load(sudoku_run)
    alone = solver.record(
        solver.split("valid"), [3, 3, 3], noise=NoiseConfig(z_L=0.4), seed=2
    )  # fmt: skip
    expected, wide = point(alone, 3, 3), found["points"][2]
    assert wide["passed"]["mean"] == expected.passed.mean()
    for name in PICKS:
        assert wide["picked"][name]["mean"] == expected.picked[name].mean()
    assert [p["mean_steps"] for p in found["points"]] == [3.0, 6.0, 9.0]
    assert wide["flops"] == pytest.approx(9 * solver.step_flops)


def test_a_grid_has_every_pair_and_pick_says_which_selectors(cli: Any, sudoku_run: Path) -> None:
    words = ("--depth", "1,2", "--breadth", "1,2", "--grid", "--pick", "vote,q")
    found = tree(cli("eval", sudoku_run, *words, "--examples", "5", "--json"))
    pairs = [(p["depth"], p["breadth"]) for p in found["points"]]
    assert pairs == [(1, 1), (2, 1), (1, 2), (2, 2)]
    assert found["picks"] == ["vote", "q"]
    assert {name for p in found["points"] for name in p["picked"]} == {"q", "vote"}


def test_a_rule_that_halts_saves_steps(cli: Any, sudoku_run: Path) -> None:
    words = (sudoku_run, "--depth", "1", "--json", "--halt")
    by = {
        rule: tree(cli("eval", *words, rule))["points"][0]
        for rule in ("threshold", "config", "{name: threshold, eval_threshold: 1.0e-9}")
    }
    plain = tree(cli("eval", sudoku_run, "--json"))
    assert by["threshold"]["mean_steps"] == by["config"]["mean_steps"]
    assert by["config"]["mean_steps"] == pytest.approx(plain["mean_steps"])
    assert by["config"]["picked"]["q"]["mean"] == plain["early_exact_accuracy"]
    eager = by["{name: threshold, eval_threshold: 1.0e-9}"]
    assert eager["mean_steps"] == 1.0
    assert eager["picked"]["q"]["mean"] == plain["exact_accuracy_by_step"][0]


def test_the_rule_counts_without_depth_too(cli: Any, sudoku_run: Path) -> None:
    by_rule = cli("eval", sudoku_run, "--halt", "{name: threshold, eval_threshold: 0.9}", "--json")
    assert tree(by_rule) == tree(cli("eval", sudoku_run, "--halt-threshold", "0.9", "--json")) | {
        "latency": tree(by_rule)["latency"]
    }


def test_files_of_every_kind(cli: Any, sudoku_run: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"thought{kind}" for kind in (".json", ".svg", ".png", ".pdf")]
    outs = [word for file in files for word in ("--out", file)]
    printed = cli("eval", sudoku_run, "--depth", "1,2", "--examples", "5", *outs)
    assert printed.code == 0
    assert printed.out.count("written to") == 4
    assert json.loads(files[0].read_text())["points"][1]["depth"] == 2
    assert all(file.stat().st_size > 1000 for file in files)


@pytest.fixture
def sweep_run(tmp_path: Path) -> Path:
    """A finished sweep whose promise runs have their checkpoints, untrained."""
    return with_weights(finished_run(tmp_path / "sweep"))


def test_of_a_sweep_the_winner_is_evaluated_over_its_promise_seeds(
    cli: Any, refused: Callable[..., str], sweep_run: Path
) -> None:
    words = ("--depth", "1,2", "--examples", "6")
    printed = cli("eval", sweep_run, *words)
    assert printed.code == 0
    assert f"kept in {sweep_run} for `trm report`" in printed.out
    kept = read_thought(sweep_run)
    assert kept is not None
    assert sorted(kept.models) == ["trial 10, seed 1002", "trial 8, seed 1001"]
    assert all(len(p.picked["q"].each) == 2 for p in kept.points)
    one = cli("eval", sweep_run, *words, "--trial", "8", "--json")
    assert json.loads(one.out)["models"] == ["trial 8, seed 1001"]
    assert read_thought(sweep_run) == kept  # a trial's own is not the winner's
    assert cli("solve", sweep_run, "valid:0", "--breadth", "2").code == 0
    shutil.rmtree(sweep_run / "checkpoints/10")
    assert cli("eval", sweep_run, *words).code == 0
    fewer = read_thought(sweep_run)
    assert fewer is not None
    assert fewer.models == ["trial 8, seed 1001"]
    shutil.rmtree(sweep_run / "checkpoints")
    assert "gone or damaged" in refused("eval", sweep_run, *words)
    assert "is no trial of" in refused("eval", sweep_run, "--trial", "99", *words)


def test_solving_with_several_rollouts(cli: Any, sudoku_run: Path) -> None:
    words = ("solve", sudoku_run, PUZZLE, "--breadth", "4", "--depth", "2", "--noise", "z_L=0.5")
    lines = [json.loads(line) for line in cli(*words, "--pick", "vote", "--json").out.splitlines()]
    assert [line["rollout"] for line in lines[:-1]] == [1, 2, 3, 4]
    assert all(line["step"] == 6 for line in lines)
    chosen = lines[-1]
    assert chosen["pick"] == "vote"
    assert chosen["halt_probability"] == lines[chosen["rollout"] - 1]["halt_probability"]
    text = cli(*words, "--pick", "vote").out
    assert f"picked by vote: rollout {chosen['rollout']}, step 6" in text
    assert text.count("rollout") == 5
    again = cli(*words, "--pick", "vote", "--json").out.splitlines()
    assert [json.loads(line) for line in again] == lines


def test_solving_stops_where_the_rule_stops(cli: Any, sudoku_run: Path) -> None:
    rule = "{name: threshold, eval_threshold: 1.0e-9}"
    rows = cli("solve", sudoku_run, PUZZLE, "--halt", rule, "--json").out.splitlines()
    assert [json.loads(row)["step"] for row in rows] == [1, 1]
    plain = cli("solve", sudoku_run, PUZZLE, "--json").out.splitlines()
    known = json.loads(plain[0])
    found = json.loads(rows[0])
    assert found["halt_probability"] == pytest.approx(known["halt_probability"], rel=1e-5)
    assert found["answer"] == known["answer"]


def test_bad_arguments(refused: Callable[..., str], sudoku_run: Path, tmp_path: Path) -> None:
    cases: list[tuple[list[Any], str]] = [
        (["--depth", "1,x"], "'x' must be a whole number from 1"),
        (["--breadth", "0"], "'0' must be a whole number from 1"),
        (["--breadth", "1,100000000"], "'100000000' must be at most 10,000: each is a forward"),
        (["--depth", "9" * 20], f"'{'9' * 20}' must be at most 10,000"),
        (["--noise", "z_L=0.1,z_L=0.2"], "'z_L=0.1,z_L=0.2' names one of them twice"),
        (["--pick", "q,best"], "'best' must be one of q, best_q, residual, vote, verifier"),
        (["--noise", "loud"], "'loud' must be a number, or numbers for some of z_H, z_L, start"),
        (["--noise", "z_M=1"], "z_M: unknown key"),
        (["--noise", "-1"], "must be at least 0"),
        (["--noise", "0", "--breadth", "4"], "--noise: '0' makes 4 rollouts the same: raise it"),
        (["--depth", "2", "--steps", "3"], "--steps: 3 does not go with --depth"),
        (["--depth", "2", "--out", "x.txt"], "must end in one of .json, .svg, .png, .pdf"),
        (["--depth", "2", "--submission", "x.json"], "is of one answer: leave --depth out"),
        (["--halt", "soon"], "--halt: halting.name: unknown name 'soon'"),
        (["--halt", "threshold", "--halt-threshold", "0.5"], "does not go with --halt"),
        (["--depth", "2", "--trial", "3"], "is of a sweep's run"),
        (["--trial", "3"], "is of a sweep's run"),
        (["--depth", "2", "--out", tmp_path / "none/x.svg"], "cannot be written"),
    ]
    for words, message in cases:
        assert message in refused("eval", sudoku_run, *words), words
    assert "does not go with" in refused(
        "solve", sudoku_run, PUZZLE, "--depth", "2", "--steps", "3"
    )
    assert "makes 2 rollouts the same" in refused(
        "solve", sudoku_run, PUZZLE, "--breadth", "2", "--noise", "0"
    )
