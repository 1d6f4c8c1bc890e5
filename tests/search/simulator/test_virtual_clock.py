"""The virtual clock against schedules worked out by hand."""

from __future__ import annotations

import pytest

from search.ledger.trial import Row
from search.simulator.virtual_clock import START, Stretch, VirtualClock


class Queue:
    """Given runs in order; stops those that it is told to stop at a mark."""

    def __init__(self, runs: dict[str, list[Row]], stop: dict[str, int] | None = None) -> None:
        self.runs = dict(runs)
        self.stop = stop or {}
        self.log: list[tuple[str, int | str]] = []
        self.failing: set[str] = set()

    def next(self) -> Stretch | None:
        if not self.runs:
            return None
        key = next(iter(self.runs))
        return Stretch(key, self.runs.pop(key), START, key not in self.failing)

    def on_report(self, key: str, row: Row, *, last: bool) -> bool:
        self.log.append((key, row["mark"]))
        return not last and self.stop.get(key) != row["mark"]

    def on_failure(self, key: str) -> None:
        self.log.append((key, "failed"))


def rows(*seconds: float, compute: float = 10.0) -> list[Row]:
    return [
        {"mark": mark, "seconds": at, "compute": compute * mark}
        for mark, at in enumerate(seconds, start=1)
    ]


def test_reports_arrive_in_the_order_of_time() -> None:
    queue = Queue({"a": rows(5, 6), "b": rows(2, 9), "c": rows(1, 2)})
    clock = VirtualClock(workers=2)
    clock.run(queue)
    # c begins when a, the first to end, frees its worker at 6.
    assert queue.log == [("b", 1), ("a", 1), ("a", 2), ("c", 1), ("c", 2), ("b", 2)]
    assert clock.now == 9
    assert clock.compute == 60


def test_a_worker_that_stops_a_run_takes_the_next_one_at_once() -> None:
    queue = Queue({"a": rows(5, 6), "b": rows(2, 9)}, stop={"a": 1})
    clock = VirtualClock(workers=1)
    clock.run(queue)
    assert queue.log == [("a", 1), ("b", 1), ("b", 2)]
    assert (clock.now, clock.compute) == (14, 30)


def test_at_one_rate_time_is_compute() -> None:
    clock = VirtualClock(workers=1, mode="compute")
    clock.run(Queue({"a": rows(5, 6), "b": rows(2, 9)}))
    assert clock.now == clock.compute == 40


@pytest.mark.parametrize(("limit", "spent"), [(9.0, 0), (10.0, 10), (35.0, 30), (40.0, 40)])
def test_nothing_begins_that_would_exceed_the_limit(limit: float, spent: float) -> None:
    clock = VirtualClock(workers=2)
    clock.run(Queue({"a": rows(5, 6), "b": rows(2, 9)}), limit)
    assert clock.compute == spent


def test_a_run_that_fails_ends_after_its_last_report() -> None:
    queue = Queue({"a": rows(5), "b": []})
    queue.failing = {"a", "b"}
    clock = VirtualClock(workers=1)
    clock.run(queue)
    assert queue.log == [("a", 1), ("a", "failed"), ("b", "failed")]


def test_a_run_goes_on_from_where_it_stood() -> None:
    class Resumed(Queue):
        def next(self) -> Stretch | None:
            stretch = super().next()
            return stretch and Stretch(stretch.key, stretch.rows[1:], stretch.rows[0], True)

    clock = VirtualClock(workers=1)
    clock.run(Resumed({"a": rows(5, 6, 8)}))
    assert (clock.now, clock.compute) == (3, 20)
