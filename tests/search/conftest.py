from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.connect import Cluster, connected
from cluster.resources import Share, worker_environment


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Cluster]:
    """One Ray of two cores for the whole session."""
    with connected(cpus=2, environment=worker_environment(Share())) as cluster:
        yield cluster
