"""A pytest plug-in: what the examples in docstrings may take for granted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.folders import RUNS_V1


@pytest.fixture(autouse=True)
def runs_of_examples(doctest_namespace: dict[str, Any]) -> None:
    """`run` and `unfinished_run` are folders of `trm sweep`."""
    doctest_namespace["run"] = str(RUNS_V1 / "finished")
    doctest_namespace["unfinished_run"] = str(RUNS_V1 / "unfinished")
