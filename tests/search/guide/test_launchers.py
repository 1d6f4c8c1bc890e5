"""The guide's page on clusters: its section, its commands, and what they write."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.cli import main
from search.guide.pages import folder
from tests.support.blocks import blocks, command_lines
from trm.files.yaml12 import dump_yaml, parse_yaml

BLOCKS = list(blocks(folder() / "clusters.md"))
[SECTION] = [block for block in BLOCKS if block.language == "yaml"]
COMMANDS = [
    words
    for block in BLOCKS
    if block.language == "sh" and "test_launchers.py" in block.mark
    for words in command_lines(block)
]
SHOWN = [
    block.code
    for block in BLOCKS
    if block.language == "text" and not block.code.startswith(("note ", "ok "))
]


def stands_in(excerpt: str, text: str) -> bool:
    """Whether the parts of an excerpt, between lines of `...`, stand in a text in their order."""
    place = 0
    for part in excerpt.split("...\n"):
        found = text.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return True


def test_every_launcher_writes_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tree = {"name": "mine", "task": "arrows", **parse_yaml(SECTION.code, SECTION.page)}
    Path("mine.yaml").write_text(dump_yaml(tree))
    assert [words[2] for words in COMMANDS] == ["slurm", "kuberay", "sky", "aws"]
    assert len(SHOWN) == len(COMMANDS)
    for words, excerpt in zip(COMMANDS, SHOWN, strict=True):
        assert main(words[1:]) == 0
        assert stands_in(excerpt, Path(words[-1]).read_text()), words
        assert not stands_in(excerpt.replace("mine", "yours") + "x", Path(words[-1]).read_text())
