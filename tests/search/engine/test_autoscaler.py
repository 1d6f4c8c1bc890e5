"""What an autoscaler is asked for."""

from __future__ import annotations

from cluster.connect import Cluster
from cluster.demand import MOST, Demand


def test_a_demand_waits_until_it_is_taken_back(ray_cluster: Cluster) -> None:
    demand = Demand({"CPU": 99.0})
    for wanted, waits in ((3, 3), (1, 1), (10**6, MOST), (0, 0), (-5, 0)):
        demand.want(wanted, barred=["0" * 56])
        assert len(demand._waiting) == waits
