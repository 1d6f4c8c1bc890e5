"""A driver that says that it is at work, and a request that stops this one and no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from trm.files import driver_note
from trm.files.driver_note import (
    DRIVER_FILE,
    STOP_FILE,
    LocalFiles,
    ask_to_stop,
    asked_to_stop,
    now,
    read_note,
)
from trm.files.presence import Presence, present
from trm.files.run_folder import create_folder

PROGRAM = """
import sys, time
from pathlib import Path
from trm import stopping
from trm.files.driver_note import LocalFiles
from trm.files.presence import present
stopping.at_an_interrupt("resume with: trm x", "at step 7")
with stopping.ends_soon():
    try:
        with present(LocalFiles(Path(sys.argv[1]))):
            print("ready", flush=True)
            time.sleep(60)
    except KeyboardInterrupt:
        stopping.tell_of_interrupt()
        stopping.leave()
"""


def until(true: object, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_request_interrupts_its_driver_as_a_signal_does(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    note = read_note(files)
    assert note is not None
    assert (note.pid, note.state, note.line) == (process.pid, "starting", "resume with: trm x")
    assert note.lives
    ask_to_stop(files, note.token)
    _, errors = process.communicate(timeout=15)
    assert (process.returncode, errors) == (130, "trm: interrupted at step 7; resume with: trm x\n")
    last = read_note(files)
    assert last is not None
    assert (last.state, last.ending, last.line) == ("ended", "stopped", "resume with: trm x")
    assert not (tmp_path / STOP_FILE).exists()


def test_a_request_to_another_driver_is_not_heard(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    ask_to_stop(files, "of one that died")
    with present(files, look=0.02) as presence:
        assert asked_to_stop(files) is None, "what is left of a dead driver's is removed"
        ask_to_stop(files, "of another one")
        time.sleep(0.2)
        assert not presence.asked
        (tmp_path / STOP_FILE).write_text("[no request")
        time.sleep(0.1)
        assert not presence.asked
        presence.gently = lambda: None
        ask_to_stop(files, presence.token)
        until(lambda: presence.asked)
        until(lambda: (note := read_note(files)) is not None and note.state == "stopping")
        assert asked_to_stop(files) == presence.token, "workers look for it, too"
    assert not (tmp_path / STOP_FILE).exists()
    note = read_note(files)
    assert note is not None
    assert (note.state, note.ending, note.line) == ("ended", "done", "")


def test_who_does_not_have_the_run_says_nothing(tmp_path: Path) -> None:
    files, free = LocalFiles(tmp_path), threading.Event()
    with present(files, look=0.02) as first, present(files, free.is_set, look=0.02) as second:
        note = read_note(files)
        assert note is not None
        assert note.token == first.token
        free.set()
        until(lambda: (found := read_note(files)) is not None and found.token == second.token)
    with present(files, lambda: False, look=0.02):
        pass
    note = read_note(files)
    assert note is not None
    assert note.token == first.token, "the last to end"


def test_what_is_told_and_how_it_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trm.files.presence.RENEW", 0.05)
    files = LocalFiles(tmp_path)
    said = {"parallel": 3, "at": 7}

    def work() -> None:
        with present(files, look=0.02) as presence:
            presence.tell("running", parallel=3)
            presence.tells(lambda: {"at": 7})
            presence.tells(lambda: {}["nothing"])
            until(lambda: (note := read_note(files)) is not None and note.told == said)
            raise RuntimeError("no trial\ncompleted")

    with pytest.raises(RuntimeError):
        work()
    note = read_note(files)
    assert note is not None
    assert (note.ending, note.reason) == ("failed", "no trial completed")


def test_a_folder_that_takes_nothing_stops_nobody(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with present(LocalFiles(gone), look=0.02) as presence:
        time.sleep(0.1)
        assert read_note(LocalFiles(gone)) is None
        gone.mkdir()
        until(lambda: (gone / DRIVER_FILE).exists())
        assert not presence.asked


def test_a_thread_that_is_not_the_main_one_is_not_interrupted(tmp_path: Path) -> None:
    asked: list[bool] = []

    def work() -> None:
        presence = Presence(LocalFiles(tmp_path), look=0.02)
        ask_to_stop(LocalFiles(tmp_path), presence.token)
        until(lambda: presence.asked)
        asked.append(True)
        presence.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert asked == [True]


def test_a_note_says_whether_its_driver_lives(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    with present(files):
        pass
    note = read_note(files)
    assert note is not None
    assert not note.lives
    text = json.loads((tmp_path / DRIVER_FILE).read_text()) | {"state": "running"}

    def lives(**changes: object) -> bool:
        (tmp_path / DRIVER_FILE).write_text(json.dumps(text | changes))
        found = read_note(files)
        return found is not None and found.lives

    assert lives(renewed=now())
    assert lives(renewed=now(), host="elsewhere", pid=1 << 30)
    assert not lives(renewed=now(), pid=1 << 30)
    assert not lives(renewed="2026-01-01T00:00:00+00:00")
    for damaged in ({"pid": "x"}, {"renewed": "yesterday"}, {"told": []}):
        (tmp_path / DRIVER_FILE).write_text(json.dumps(text | damaged))
        assert read_note(files) is None
    (tmp_path / DRIVER_FILE).write_text("{")
    assert read_note(files) is None


def test_notes_of_a_run_that_never_began_do_not_fill_a_folder(tmp_path: Path) -> None:
    with present(LocalFiles(tmp_path)):
        ask_to_stop(LocalFiles(tmp_path), "x")
    assert {DRIVER_FILE, STOP_FILE} <= set(os.listdir(tmp_path)) == driver_note.NOTES
    create_folder(tmp_path, "run.json", resume=False)
