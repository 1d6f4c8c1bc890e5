from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.reported import made


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 200 trials, a seventh of them failed, with its race and promise."""
    return made(tmp_path_factory.mktemp("reported") / "finished")
