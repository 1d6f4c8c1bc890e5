"""Drivers of a run on an object store: one at a time, whatever becomes of it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time

import pyarrow.dataset as ds
import pytest

import search.ledger.lease
import search.ledger.ledger
import search.ledger.object_journal
from search.ledger.journal import segments
from search.ledger.lease import LeaseLostError, read_holder
from search.ledger.ledger import Ledger
from search.ledger.reader import read_trials
from search.ledger.seal import seal_line
from search.ledger.storage import Remote
from tests.support.stored_run import assert_unique, fill, row, stored
from trm.errors import UserError

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


def test_a_second_driver_is_refused_and_a_dead_ones_lease_is_taken_over(
    where: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger.create(where)
    fill(ledger, 1, 1)
    ledger.flush()
    for opening in (Ledger.open, Ledger.create):
        with pytest.raises(UserError, match=rf"is in use by process {os.getpid()}, whose lease"):
            opening(where)
    assert ledger.acknowledge(0, 1, row(2)) is False
    fill(ledger, 1, 1)
    ledger.flush()
    # The first driver hangs until its lease has expired; another takes over; the first wakes up.
    lease = where / "lease.json"
    lease.write_bytes(json.dumps({**json.loads(lease.read_text()), "expires": 0.0}).encode())
    with Ledger.open(where) as second:
        fill(second, 1, 2)
        second.flush()
        before = stored(where)
        ledger.acknowledge(1, 1, row(2))
        with pytest.raises(LeaseLostError, match="taken over by process"):
            ledger.flush()
        with pytest.raises(LeaseLostError):
            ledger.check()
        with pytest.raises(LeaseLostError):
            ledger.finish(1, "completed", 0.0)
        ledger.close()
        assert stored(where) == before
        # Even what it had under way when it lost the lease does not count.
        late = [{"t": 1, "k": "row", "attempt": 1, "row": row(2), "n": n} for n in (8, 9)]
        first = segments(where / "log")[0]
        first.write_bytes(first.read_bytes() + b"".join(map(seal_line, late)))
        assert stored(where) == before
    assert stored(where) == before


DRIVER = """
import sys, search.ledger.lease, search.ledger.object_journal
search.ledger.lease.DURATION, search.ledger.lease.RENEW, search.ledger.lease.SETTLE = 2.0, 0.5, 0.1
search.ledger.object_journal.FLUSH_EVERY = 0.1
from search.ledger.ledger import Ledger
from search.ledger.reader import holds_ledger
from trm.report import COLUMNS
zero = {"int": 0, "float": 0.0, "bool": False}
where = sys.argv[1]
with Ledger.open(where) if holds_ledger(where) else Ledger.create(where) as ledger:
    search.ledger.ledger.COMPACT_EVERY = 25
    print("open", len(ledger.trials), flush=True)
    while True:
        trial = ledger.add_trial(stage="explore", params={}, config={}, seed=0)
        attempt = ledger.begin_attempt(trial.id)
        for mark in range(1, 5):
            row = {name: zero[column.kind] for name, column in COLUMNS.items()} | {"mark": mark}
            assert ledger.acknowledge(trial.id, attempt, row)
        ledger.finish(trial.id, "completed", 1.0)
        ledger.flush()
        print("stored", trial.id, flush=True)
"""


def test_a_driver_killed_at_any_moment_loses_nothing_stored(where: Remote) -> None:
    last = -1
    for kill in range(3):
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(where)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert driver.stdout is not None
        assert driver.stderr is not None
        first = driver.stdout.readline().split()
        assert first[:1] == ["open"], driver.stderr.read()
        assert int(first[1]) >= last + 1
        for line in itertools.islice(driver.stdout, 12 + kill):
            last = int(line.split()[1])
        time.sleep(0.03 * kill)
        driver.kill()
        rest = driver.stdout.read().split()
        last = max([last, *(int(word) for word in rest if word.isdigit())])
        driver.wait()
        driver.stderr.close()
        trials = read_trials(where)
        assert all(trials[number].outcome == "completed" for number in range(last + 1))
        if kill == 0:
            with pytest.raises(UserError, match=f"process {driver.pid}, whose lease runs for"):
                Ledger.open(where)
        time.sleep(2.1)
    with Ledger.open(where) as ledger:
        for trial in ledger.trials.values():
            marks = [line["mark"] for line in ledger.curve(trial.id)]
            assert marks == list(range(1, len(marks) + 1))
            assert trial.mark == len(marks)
    assert_unique(where)
    assert ds.dataset((where / "trials").path, filesystem=where.filesystem).count_rows() > last


def begun_driver(where: Remote, program: str = DRIVER) -> subprocess.Popen[str]:
    """A driver that has stored something."""
    driver = subprocess.Popen(
        [sys.executable, "-c", program, str(where)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert driver.stdout is not None
    assert driver.stdout.readline().startswith("open")
    assert driver.stdout.readline().startswith("stored")
    return driver


def test_a_driver_that_hung_writes_nothing_more_once_another_has_the_run(where: Remote) -> None:
    driver = begun_driver(where)
    driver.send_signal(signal.SIGSTOP)
    time.sleep(2.1)
    with Ledger.open(where) as ledger:
        fill(ledger, 1, 2)
        ledger.flush()
        before, log = stored(where), [path.read_bytes() for path in segments(where / "log")]
        driver.send_signal(signal.SIGCONT)
        _, said = driver.communicate(timeout=60)
        assert driver.returncode == 1
        assert f"taken over by process {os.getpid()}" in said
        ledger.flush()
        assert stored(where) == before
        assert [path.read_bytes() for path in segments(where / "log")][-1] == log[-1]
        fill(ledger, 1, 1)
    assert_unique(where)


LEAVING = f"""
import time
from search.ledger.ledger import Ledger
from trm import stopping
stopping.STOP_SECONDS = 0.3
Ledger.close = lambda self: time.sleep(60)  # as with a store that takes nothing
with stopping.ends_soon():
    exec({DRIVER.replace("2.0, 0.5", "30.0, 5.0")!r})
"""


def test_a_driver_that_leaves_where_it_stands_leaves_a_lease_that_soon_ends(where: Remote) -> None:
    driver = begun_driver(where, LEAVING)
    driver.terminate()
    driver.communicate(timeout=60)
    assert driver.returncode == 130
    holder = read_holder(where / "lease.json")
    assert holder is not None
    assert holder.pid == driver.pid
    assert holder.expires - time.time() <= search.ledger.lease.PARTING
    time.sleep(max(holder.expires - time.time(), 0.0))
    with Ledger.open(where) as ledger:
        assert ledger.trials
