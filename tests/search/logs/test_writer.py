"""The thread between a run and a live log: order, room, failures and what is written anew."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from search.config.sinks import LoggedRun, RunEnd
from search.logs.writer import COMPLETE_FILE, LogWriter, read_complete

DONE = RunEnd("completed", 0.5, "", failed=False)


class Sink:
    """Keeps what it is told; can be held up, and fails at a step."""

    name = "the log"

    def __init__(self, folder: Path, fails_at: int | None = None) -> None:
        self.folder = folder
        self.calls: list[tuple[Any, ...]] = []
        self.free = threading.Event()
        self.free.set()
        self.fails_at = fails_at
        self.thread = ""

    def begin(self, run: LoggedRun) -> None:
        self.free.wait(20)
        self.thread = threading.current_thread().name
        self.calls.append(("begin", run.key))

    def add(self, key: str, row: Any) -> None:
        if row["step"] == self.fails_at:
            raise OSError("the disk\nis full")
        self.calls.append(("add", key, row["step"]))

    def end(self, key: str, ending: RunEnd | None) -> None:
        self.calls.append(("end", key, ending))

    def close(self) -> None:
        self.calls.append(("close",))


def run(key: str) -> LoggedRun:
    return LoggedRun(key, key, key, "study", "explore")


def row(step: int) -> dict[str, Any]:
    return {"step": step, "mark": step, "trial": 1, "attempt": 2, "memory": None}


def test_everything_reaches_the_log_in_order_and_elsewhere(tmp_path: Path) -> None:
    sink = Sink(tmp_path)
    writer = LogWriter(sink)
    writer.begin(run("7"), [row(1)])
    assert writer.is_open("7")
    writer.add("7", row(2))
    writer.end("7", DONE)
    assert not writer.is_open("7")
    writer.begin(run("8"))
    writer.end("8", None)
    writer.close()
    assert sink.calls == [
        ("begin", "7"), ("add", "7", 1), ("add", "7", 2), ("end", "7", DONE),
        ("begin", "8"), ("end", "8", None), ("close",),
    ]  # fmt: skip
    assert sink.thread != threading.current_thread().name
    # A run that will go on is not complete.
    assert read_complete(tmp_path) == {"7"}
    assert LogWriter(Sink(tmp_path)).complete == {"7"}


def test_a_log_without_room_holds_nobody_up_and_is_made_whole_later(tmp_path: Path) -> None:
    sink = Sink(tmp_path)
    sink.free.clear()
    writer = LogWriter(sink, waiting=3)
    writer.begin(run("0"))
    for step in range(1, 9):
        writer.add("0", row(step))
    writer.end("0", DONE)
    assert list(writer.behind) == ["0"]
    sink.free.set()
    writer.begin(run("0"), [row(step) for step in range(1, 9)], wait=True)
    writer.end("0", DONE, wait=True)
    writer.close()
    last = max(i for i, call in enumerate(sink.calls) if call[0] == "begin")
    assert sink.calls[last:] == [
        ("begin", "0"), *(("add", "0", step) for step in range(1, 9)), ("end", "0", DONE),
        ("close",),
    ]  # fmt: skip
    assert sink.calls.count(("end", "0", DONE)) == 1


def test_a_log_that_fails_is_off_with_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = Sink(tmp_path, fails_at=2)
    writer = LogWriter(sink, waiting=2)
    writer.begin(run("0"))
    for step in range(1, 50):
        writer.add("0", row(step), wait=True)
    writer.end("0", DONE, wait=True)
    writer.close()
    assert sink.calls == [("begin", "0"), ("add", "0", 1), ("close",)]
    assert read_complete(tmp_path) == set()
    assert capsys.readouterr().err.splitlines() == [
        "trm: warning: the log is off after an error (OSError: the disk is full); the run goes on"
    ]


def test_a_close_in_a_hurry_leaves_the_rest_to_the_next_resume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = Sink(tmp_path)
    sink.free.clear()
    writer = LogWriter(sink, waiting=3)
    for key in "0123":
        writer.begin(run(key))
        writer.end(key, DONE)
    writer.close(seconds=0.3)
    assert "the log was left behind; --resume writes the rest" in capsys.readouterr().err
    sink.free.set()
    writer._thread.join(20)
    assert sink.calls == [("begin", "0"), ("close",)], "it stops at once when it is free again"
    assert read_complete(tmp_path) == set()


def test_a_line_that_was_cut_off_does_not_count(tmp_path: Path) -> None:
    (tmp_path / COMPLETE_FILE).write_text("1\n2\n31")
    assert read_complete(tmp_path) == {"1", "2"}
    assert read_complete(tmp_path / "elsewhere") == set()
