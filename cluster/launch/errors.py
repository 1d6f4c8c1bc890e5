"""What a launcher cannot do with what it was given."""

from __future__ import annotations


class LaunchError(ValueError):
    """A key of the `cluster` section that a launcher cannot use.

    >>> str(LaunchError("cluster.kuberay.image", None, "is missing: name an image"))
    'cluster.kuberay.image is missing: name an image'
    >>> str(LaunchError("cluster.storage", "/home/me", "must be a bucket"))
    "cluster.storage: '/home/me' must be a bucket"
    """

    def __init__(self, key: str, value: object, remedy: str) -> None:
        shown = "" if value is None else f": {value!r}"
        super().__init__(f"{key}{shown} {remedy}")
