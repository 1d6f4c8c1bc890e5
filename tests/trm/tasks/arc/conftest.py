"""What tests of ARC share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.arc_puzzles import puzzle


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    """Two folders of one JSON file a puzzle, six each."""
    for name, first in (("training", 0), ("evaluation", 100)):
        (tmp_path / name).mkdir()
        for n in range(6):
            text = json.dumps(puzzle(first + n, asked=1 + n % 2))
            (tmp_path / name / f"{first + n:08x}.json").write_text(text)
    return {name: str(tmp_path / name) for name in ("training", "evaluation")}
