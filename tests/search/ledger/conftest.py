"""A run on an object store, whose ledgers leave no thread behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

import search.ledger.lease
import search.ledger.ledger
import search.ledger.object_journal
from search.ledger.storage import Remote, place
from tests.support.stored_run import Uri


@pytest.fixture
def where(uri: Uri, monkeypatch: pytest.MonkeyPatch) -> Remote:
    monkeypatch.setattr(search.ledger.lease, "SETTLE", 0.0)
    # Only what a test flushes is stored.
    monkeypatch.setattr(search.ledger.object_journal, "FLUSH_EVERY", 1000.0)
    found = place(uri("runs/mine"))
    assert isinstance(found, Remote)
    return found


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    end = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.05)
    assert threading.active_count() <= before
