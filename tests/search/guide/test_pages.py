"""`trm guide`: pages and their list, those that are generated, and the way to one that is not."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from search.analysis.thought.result import THOUGHT_FILE
from search.cli import main
from search.commands import COMMANDS
from search.commands.start.guide import page
from search.config.keys import all_keys
from search.explore.warm_start import START_FILE
from search.export.export import BEST_FILE
from search.guide.pages import TOPICS, WRITTEN, folder, heading
from search.ledger.files import REPORT_FILE, RUN_FILE, SPARE, SWEEP_FILE, TEST_FILE
from search.ledger.storage import LEASE_FILE
from search.ledger.wall_clock import TIME_FILE
from search.logs.optuna_journal import STUDY_FILE
from search.stability.result import RESULT_FILE
from search.stability.sensitivity_result import SENSITIVITY_FILE
from trm.files.yaml12 import read_yaml
from trm.report import COLUMNS

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests/data/run_v1"


def test_every_page_stands_in_the_list_and_every_file_is_a_page(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert {path.stem for path in folder().glob("*.md")} == set(WRITTEN)
    assert main(["guide"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(TOPICS)]] == list(TOPICS)
    assert all(len(line) <= 100 for line in lines)
    assert all(heading(page(topic)).line for topic in TOPICS)


def test_a_page_is_its_text_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide", "spaces"]) == 0
    assert capsys.readouterr().out == (folder() / "spaces.md").read_text(encoding="utf-8")


def test_an_unknown_page_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide", "curriculum"]) == 2
    error = capsys.readouterr().err
    assert "did you mean curricula" in error
    assert error.count("\n") == 1


def test_reference_pages_hold_every_key_column_and_command() -> None:
    rows = [line.split("`")[1] for line in page("keys").splitlines() if line.startswith("| `")]
    assert rows == [key.path for key in all_keys()]
    rows = [line.split("`")[1] for line in page("columns").splitlines() if line.startswith("| `")]
    assert rows == list(COLUMNS)
    titles = [line[8:] for line in page("commands").splitlines() if line.startswith("### trm ")]
    assert titles == list(COMMANDS)


def test_tables_are_as_wide_as_their_heads() -> None:
    for topic in TOPICS:
        width = 0
        for line in page(topic).splitlines():
            cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
            assert not (cells and width and cells != width), f"{topic}: {line}"
            width = cells


def test_the_site_has_every_page_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    assert main(["guide", "--write", str(tmp_path)]) == 0
    assert {path.stem for path in tmp_path.glob("*.md")} == {"index", *TOPICS}
    for path in tmp_path.glob("*.md"):
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert (tmp_path / link).exists(), f"{path.name}: {link}"


def test_topics_that_pages_name_are_there() -> None:
    for topic in WRITTEN:
        for named in re.findall(r"`trm guide ([\w-]+)", page(topic)):
            assert named in TOPICS, f"{topic} names {named}"


def test_the_architecture_page_knows_every_file_of_a_run_folder() -> None:
    rows = [line.split("|")[1] for line in page("architecture").splitlines() if "| `" in line]
    known = {name.split("/")[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}
    for run in ("finished", "unfinished"):
        found = {path.name for path in (DATA / run).iterdir()}
        assert found <= known, run
    files = (
        BEST_FILE, LEASE_FILE, REPORT_FILE, RESULT_FILE, RUN_FILE, SENSITIVITY_FILE, START_FILE,
        STUDY_FILE, SWEEP_FILE, TEST_FILE, THOUGHT_FILE, TIME_FILE, SPARE, "ablations.json", "lock",
    )  # fmt: skip
    assert set(files) <= known


def test_the_architecture_page_has_every_room_in_its_order() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    [layers] = [c["layers"] for c in contracts if c.get("containers") == ["search"]]
    block = page("architecture").split("```text\n")[2].split("```")[0]
    shown = [re.split(r"\s{2,}", line)[0] for line in block.splitlines()]
    rooms = [room for line in shown for room in re.split(r", | \| ", line)]
    assert rooms == [room for layer in layers for room in layer.split(" | ")]


def test_a_page_on_a_terminal_is_set_in_type(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["guide", "stability"]) == 0
    shown = capsys.readouterr().out
    assert "Why a trial fails" in shown
    assert "```" not in shown
    assert "## " not in shown


def test_the_site_leads_to_every_page() -> None:
    config = read_yaml(folder() / "mkdocs.yml")
    groups = [group for part in config["nav"] if isinstance(part, dict) for group in part.values()]
    assert sorted(name for group in groups for name in group) == sorted(f"{t}.md" for t in TOPICS)
