"""What may run beside what (`-n`)."""

from __future__ import annotations

import pytest

from tests.conftest import RAY_FILES
from tests.support.folders import ROOT


def test_every_file_that_asks_for_ray_is_one_of_those_that_run_in_one_process(
    request: pytest.FixtureRequest,
) -> None:
    asking = {
        item.nodeid.partition("::")[0]
        for item in request.session.items
        if "ray_cluster" in getattr(item, "fixturenames", ())
    }
    assert asking <= RAY_FILES


def test_no_file_of_them_is_gone() -> None:
    assert [file for file in RAY_FILES if not (ROOT / file).is_file()] == []
