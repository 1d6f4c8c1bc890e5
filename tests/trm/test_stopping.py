"""Signals to a process of its own: it ends soon, once, with its line, whatever it is doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.support.hangups import HEARD
from trm.stopping import instead_of_raising

Running = subprocess.Popen[str]
BEGIN = """
import os, signal, sys, time
from trm import stopping
stopping.STOP_SECONDS, stopping.SAME_SECONDS = 1.0, 0.3
ready = lambda: print("ready", flush=True)
stopping.at_an_interrupt("resume with: trm x")
"""
END = """
    except KeyboardInterrupt:
        print("in order", flush=True)
        stopping.tell_of_interrupt()
        stopping.leave()
"""
ORDERLY = """
try:
    ready()
    time.sleep(60)
finally:
    time.sleep(0.7)
    print("kept", flush=True)
"""
LINE = "trm: interrupted; resume with: trm x\n"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def within(work: str) -> str:
    """A program that does this work until it is interrupted; it says when it is `ready()`."""
    body = "\n".join(f"        {line}" for line in work.strip().splitlines())
    return f"{BEGIN}\nwith stopping.ends_soon():\n    try:\n{body}{END}"


@contextmanager
def running(program: str, begin: str = HEARD, under: Sequence[str] = ()) -> Iterator[Running]:
    """The program, once it is ready."""
    process = subprocess.Popen(
        [*under, sys.executable, "-c", begin + program], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_an_interrupt(number: signal.Signals) -> None:
    with running(within("ready()\ntime.sleep(60)")) as process:
        process.send_signal(number)
        assert process.communicate(timeout=10) == ("in order\n", LINE)
        assert process.returncode == 130


@pytest.mark.parametrize(
    ("work", "number"),
    [
        # Somebody else's code takes the interrupt for an error of its own and goes on.
        ("""
ready()
while True:
    try:
        time.sleep(60)
    except BaseException:
        pass""", signal.SIGINT),
        # Its end hangs.
        ("""
try:
    ready()
    time.sleep(60)
finally:
    time.sleep(60)""", signal.SIGTERM),
        # Another thread hangs, for which Python would wait.
        ("""
import threading
threading.Thread(target=time.sleep, args=(60,)).start()
ready()
time.sleep(60)""", signal.SIGHUP),
        # The main thread is in C, and goes there again.
        ("""
import ctypes
ready()
while True:
    try:
        ctypes.CDLL(None).pause()
    except BaseException:
        pass""", signal.SIGTERM),
        # A library has put a handler of its own.
        ("""
for number in (1, 2, 15):
    signal.signal(number, lambda *_: None)
ready()
while True:
    time.sleep(9)""", signal.SIGTERM),
    ],
)  # fmt: skip
def test_it_ends_whatever_the_process_is_doing(work: str, number: signal.Signals) -> None:
    with running(within(work)) as process:
        begun = time.monotonic()
        process.send_signal(number)
        _, errors = process.communicate(timeout=10)
        assert (process.returncode, errors) == (130, LINE)
        assert time.monotonic() - begun < 5


def test_an_interrupt_that_python_drops_is_not_lost() -> None:
    work = """
class Slow:
    def __del__(self):
        ready()
        time.sleep(60)
Slow()
time.sleep(60)
"""
    with running(within(work).replace("1.0, 0.3", "60.0, 0.3")) as process:
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=10) == ("", LINE)
        assert process.returncode == 130


def test_a_signal_that_comes_twice_is_one() -> None:
    with running(within(ORDERLY)) as process:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            process.send_signal(number)
            time.sleep(0.02)
        assert process.communicate(timeout=10) == ("kept\nin order\n", LINE)


def test_a_second_ctrl_c_is_obeyed_at_once() -> None:
    program = within("try:\n    ready()\n    time.sleep(60)\nfinally:\n    time.sleep(60)")
    with running(program.replace("1.0, 0.3", "60.0, 0.3")) as process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.6)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10) == ("", LINE)
        assert process.returncode == 130


def test_a_second_sigterm_does_not_disturb_the_end() -> None:
    with running(within(ORDERLY)) as process:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.4)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=10) == ("kept\nin order\n", LINE)


def test_nohup_outlives_a_hangup() -> None:
    program = within("ready()\ntime.sleep(1)\nprint('done', flush=True)")
    with running(program, begin="", under=["nohup"]) as process:
        process.send_signal(signal.SIGHUP)
        assert process.communicate(timeout=10) == ("done\n", "")
        assert process.returncode == 0


def test_a_signal_to_a_forked_child_is_not_ours() -> None:
    work = """
ready()
child = os.fork()
if not child:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print("forked", flush=True)
    time.sleep(60)
os.waitpid(child, 0)
time.sleep(1.5)
print("done", flush=True)
"""
    with running(within(work)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "forked\n"
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        if not os.path.exists(children):
            pytest.skip("needs /proc")
        with open(children) as file:
            os.kill(int(file.read()), signal.SIGTERM)
        assert process.communicate(timeout=10) == ("done\n", "")


def test_a_terminal_that_has_gone_holds_nothing_up() -> None:
    reading, writing = os.pipe()
    program = within("os.dup2(int(sys.argv[1]), 2)\nready()\ntime.sleep(60)")
    process = subprocess.Popen(
        [sys.executable, "-c", HEARD + program, str(writing)], stdout=subprocess.PIPE,
        pass_fds=[writing], text=True,
    )  # fmt: skip
    os.close(writing)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.close(reading)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=10)
    assert process.returncode == 130


def test_work_that_ends_by_itself_hears_once_and_raises_nothing() -> None:
    heard = []
    before = [signal.getsignal(number) for number in SIGNALS]
    with instead_of_raising(lambda: heard.append(1)):
        for number in SIGNALS:
            os.kill(os.getpid(), number)
            time.sleep(0.02)
    assert heard == [1]
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_later_ctrl_c_is_raised_where_nobody_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trm.stopping.SAME_SECONDS", 0.05)

    def twice() -> None:
        with instead_of_raising(lambda: None):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        twice()


@pytest.mark.parametrize(
    ("act", "said"),
    [
        ("print('done', flush=True)", "done\n"),
        ("print('done', flush=True); time.sleep(60)", "done\n"),
        ("1 / 0", ""),
        ("sys.exit(3)", ""),
    ],
    ids=["quick", "endless", "failing", "exiting"],
)
def test_something_small_is_done_before_a_process_leaves(act: str, said: str) -> None:
    work = f"""
def act(): {act}
def never(): print("never", flush=True)
stopping.before_leaving(act)
stopping.before_leaving(never)
stopping.forget_before_leaving(never)
while True:
    try:
        ready()
        time.sleep(60)
    except KeyboardInterrupt:
        pass
"""
    with running(within(work)) as process:
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        printed, complained = process.communicate(timeout=20)
        assert printed.replace("ready\n", "") == said
        assert complained == LINE
        assert process.returncode == 130
        assert time.monotonic() - begun < 4
