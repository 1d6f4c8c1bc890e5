"""What is said of all configs of a run together begins at one number of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.explore.enough import FEWEST
from search.report.facts import read_facts
from search.report.questions import questions
from search.report.write import sections
from tests.support.folders import RUNS_V1
from tests.support.widened import widened

COMMANDS = ("importance", "fidelity", "simulate")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A finished sweep of three configs that ran to their end."""
    return Path(shutil.copytree(RUNS_V1 / "finished", tmp_path / "small"))


def test_too_few_configs_are_a_line_with_the_number_and_the_command(
    small: Path, cli: Any, refused: Callable[..., str]
) -> None:
    for command in COMMANDS:
        for more in ([], ["--json"]):
            line = refused(command, small, *more)
            assert f"need {FEWEST} configs that ran to their end, and it has 3: add trials" in line
            assert f"`trm sweep {small}/sweep.yaml --out {small} --resume --trials 14`" in line
    widened(small, FEWEST - 4)
    for command in COMMANDS:
        assert "and it has 7: " in refused(command, small)
    widened(small, 1)
    for command in ("importance", "fidelity"):
        assert cli(command, small).code == 0
    found = cli("simulate", small, "--workers", 2, "--repeat", 2)
    assert found.code == 0, found.err
    assert f"{FEWEST} configs over 1 seed" in found.out


def test_the_page_says_what_the_commands_say(small: Path) -> None:
    def missing() -> str:
        asked = questions(read_facts(small))
        return "\n".join(f"{one.words} {one.command}" for each in asked for one in each.missing)

    drawn = {section.name for section in sections(read_facts(small))}
    assert not drawn & {"importance", "fidelity"}
    text = missing()
    assert f"No importances: they need {FEWEST} configs that ran to their end, of 3." in text
    assert f"From {FEWEST} configs that ran to their end (3 configs did) it is known what" in text
    assert "trm sweep small/sweep.yaml --out small --resume --trials 14" in text
    widened(small, FEWEST - 3)
    assert {"importance", "fidelity"} <= {section.name for section in sections(read_facts(small))}
    assert "importances" not in missing()
    assert "rungs" not in missing()
