"""`trm tasks test` tries a task by itself, whatever names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.plugin_folder import EXAMPLES, working_in
from trm.testing.task_checks import CHECKS

LENIENT = """
import numpy as np
from parity_task import Parity, ParityConfig
from trm.tasks import TASKS


class Taking(Parity):
    def verify(self, inputs, answers):
        return np.ones(len(inputs), dtype=bool)


class LenientConfig(ParityConfig):
    name: str = "lenient"

    def build(self, cache=None, progress=None):
        return Taking(self.bits)


class NamelessConfig(ParityConfig):
    name: str


TASKS["lenient"] = LenientConfig
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "parity_task.py").write_text((EXAMPLES / "parity_task.py").read_text())
    (tmp_path / "lenient.py").write_text(LENIENT)
    (tmp_path / "parity.yaml").write_text("plugins: [parity_task]\ntask: {name: parity, bits: 7}\n")
    with working_in(tmp_path, monkeypatch) as folder:
        yield folder


SMALL = ("train_examples", "valid_examples", "test_examples", "beyond_examples")


@pytest.mark.parametrize(
    "words",
    [
        ("parity_task:ParityConfig", "--set", "task.bits=6"),
        ("parity.yaml",),
        ("sort", *(word for key in SMALL for word in ("--set", f"task.{key}=20"))),
    ],
    ids=lambda words: words[0],
)
def test_a_sound_task(words: tuple[str, ...], here: Path, cli: Any) -> None:
    result = cli("tasks", "test", *words)
    assert (result.code, result.err) == (0, "")
    *lines, last = result.out.splitlines()
    assert [line.split()[:2] for line in lines] == [["ok", name] for name in ("building", *CHECKS)]
    assert last.endswith(f": {len(lines)} of {len(lines)} checks hold")


def test_a_broken_task_ends_with_1(here: Path, cli: Any) -> None:
    result = cli("tasks", "test", "lenient:LenientConfig")
    assert result.code == 1
    [line] = [line for line in result.out.splitlines() if "FAILED" in line]
    assert "verify() accepts 16 of 16 answers of which every cell is wrong: refuse" in line
    assert result.out.splitlines()[-1] == "lenient: 9 of 10 checks hold"


def test_what_is_no_task_is_a_line(here: Path, refused: Callable[..., str]) -> None:
    for words, message in (
        (["nowhere:Config"], "plugins: 'nowhere' cannot be imported"),
        (["parity_task:Parity"], "is no TaskConfig of the module: it has ParityConfig"),
        (["lenient:NamelessConfig"], "has no name of its own: add `name: Literal['mine']"),
        (["parity_task:ParityConfig", "--set", "task.bytes=3"], "task.bytes: unknown key"),
        (["parity_task:ParityConfig", "--set", "bits=3"], "must be task.KEY=VALUE"),
        (["sorting"], "did you mean sort"),
        (["data"], "task.file: is missing"),
        ([], "trm tasks test TASK: 0 paths are given"),
        (["sort", "sort"], "trm tasks test TASK: 2 paths are given"),
    ):
        assert message in refused("tasks", "test", *words), words
