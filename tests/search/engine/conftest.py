"""A ledger with one trial."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from search.ledger.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.create(tmp_path / "run") as ledger:
        ledger.add_trial(stage="explore", params={}, config={}, seed=5)
        yield ledger
