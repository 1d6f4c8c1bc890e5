"""Waits for a cluster that is being started: for its head's port, and for its nodes."""

from __future__ import annotations

import socket
import time


def port_answers(address: str, seconds: float) -> bool:
    """Whether somebody listens at host:port before so many seconds are over.

    >>> port_answers("127.0.0.1:1", 0.0)
    False
    """
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port)), 2.0).close()
            return True
        except OSError:
            time.sleep(0.2)
    return False


def wait(address: str, nodes: int, seconds: float) -> int:
    """Wait until a cluster has its nodes; what is missing in the end is said, not an error.

    Returns:
        How many nodes are up; 0 where the head does not answer.

    Raises:
        ClusterError: what answers is no cluster, or wants a token that is not here.
    """
    deadline = time.monotonic() + seconds
    if not port_answers(address, seconds):
        return 0
    from cluster.connect import connected

    with connected(address):
        import ray

        while True:
            up = sum(bool(node["Alive"]) for node in ray.nodes())
            if up >= nodes or time.monotonic() > deadline:
                return up
            time.sleep(0.5)
