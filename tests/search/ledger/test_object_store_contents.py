"""The ledger on an object store: what was stored is never lost or repeated."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from pyarrow import fs

import search.ledger.lease
import search.ledger.ledger
import search.ledger.object_journal
from search.ledger.journal import segments
from search.ledger.ledger import Ledger
from search.ledger.reader import holds_ledger, read_curves, read_trials
from search.ledger.storage import Remote, place
from tests.support.stored_run import Uri, assert_unique, fill, row, stored
from trm.errors import UserError

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


def state(ledger: Ledger) -> dict[str, Any]:
    curves = {number: ledger.curve(number) for number in ledger.trials}
    assert dict(ledger.curves()) == curves
    return {"trials": {n: asdict(t) for n, t in ledger.trials.items()}, "curves": curves}


def crash(ledger: Ledger) -> None:
    """What a kill leaves, once the lease has expired."""
    ledger._journal.close()
    ledger._lock.release()


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
