"""Whether trials could ever run on a cluster whose autoscaler brings its nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cluster.connect import connected
from cluster.demand import autoscales, can_never_bring
from cluster.resources import Share, room
from search.config.sections import ClusterConfig
from search.config.share import in_words
from trm.errors import UserError


def require_possible(
    section: ClusterConfig, threads: int, address: str, nodes: Sequence[Mapping[str, float]]
) -> None:
    """Ask the autoscaler, where no node holds a trial; nothing is asked where one does.

    Args:
        section: the file's `cluster`.
        threads: of a training.
        address: of the cluster.
        nodes: the resources of each node that is up.

    Raises:
        UserError: it knows of no kind of node that holds one.
    """
    share = Share(section.cpus_per_trial or threads, section.gpus_per_trial or 0.0)
    if not nodes or any(room(node, share) for node in nodes):
        return
    with connected(address):
        refused = autoscales() and can_never_bring(share.request())
    if refused:
        key = "gpus_per_trial" if share.gpus else "cpus_per_trial"
        raise UserError(
            f"cluster.{key}", share.gpus or share.cpus,
            f"no kind of node that the autoscaler may start has {in_words(share)} for a trial: "
            "lower it, or give the autoscaler a larger kind",
        )  # fmt: skip
