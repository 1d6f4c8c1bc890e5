from __future__ import annotations

from pathlib import Path

import pytest

from cluster.mps import PIPES
from search.config.sections import ClusterConfig
from search.engine.driver import Runner
from trm.errors import UserError


def test_a_daemon_that_cannot_be_started_is_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"^cluster.mps: True needs nvidia-cuda-mps-control"):
        Runner().check(ClusterConfig(mps=True), 1)
    with pytest.raises(UserError, match=r"^cluster.mps: True is for a cluster .* not for head:1"):
        Runner("head:1").check(ClusterConfig(mps=True), 1)
    Runner().check(ClusterConfig(), 1)
    monkeypatch.setenv(PIPES, str(tmp_path))
    Runner().check(ClusterConfig(mps=True), 1)
