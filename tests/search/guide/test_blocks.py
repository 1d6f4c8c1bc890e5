"""Every command, program and config in README and guide does what the page shows it for."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from search.cli import main
from search.commands import COMMANDS, parser_of
from search.config.file import load_tree
from search.config.sections import sweep_sections
from search.explore.enough import FEWEST
from search.guide.pages import folder
from search.space.space import Space
from tests.support.blocks import Block, blocks, command_lines
from tests.support.weighted import with_weights
from tests.support.widened import widened
from trm.config import experiment_from
from trm.files.yaml12 import parse_yaml
from trm.tasks import TASKS
from trm.tasks.sudoku.generator import dig, grids
from trm.tasks.sudoku.grid import Box

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests/data/run_v1"
PLUGIN = ROOT / "tests/support/plugins/parity_task.py"
PAGES = [ROOT / "README.md", *sorted(folder().glob("*.md"))]
BLOCKS = [block for page in PAGES for block in blocks(page)]
LANGUAGES = ("sh", "python", "yaml", "toml", "text", "mermaid")


def marked(language: str) -> list[object]:
    """The blocks of a language that a test runs, the slow ones marked."""
    return [
        pytest.param(one, id=one.page, marks=[pytest.mark.slow] if one.mark == "slow" else [])
        for one in BLOCKS
        if one.language == language and one.mark in ("", "slow") and not one.words
    ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages speak of: finished runs, puzzles, a plug-in."""
    home = tmp_path_factory.mktemp("guide")
    for name in ("mine", "first", "demo", "a", "b"):
        with_weights(shutil.copytree(DATA / "finished", home / "runs" / name))
    widened(home / "runs/mine", FEWEST)
    head = home / "runs/b/run.json"
    head.write_text(head.read_text().replace("v1-", "v2-"))
    shutil.copy(DATA / "sweep.yaml", home / "tiny.yaml")
    shown = [
        block.code
        for block in BLOCKS
        if block.page.startswith("README:") and block.language == "yaml"
    ]
    (home / "mine.yaml").write_text(shown[0])
    (home / "puzzles.txt").write_text(_puzzles())
    [maker] = [block for block in BLOCKS if "file=brackets.py" in block.words]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(maker.code, maker.page, "exec"), {"__name__": "__main__"})
    (home / "brackets.csv").write_text(printed.getvalue())
    (home / "sorting.csv").write_text(_sorting())
    _maxima(home)
    shutil.copy(PLUGIN, home)
    (home / "parity.yaml").write_text("plugins: [parity_task]\ntask: {name: parity, bits: 8}\n")
    return home


