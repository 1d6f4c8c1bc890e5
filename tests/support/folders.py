"""Where the tests lie: worker processes and drivers import `tests.support` from here."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
RUNS_V1 = DATA / "run_v1"
"""Run folders that the first version wrote."""
ABLATIONS_V1 = DATA / "ablations_v1"
"""One of ablations, from when they were called a study; without checkpoints."""
