"""What a user reads when there is no cluster to run on."""


class ClusterError(ValueError):
    """A cluster that cannot be had, in one line with the address and the remedy.

    >>> from cluster.admission import check_address
    >>> check_address("nowhere")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    cluster.errors.ClusterError: --address nowhere: must be `auto` or host:port, as in ...
    """
