from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from curricula.published import CURRICULA
from trm.tasks.arrows import ArrowsTask

Config = Callable[..., Path]
TRM = Path(sys.executable).with_name("trm")

EVERYTHING: dict[str, Any] = {
    "model.H_cycles": 3,
    "curriculum": {
        "name": "cgar",
        "supervision": {"name": "ramp"},
        "difficulty": {"name": "window", "width": {"name": "linear", "start": 0.2, "end": 0.6}},
        "halt_weight": {"name": "piecewise", "milestones": [
            {"at": 0.0, "value": 0.0, "label": "answer first"}, {"at": 0.5, "value": 1.0},
        ]},
        "exploration": {"name": "linear", "start": 1.0, "end": 0.0},
        "latent_noise": {"name": "cosine", "start": 0.2, "end": 0.0},
        "learning_rate": {"name": "step", "start": 1.0, "end": 0.2},
        "rewarm_steps": 3,
    },
}  # fmt: skip
NAMES = [
    "H cycles", "L cycles", "supervision", "halt weight", "exploration", "latent noise",
    "lr factor", "learning rate", "difficulty",
]  # fmt: skip


def words_of(svg: Path) -> str:
    return " ".join(t for t in ElementTree.parse(svg).getroot().itertext() if t.strip())


# --- text --------------------------------------------------------------------------------------


