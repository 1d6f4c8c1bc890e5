"""The lease on an object store: one driver, named; an expired one is taken over."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import search.ledger.lease
from search.ledger.lease import Lease, LeaseLostError, read_holder
from search.ledger.storage import Remote, place
from trm.errors import UserError
from trm.stopping import _do_last


def without_obstore(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("obstore", "obstore.exceptions", "obstore.store"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture(params=["conditional", "plain"])
def file(
    request: pytest.FixtureRequest, uri: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Remote:
    monkeypatch.setattr(search.ledger.lease, "SETTLE", 0.05)
    if request.param == "plain":
        without_obstore(monkeypatch)
    else:
        pytest.importorskip("obstore")
    found = place(uri("run")) / "lease.json"
    assert isinstance(found, Remote)
    return found


def write(file: Remote, **values: Any) -> None:
    holder = {"token": "other", "host": "elsewhere", "pid": 17, "expires": time.time() + 100}
    file.write_bytes(json.dumps({**holder, **values}).encode())


def test_a_second_holder_is_told_who_has_it_and_for_how_long(file: Remote) -> None:
    lease = Lease(file)
    lease.require()
    with pytest.raises(UserError, match=rf"is in use by process {os.getpid()}, .* \d+ s more"):
        Lease(file)
    lease.require()
    lease.release()
    lease.release()
    assert not file.exists()
    Lease(file).release()
    write(file)
    with pytest.raises(UserError, match=r"process 17 on elsewhere, whose lease runs for \d+ s"):
        Lease(file)


def test_an_expired_lease_is_taken_over(file: Remote) -> None:
    write(file, expires=time.time() - 1)
    lease = Lease(file)
    holder = read_holder(file)
    assert holder is not None
    assert (holder.host, holder.pid) == (socket.gethostname(), os.getpid())
    lease.release()


def test_it_is_renewed_for_as_long_as_it_is_held(
    file: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search.ledger.lease, "DURATION", 3.0)
    monkeypatch.setattr(search.ledger.lease, "RENEW", 0.2)
    lease = Lease(file)
    first = read_holder(file)
    assert first is not None
    while time.time() < first.expires + 0.1:
        time.sleep(0.1)
    with pytest.raises(UserError, match="is in use"):
        Lease(file)
    lease.check()
    lease.release()
    assert not file.exists()


def test_a_holder_that_was_outlasted_stops_and_leaves_the_lease_alone(file: Remote) -> None:
    lease = Lease(file)
    lease.check()
    write(file)
    lease.check()  # it does not know yet
    for call in (lease.require, lease.check):
        with pytest.raises(LeaseLostError, match="taken over by process 17 on elsewhere"):
            call()
    lease.release()
    assert json.loads(file.read_text())["token"] == "other"


def test_the_renewing_thread_finds_out(file: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search.ledger.lease, "RENEW", 0.1)
    lease = Lease(file)
    file.unlink()
    lease._thread.join(timeout=20)
    with pytest.raises(LeaseLostError, match="removed by somebody"):
        lease.check()
    lease.release()


def test_of_two_that_start_together_the_later_writer_has_it(
    file: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_obstore(monkeypatch)

    def another_writes(seconds: float) -> None:
        write(file)

    with monkeypatch.context() as patch:
        patch.setattr("search.ledger.lease.time.sleep", another_writes)
        with pytest.raises(UserError, match="process 17 on elsewhere"):
            Lease(file)
    assert json.loads(file.read_text())["token"] == "other"


def test_a_process_that_leaves_leaves_a_lease_that_soon_ends(file: Remote) -> None:
    lease = Lease(file)
    _do_last()
    holder = read_holder(file)
    assert holder is not None
    assert 0 < holder.expires - time.time() <= search.ledger.lease.PARTING

    # Nothing is written from here on.
    def write_on() -> None:
        with pytest.raises(LeaseLostError, match="taken over"):
            lease.require()

    writing = threading.Thread(target=write_on, daemon=True)
    writing.start()
    with pytest.raises(UserError, match="is in use"):
        Lease(file)
    time.sleep(max(holder.expires - time.time(), 0.0) + 0.05)
    heir = Lease(file)
    assert writing.is_alive()
    # Only a test goes on.
    lease._busy.release()
    writing.join()
    with pytest.raises(LeaseLostError, match="taken over"):
        lease.check()
    for one in (lease, heir):
        one.release()
    assert not file.exists()
    _do_last()


@pytest.mark.parametrize("first", [True, False], ids=["holder", "other"])
def test_drivers_with_and_without_obstore_respect_each_other(
    first: bool, uri: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("obstore")
    monkeypatch.setattr(search.ledger.lease, "SETTLE", 0.05)
    file = place(uri("run")) / "lease.json"
    assert isinstance(file, Remote)

    def take(*, plain: bool) -> Lease:
        with monkeypatch.context() as patch:
            if plain:
                without_obstore(patch)
            return Lease(file)

    for expires in (None, time.time() - 1):
        if expires is not None:
            write(file, expires=expires)
        lease = take(plain=not first)
        with pytest.raises(UserError, match="is in use by"):
            take(plain=first)
        lease.require()
        lease.release()
        assert not file.exists()


def test_who_leaves_does_not_touch_what_another_took_over(file: Remote) -> None:
    lease = Lease(file)
    write(file)
    before = file.read_text()
    _do_last()
    assert file.read_text() == before
    lease._busy.release()
    lease.release()
    assert file.read_text() == before


def test_a_lease_that_expired_unnoticed_is_renewed_if_nobody_took_it(file: Remote) -> None:
    lease = Lease(file)
    lease._expires = time.time() - 1
    lease.require()
    assert lease._expires > time.time() + 20
    lease.release()


def test_damage_is_refused_in_one_line(file: Remote) -> None:
    for text in (b"{", b'{"token": 1}'):
        file.write_bytes(text)
        with pytest.raises(UserError, match=r"lease\.json.*is damaged; remove it"):
            Lease(file)
