"""Workers that have nothing to do for a moment: they wait for the next trial, and need no start."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from ray.tune.execution import tune_controller

KEPT_SECONDS = 60.0
"""That a worker may be idle: somewhat more than its start takes on a busy machine. What it holds
is then given back, since others of the cluster may want it, or an autoscaler its node."""


class IdleWorkers:
    """In the place of Tune's own cache of actors, which keeps a single one that nobody waits for.

    Between two stages of a sweep all workers but that one would end and be started anew. These are
    kept until their time is up, or until an attempt waits that none of them can take: it may need
    what they hold.

    Args:
        may_keep_one: as Tune says it; it is so in any case.

    >>> idle = IdleWorkers()
    >>> idle.cache_object("one core", "a"), idle.cache_object("one core", "b")
    (True, True)
    >>> list(idle.flush_cached_objects()), idle.pop_cached_object("one core")
    ([], 'b')
    >>> idle.increase_max("two cores")
    >>> list(idle.flush_cached_objects())
    ['a']
    """

    def __init__(self, may_keep_one: bool = True) -> None:
        self._idle: dict[Hashable, list[tuple[float, Any]]] = {}
        self._waiting: Counter[Hashable] = Counter()

    @property
    def num_cached_objects(self) -> int:
        """Workers that are idle."""
        return sum(map(len, self._idle.values()))

    @property
    def total_max_objects(self) -> int:
        """Attempts that wait for a worker."""
        return self._waiting.total()

    def increase_max(self, key: Hashable, by: int = 1) -> None:
        """Attempts begin to wait for workers that hold `key`."""
        self._waiting[key] += by

    def decrease_max(self, key: Hashable, by: int = 1) -> None:
        """They wait no more."""
        self._waiting[key] -= by

    def has_cached_object(self, key: Hashable) -> bool:
        """Whether any of those that are idle holds `key`."""
        return bool(self._idle.get(key))

    def cache_object(self, key: Hashable, obj: Any) -> bool:
        """A worker has become idle; whether it is kept."""
        if self._waited_for_beside(key):
            return False
        self._idle.setdefault(key, []).append((time.monotonic(), obj))
        return True

    def pop_cached_object(self, key: Hashable) -> Any | None:
        """The one that was at work last, so that the time of the others runs out."""
        idle = self._idle.get(key)
        return idle.pop()[1] if idle else None

    def flush_cached_objects(self, force_all: bool = False) -> Iterator[Any]:
        """Those that are to end now."""
        long_ago = time.monotonic() - KEPT_SECONDS
        for key, idle in self._idle.items():
            every = force_all or self._waited_for_beside(key)
            while idle and (every or idle[0][0] < long_ago):
                yield idle.pop(0)[1]

    def _waited_for_beside(self, key: Hashable) -> bool:
        """Whether an attempt waits that no idle worker can take, nor one that holds `key`."""
        return any(
            count > 0 and other != key and not self._idle.get(other)
            for other, count in self._waiting.items()
        )


@contextmanager
def idle_workers_kept() -> Iterator[None]:
    """Within, Tune (ray 2.60) keeps workers as `IdleWorkers` says."""
    before = tune_controller._ObjectCache
    tune_controller._ObjectCache = IdleWorkers
    try:
        yield
    finally:
        tune_controller._ObjectCache = before