def test_text_has_a_line_a_quantity_the_milestones_and_the_compute(
    cli: Any, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = cli("curriculum", config({**EVERYTHING, "train.budget.steps": 100}))
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == "curriculum cgar on tiny"
    rows = lines[2 : 2 + len(NAMES)]
    assert [row[:13].rstrip() for row in rows] == NAMES
    assert all(len(line) <= 80 for line in lines)
    assert len({len(row.rpartition(" ")[0]) for row in rows}) == 1
    assert (
        "  30.4%         75  H cycles 1 -> 2; L cycles 1 -> 2; learning rate rises again"
        in result.out
    )
    assert "'answer first' (halt_weight)" in result.out
    assert "training steps for the compute of 100 at full depth (H 3, L 2)" in result.out


def test_a_run_without_a_curriculum_saves_nothing(cli: Any, config: Config) -> None:
    result = cli("curriculum", config())
    assert result.code == 0
    assert "constant: H cycles 2, L cycles 2, supervision steps 3," in result.out
    assert "20 training steps for the compute of 20 at full depth" in result.out
    assert result.out.endswith("saves\nnothing.\n")
    assert "change" not in result.out


def test_an_adaptive_curriculum_has_an_earliest_and_a_latest_way(cli: Any, config: Config) -> None:
    sets = ("--set", "curriculum=competence", "--set", "train.budget.steps=200")
    out = cli("curriculum", config(), *sets).out
    assert out.startswith("curriculum competence (adaptive) on tiny\n")
    assert "\n  at latest " in out
    assert "change (at the earliest)" in out
    assert "as if every metric were 1 from the start" in " ".join(out.split())


def test_many_milestones_are_abbreviated(cli: Any, config: Config) -> None:
    changes = {
        "model.halt_max_steps": 60,
        "train.budget.steps": 200,
        "curriculum.supervision": {"name": "ramp"},
    }
    out = cli("curriculum", config(changes)).out
    assert "... " in out
    assert "35 more" in out
    assert "supervision steps 1 -> 2\n" in out
    assert "supervision steps 59 -> 60\n" in out


def test_off_a_terminal_and_without_unicode_it_still_draws(config: Config) -> None:
    done = subprocess.run(
        [str(TRM), "curriculum", str(config()), "--set", "curriculum=cgar"],
        capture_output=True, timeout=120, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"H cycles            1 ......" in done.stdout


def test_a_searched_curriculum_names_the_settings_for_its_other_options(
    cli: Any, config: Config
) -> None:
    searched = {"choice": ["none", "cgar", {"name": "rsm", "rewarm_steps": {"int": [0, 10]}}]}
    path = config({"curriculum": searched})
    out = cli("curriculum", path).out
    assert "  --set curriculum=cgar\n" in out
    setting = next(line for line in out.splitlines() if "rsm" in line).strip()
    assert setting == """--set 'curriculum={"name": "rsm", "rewarm_steps": 5}'"""
    other = cli("curriculum", path, "--set", 'curriculum={"name": "rsm", "rewarm_steps": 5}')
    assert other.out.startswith("curriculum rsm on tiny\n")
    assert "searches its curriculum" not in other.out


# --- a recorded run ----------------------------------------------------------------------------


@pytest.fixture
def recorded(cli: Any, config: Config, tmp_path: Path) -> Path:
    """The folder of a training under a curriculum of everything."""
    folder = tmp_path / "run"
    assert cli("train", config(EVERYTHING), "--out", folder).code == 0
    return folder


def test_what_a_run_recorded_lies_on_its_plan(cli: Any, recorded: Path) -> None:
    told = json.loads(cli("curriculum", recorded, "--json").out)
    assert [report["mark"] for report in told["reports"]] == [1, 2]
    path = {row["step"]: row for row in told["path"]}
    for report in told["reports"]:
        row = path[report["step"]]
        for key in told["driven"]:
            if key != "difficulty":
                assert row[key] == pytest.approx(report[key], rel=1e-9), key
    out = cli("curriculum", recorded).out
    assert out.count("\n  recorded ") == len(told["driven"])
    assert "The run has 2 reports" in out


def test_a_run_of_minutes_keeps_its_budget(cli: Any, config: Config, tmp_path: Path) -> None:
    sets = ("--set", "train.budget={minutes: 0.005}", "--set", "train.reports=3")
    folder = tmp_path / "minutes"
    assert cli("train", config(), "--out", folder, *sets).code == 0
    told = json.loads(cli("curriculum", folder, "--json").out)
    assert told["summary"]["steps"] == told["reports"][-1]["step"]


def test_a_run_that_was_cut_off_is_drawn(cli: Any, recorded: Path, tmp_path: Path) -> None:
    with (recorded / "reports.jsonl").open("a") as file:
        file.write('{"mark": 3, "st')
    assert "The run has 2 reports" in cli("curriculum", recorded).out
    (recorded / "reports.jsonl").unlink()
    assert cli("curriculum", recorded, "--out", tmp_path / "x.png").code == 0


# --- pictures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["none", "cgar", "bandit", "competence", "competence_pool"])
def test_a_png_is_written_without_a_word_of_complaint(
    name: str, cli: Any, config: Config, tmp_path: Path
) -> None:
    file = tmp_path / f"{name}.png"
    result = cli("curriculum", config(), "--set", f"curriculum={name}", "--out", file)
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[-1] == f"Drawn in {file}"
    picture = file.read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
    assert width == 1275
    assert height > 250
    assert len(picture) > 5000


def test_an_svg_names_every_panel_and_milestone(cli: Any, recorded: Path, tmp_path: Path) -> None:
    files = [tmp_path / "a.svg", tmp_path / "b.SVG"]
    for file in files:
        assert cli("curriculum", recorded, "--out", file).code == 0
    text = words_of(files[0])
    labels = ["share of compute", "training steps", "answer first", "recorded in the run"]
    for word in [*NAMES, *labels, "curriculum cgar on tiny", "easiest", "hardest"]:
        assert word in text, word
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_pdf_is_written(cli: Any, config: Config, tmp_path: Path) -> None:
    assert cli("curriculum", config(), "--out", tmp_path / "x.pdf").code == 0
    assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF-")


def test_sources_and_bins_are_drawn(
    cli: Any, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ArrowsTask, "sources", ("tiny", "more"))
    weights = {"tiny": {"name": "linear", "start": 1.0, "end": 0.5}, "more": 0.5}
    curriculum = {
        "sources": {"name": "mixture", "weights": weights},
        "difficulty": {"name": "mixture", "weights": [{"name": "linear"}, 1.0]},
    }
    path = config({"curriculum": curriculum})
    out = cli("curriculum", path).out
    rows = {line[:13].rstrip(): line.split() for line in out.splitlines()}
    assert (rows["from tiny"][2], rows["from tiny"][-1]) == ("67%", "51%")
    assert (rows["from more"][2], rows["from more"][-1]) == ("33%", "49%")
    assert (rows["difficulty"][1], rows["difficulty"][-1]) == ("~75%", "~51%")
    assert cli("curriculum", path, "--out", tmp_path / "x.svg").code == 0
    text = words_of(tmp_path / "x.svg")
    for word in ("tiny", "more", "source of", "even share"):
        assert word in text


def test_pyplot_is_left_alone(config: Config, tmp_path: Path) -> None:
    code = (
        "import sys; from search.cli import main; "
        "assert main(sys.argv[1:]) == 0; assert 'matplotlib.pyplot' not in sys.modules"
    )
    words = ["curriculum", str(config()), "--out", str(tmp_path / "x.png")]
    assert subprocess.run([sys.executable, "-c", code, *words], timeout=120).returncode == 0


# --- for scripts -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CURRICULA)
def test_every_curriculum_is_json(name: str, cli: Any, config: Config) -> None:
    result = cli("curriculum", config(), "--set", f"curriculum={name}", "--json")
    assert (result.code, result.err, result.out.count("\n")) == (0, "", 1)
    told = json.loads(result.out)
    assert told["curriculum"] == name
    assert told["summary"]["full_steps"] == 20
    assert told["path"][0]["progress"] == 0.0
    assert told["path"][-1]["step"] == told["summary"]["steps"]
    assert all(set(told["driven"]) <= set(row) for row in told["path"])
    assert not set(told["driven"]) & set(told["constant"])
    assert (told["latest"] is not None) <= told["adaptive"]


# --- bad input ---------------------------------------------------------------------------------


def test_bad_input(refused: Callable[..., str], config: Config, tmp_path: Path) -> None:
    path = config()
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "config.yaml").write_text(path.read_text())
    (damaged / "reports.jsonl").write_text('{"mark": 1}\n')
    bent = ["--set", "curriculum.sources={name: mixture, weights: {hub: 1.0}}"]
    cases: list[tuple[list[Any], str]] = [
        (["arrows44"], "arrows44: neither a file nor a preset: did you mean arrows4"),
        ([path, "--set", "curriculum=cgarr"], "curriculum: unknown name 'cgarr': did you mean"),
        ([path, "--set", "curriculum.depth.name=rms"], "curriculum.depth.name: unknown name 'rms'"),
        ([path, *bent], "curriculum.sources.weights.hub: no such source"),
        ([path, "--out", tmp_path / "x.gif"], "x.gif' must end in one of .png, .svg, .pdf"),
        ([path, "--out", tmp_path / "x"], "must end in one of .png"),
        ([path, "--out", tmp_path / "no" / "x.png"], "cannot be written: No such file"),
        ([tmp_path], "holds no config.yaml: give the folder of `trm train`"),
        ([damaged], "reports.jsonl, line 1: is no report of a training: delete the line"),
        ([damaged, "--set", "train.seed=1"], "--set: 'train.seed=1' cannot change what a run did"),
        ([path, "--otu", "x.png"], "'--otu' is no option: did you mean --out"),
    ]  # fmt: skip
    for words, message in cases:
        assert message in refused("curriculum", *words)
