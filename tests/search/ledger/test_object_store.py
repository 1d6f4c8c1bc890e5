"""The ledger on an object store: what was stored is never lost or repeated; one driver writes."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pyarrow.dataset as ds
import pytest
from pyarrow import fs

import search.ledger.lease
import search.ledger.ledger
import search.ledger.object_journal
from search.ledger.journal import segments
from search.ledger.lease import LeaseLostError, read_holder
from search.ledger.ledger import Ledger
from search.ledger.reader import holds_ledger, read_curves, read_trials
from search.ledger.seal import seal_line
from search.ledger.storage import Remote, place
from trm.errors import UserError
from trm.report import COLUMNS

Uri = Callable[[str], str]
ZERO: dict[str, Any] = {"int": 0, "float": 0.0, "bool": False}


def row(mark: int) -> dict[str, Any]:
    return {
        **{name: ZERO[column.kind] for name, column in COLUMNS.items()},
        "mark": mark,
        "step": mark,
    }


def fill(ledger: Ledger, trials: int, marks: int) -> None:
    for _ in range(trials):
        trial = ledger.add_trial(
            stage="explore", params={"lr": 0.1}, config={"a": {"b": 1}}, seed=3
        )
        attempt = ledger.begin_attempt(trial.id)
        for mark in range(1, marks + 1):
            assert ledger.acknowledge(trial.id, attempt, row(mark), None, {"torch": "2"})
        if trial.id % 2 == 0:
            ledger.finish(trial.id, "completed", 0.5 + trial.id)


def state(ledger: Ledger) -> dict[str, Any]:
    curves = {number: ledger.curve(number) for number in ledger.trials}
    assert dict(ledger.curves()) == curves
    return {"trials": {n: asdict(t) for n, t in ledger.trials.items()}, "curves": curves}


def stored(where: Remote) -> dict[str, Any]:
    """What a reader sees."""
    rows: dict[int, list[dict[str, Any]]] = {}
    trials = {number: asdict(trial) for number, trial in read_trials(where).items()}
    for number in trials:
        rows[number] = []
    for line in (
        read_curves(where).sort_by([("trial", "ascending"), ("mark", "ascending")]).to_pylist()
    ):
        rows[line["trial"]].append(line)
    return {"trials": trials, "curves": rows}


def assert_unique(where: Remote) -> None:
    for name, key in (("trials", ["id"]), ("curves", ["trial", "mark"])):
        path = (where / name).path
        table = ds.dataset(path, filesystem=where.filesystem).to_table().select(key).to_pydict()
        keys = list(zip(*table.values(), strict=True))
        assert len(keys) == len(set(keys)), name


def crash(ledger: Ledger) -> None:
    """What a kill leaves, once the lease has expired."""
    ledger._journal.close()
    ledger._lock.release()


@pytest.fixture
def where(uri: Uri, monkeypatch: pytest.MonkeyPatch) -> Remote:
    monkeypatch.setattr(search.ledger.lease, "SETTLE", 0.0)
    # Only what a test flushes is stored.
    monkeypatch.setattr(search.ledger.object_journal, "FLUSH_EVERY", 1000.0)
    found = place(uri("runs/mine"))
    assert isinstance(found, Remote)
    return found


def test_what_was_flushed_survives_a_crash_and_all_of_it_a_clean_close(where: Remote) -> None:
    ledger = Ledger.create(str(where))
    fill(ledger, 3, 4)
    assert read_trials(where) == {}
    ledger.flush()
    before = state(ledger)
    assert stored(where) == before
    assert ledger.acknowledge(1, 1, row(5))
    assert ledger.scratch.is_dir()
    crash(ledger)
    with Ledger.open(where) as ledger:
        assert state(ledger) == before
        assert ledger.begin_attempt(1) == 2
        assert ledger.acknowledge(1, 2, row(5))
        ledger.pause(1)
        before = state(ledger)
    assert not ledger.scratch.exists()
    assert len(segments(where / "log")) == 1
    assert_unique(where)
    assert stored(where) == before
    assert not (where / "lease.json").exists()
    with Ledger.open(where) as ledger:
        assert state(ledger) == before
    with pytest.raises(UserError, match="already holds a run"):
        Ledger.create(where)
    with pytest.raises(UserError, match="holds no run"):
        Ledger.open(where / "other")


def test_a_creation_cut_short_is_no_obstacle(
    where: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(search.ledger.ledger, "ObjectJournal", killed)
        with pytest.raises(KeyboardInterrupt):
            Ledger.create(where)
    assert holds_ledger(where)
    assert read_trials(where) == {}
    with Ledger.open(where) as ledger:
        fill(ledger, 1, 1)
    assert len(read_trials(where)) == 1


def test_reports_are_stored_without_another_call(
    where: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert search.ledger.object_journal.FLUSH_EVERY == 1000.0
    monkeypatch.undo()
    assert search.ledger.object_journal.FLUSH_EVERY <= 4
    monkeypatch.setattr(search.ledger.object_journal, "FLUSH_EVERY", 0.1)
    with Ledger.create(where) as ledger:
        fill(ledger, 1, 2)
        end = time.monotonic() + 30
        while read_curves(where).num_rows < 2 and time.monotonic() < end:
            time.sleep(0.05)
        assert read_curves(where).num_rows == 2


def test_a_segment_is_written_again_until_it_is_large(
    where: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search.ledger.object_journal, "SEGMENT_BYTES", 6000)
    ledger = Ledger.create(where)
    for _ in range(8):
        fill(ledger, 1, 3)
        ledger.flush()
    found = segments(where / "log")
    assert 2 <= len(found) < 8
    before = state(ledger)
    assert stored(where) == before
    crash(ledger)
    with Ledger.open(where) as ledger:
        assert state(ledger) == before


@pytest.mark.parametrize(
    "after", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["before", "after"]
)
@pytest.mark.parametrize("name", ["write_bytes", "unlink"])
def test_compaction_survives_a_fault_at_every_step(
    name: str, after: bool, uri: Uri, where: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("ledger", "parquet", "reader", "state"):
        monkeypatch.setattr(f"search.ledger.{module}.BLOCK", 2)
    real = getattr(Remote, name)
    for call in itertools.count():
        folder = place(uri(f"run-{call}"))
        assert isinstance(folder, Remote)
        ledger = Ledger.create(folder)
        fill(ledger, 3, 1)
        ledger.compact()
        assert ledger.acknowledge(1, 1, row(2))
        fill(ledger, 1, 1)
        ledger.flush()
        before = state(ledger)
        calls = itertools.count()

        def fault(
            self: Remote, *args: Any, _calls: Any = calls, _call: int = call, **kwargs: Any
        ) -> None:
            fails = next(_calls) == _call
            if not fails or after:
                real(self, *args, **kwargs)
            if fails:
                raise OSError("a fault")

        raised = False
        with monkeypatch.context() as patch:
            patch.setattr(Remote, name, fault)
            try:
                ledger.compact()
            except OSError:
                raised = True
        assert stored(folder) == before
        crash(ledger)
        with Ledger.open(folder) as ledger:
            assert state(ledger) == before
            assert ledger.acknowledge(3, 1, row(2))
            before = state(ledger)
        assert stored(folder) == before
        assert_unique(folder)
        if not raised:
            break
    # The new segment and two files for each of two blocks; one segment that is done with.
    assert call >= (5 if name == "write_bytes" else 1)


def test_checkpoints_go_only_once_what_replaces_them_is_stored(where: Remote) -> None:
    def put(path: str) -> str:
        (where / path / "state").write_bytes(b"x")
        return path

    def kept() -> list[str]:
        found = where.filesystem.get_file_info(
            fs.FileSelector((where / "checkpoints").path, recursive=True)
        )
        return sorted(i.path.partition("checkpoints/")[2] for i in found if i.is_file)

    with Ledger.create(where) as ledger:
        for _ in range(2):
            ledger.add_trial(stage="explore", params={}, config={}, seed=0)
        ledger.begin_attempt(0)
        ledger.acknowledge(0, 1, row(1), put("checkpoints/0/1/1"))
        ledger.flush()
        for mark in (2, 3):
            ledger.acknowledge(0, 1, row(mark), put(f"checkpoints/0/1/{mark}"))
        put("checkpoints/0/1/4")  # uploaded, not reported yet
        assert read_trials(where)[0].checkpoint == "checkpoints/0/1/1"
        assert kept() == [f"0/1/{mark}/state" for mark in (1, 2, 3, 4)]
        ledger.flush()
        assert kept() == ["0/1/3/state", "0/1/4/state"]
        # An attempt that goes on removes all others, so its own must be stored first.
        ledger.acknowledge(0, 1, row(4), "checkpoints/0/1/4")
        ledger.begin_attempt(0)
        assert read_trials(where)[0].checkpoint == "checkpoints/0/1/4"
        put("checkpoints/0/2/5")
        ledger.finish(0, "completed", 1.0)
        ledger.forget_checkpoints(0, "checkpoints/0/1/4")
        assert kept() == ["0/1/4/state", "0/2/5/state"]
        ledger.flush()
        assert kept() == ["0/1/4/state"]
        # Another trial's checkpoint is not its heir's to remove.
        heir = ledger.add_trial(
            stage="population", params={}, config={}, seed=0, checkpoint="checkpoints/0/1/4"
        )
        ledger.begin_attempt(heir.id)
        ledger.acknowledge(heir.id, 1, row(5), put(f"checkpoints/{heir.id}/1/5"))
        ledger.flush()
        assert kept() == ["0/1/4/state", f"{heir.id}/1/5/state"]


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


def test_an_outage_is_sat_out_and_a_long_one_ends_the_run(
    where: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search.ledger.object_journal, "FLUSH_EVERY", 0.05)
    monkeypatch.setattr(search.ledger.object_journal, "GIVE_UP_AFTER", 1.0)
    real = Remote.write_bytes
    down = False

    def write_bytes(self: Remote, data: Any) -> None:
        if down:
            raise OSError("the store is away")
        real(self, data)

    monkeypatch.setattr(Remote, "write_bytes", write_bytes)
    ledger = Ledger.create(where)
    down = True
    fill(ledger, 1, 2)
    time.sleep(0.3)
    assert read_trials(where) == {}
    fill(ledger, 1, 2)
    down = False
    end = time.monotonic() + 30
    while len(read_trials(where)) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    before = state(ledger)
    assert stored(where) == before
    down = True
    ledger.add_trial(stage="explore", params={}, config={}, seed=0)

    def raises(call: Callable[[], object]) -> bool:
        try:
            call()
        except OSError as error:
            return "the store is away" in str(error)
        return False

    end = time.monotonic() + 30
    while not raises(ledger.check) and time.monotonic() < end:
        time.sleep(0.05)
    assert raises(ledger.check)
    assert raises(lambda: ledger.finish(1, "completed", 0.0))
    ledger.close()
    down = False
    with Ledger.open(where) as ledger:
        assert state(ledger) == before


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


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    end = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.05)
    assert threading.active_count() <= before
