"""The libraries that a process's algebra runs in are held to one thread, and let go again."""

from __future__ import annotations

import threadpoolctl

from search.samplers.gaussian.threads import one_thread


def threads() -> list[int]:
    return [
        library["num_threads"]
        for library in threadpoolctl.threadpool_info()
        if library["user_api"] == "blas"
    ]


def test_one_thread_while_it_lasts() -> None:
    with threadpoolctl.threadpool_limits(2):
        for _ in range(2):
            assert threads()
            assert set(threads()) == {2}
            with one_thread():
                assert set(threads()) == {1}
        assert set(threads()) == {2}