@pytest.fixture
def here(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of that folder as the working directory."""
    home = tmp_path / "home"
    shutil.copytree(finished, home)
    monkeypatch.chdir(home)
    monkeypatch.setattr("search.sweep.dry_run._TIMED_SECONDS", 0.1)
    monkeypatch.syspath_prepend(home)
    yield home
    # The plug-in of the pages is not there for other tests of this process.
    TASKS.pop("parity", None)
    sys.modules.pop("parity_task", None)


def _sorting() -> str:
    """Rows of eight digits, and the same digits sorted."""
    digits = np.random.default_rng(0).integers(0, 10, size=(500, 8))
    rows = ["".join(map(str, row)) + "," + "".join(map(str, sorted(row))) for row in digits]
    return "\n".join(["inputs,labels", *rows])


def _maxima(home: Path) -> None:
    """Eight digits and the largest of them so far: a Parquet file, and a reference's folder."""
    digits = np.random.default_rng(0).integers(0, 10, size=(500, 8))
    largest = np.maximum.accumulate(digits, axis=1)
    columns = {"inputs": digits.tolist(), "labels": largest.tolist()}
    pq.write_table(pa.table(columns), home / "maxima.parquet")
    for name, rows in (("train", slice(400)), ("test", slice(400, 500))):
        folder, count = home / "maxima" / name, len(digits[rows])
        folder.mkdir(parents=True)
        each = np.arange(count + 1, dtype=np.int32)
        np.save(folder / "all__inputs.npy", (digits[rows] + 1).astype(np.uint8))
        np.save(folder / "all__labels.npy", (largest[rows] + 1).astype(np.uint8))
        np.save(folder / "all__puzzle_identifiers.npy", np.zeros(count, np.int32))
        np.save(folder / "all__puzzle_indices.npy", each)
        np.save(folder / "all__group_indices.npy", each)
        head = {
            "pad_id": 0, "ignore_label_id": 0, "blank_identifier_id": 0, "vocab_size": 11,
            "seq_len": 8, "num_puzzle_identifiers": 1, "total_groups": count,
            "mean_puzzle_examples": 1, "total_puzzles": count, "sets": ["all"],
        }  # fmt: skip
        (folder / "dataset.json").write_text(json.dumps(head))
    (home / "maxima/identifiers.json").write_text('["<blank>"]')


def _puzzles() -> str:
    """Thirty Sudoku puzzles, one a line."""
    rng, box = np.random.default_rng(0), Box(3, 3)
    boards = dig(grids(30, box, rng), np.full(30, 40), box, rng)
    return "\n".join("".join(map(str, board.ravel())) for board in boards)


@pytest.mark.parametrize("block", marked("sh"))
def test_commands_run(block: Block, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for words in command_lines(block):
        assert words[0] == "trm", f"{block.page}: {words}"
        if words[1] == "sweep" and "--out" in words and "--resume" not in words:
            # Other blocks of the page read what this one makes, and find it made.
            shutil.rmtree(words[words.index("--out") + 1], ignore_errors=True)
        target = words[-1] if ">" in words else ""
        words = words[:-2] if target else words
        code, printed = main(words[1:]), capfd.readouterr()
        assert code == 0, f"{block.page}: {' '.join(words)}: {printed.err}"
        if target:
            (here / target).write_text(printed.out)


def test_every_command_that_is_shown_is_one() -> None:
    """Those that are slow, or that nobody runs, too."""
    for block in BLOCKS:
        for words in command_lines(block) if block.language == "sh" else ():
            if words[0] == "trm" and len(words) > 1 and words[1] in COMMANDS:
                given = words[2 : words.index(">")] if ">" in words else words[2:]
                parser_of(words[1]).parse_all(given)


@pytest.mark.parametrize("block", marked("python"))
def test_programs_run(block: Block, here: Path) -> None:
    exec(compile(block.code, block.page, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("block", marked("yaml"))
def test_configs_are_valid(block: Block) -> None:
    tree = {"task": "arrows", **parse_yaml(block.code, block.page)}
    sweep_sections(tree)
    _, drawn = Space.parse(tree).default()
    experiment_from(drawn)


def test_every_block_says_what_it_is() -> None:
    assert len([block for block in BLOCKS if block.language in ("sh", "python", "yaml")]) > 40
    for block in BLOCKS:
        assert block.language in LANGUAGES, f"{block.page}: {block.language!r}"
        assert block.mark != "not run:", block.page


def test_the_plug_in_of_the_guide_is_the_one_that_the_tests_run() -> None:
    [shown] = [block.code for block in BLOCKS if "file=parity_task.py" in block.words]
    assert shown == PLUGIN.read_text()


def test_the_suites_output_is_the_one_shown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [shown] = [block.code for block in BLOCKS if "output" in block.words]
    assert main(["tasks", "test", "parity_task:ParityConfig"]) == 0
    assert capsys.readouterr().out == shown


def test_outputs_name_no_machine() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert str(ROOT) not in text, page.name
        assert not re.search(r"(?<![\w.])/(home|root|tmp|Users)/\w", text), page.name


def test_presets_that_the_pages_name_are_there() -> None:
    for block in BLOCKS:
        if block.language == "sh":
            for words in command_lines(block):
                if words[:2] == ["trm", "sweep"] and not words[2].endswith(".yaml"):
                    load_tree(words[2])
