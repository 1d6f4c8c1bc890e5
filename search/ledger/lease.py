"""One writer at a time on an object store: a lease that its holder renews and others may outlast.

`lease.json` names the holder and the time until which it must not be disturbed. With obstore, and
on a store that heeds conditions, it is written only as the answer to what was read: of any number
of drivers that start together, or take an expired lease over, one has it, and a holder that hung
cannot renew what another took.

Otherwise a lease is taken by writing it and reading it back after a moment: of two drivers that
start together the later writer has it, but one whose write is delayed by more than `SETTLE` can
believe for at most `RENEW` seconds that it has the lease.

What either way leaves open, and how it ends:

- Every driver reads the lease right before it writes anything, and stops if the lease is another's;
  only a write that was under way at that moment can still land.
- Times are compared across machines: a clock that is more than `DURATION - RENEW` seconds ahead
  takes a living holder for an expired one, which then stops with an error.
- Objects are removed without a condition: a driver that hangs for `DURATION` seconds between its
  last renewal and the removal of its lease removes another's, which then stops with an error.
"""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
import uuid
import warnings
from dataclasses import asdict, dataclass

from search.ledger.conditional import ChangedError, ConditionalObject, UnconditionalError
from search.ledger.storage import Remote
from trm.errors import LockWarning, UserError
from trm.stopping import before_leaving, forget_before_leaving

DURATION = 30.0
"""Seconds from a renewal until others may take the lease over."""
RENEW = 5.0
"""Seconds between renewals."""
SETTLE = 1.0
"""Seconds between writing a lease that was free and reading it back, where it takes that."""
PARTING = 2.0
"""Seconds for which the lease of a process that leaves where it stands goes on: what it has under
way has landed by then."""
_TRIES = 10
"""How often a lease that is free may be another version than it was a moment ago."""


class LeaseLostError(RuntimeError):
    """Another driver has the run now: this one must not write any more."""


@dataclass(frozen=True)
class Holder:
    """What `lease.json` says.

    Attributes:
        token: unique to one holding.
        host: the driver's machine.
        pid: its process there.
        expires: seconds since the epoch until which the lease is the holder's.
    """

    token: str
    host: str
    pid: int
    expires: float

    def __str__(self) -> str:
        elsewhere = "" if self.host == socket.gethostname() else f" on {self.host}"
        return f"process {self.pid}{elsewhere}"


class Lease:
    """A lease, held from construction until `release`, renewed by a thread of its own.

    Raises:
        UserError: another driver holds it; the message names it, and when the lease expires.
    """

    def __init__(self, file: Remote) -> None:
        self.file = file
        self._token = uuid.uuid4().hex
        self._expires = self._latest = 0.0
        self._lost: LeaseLostError | None = None
        self._released = threading.Event()
        self._busy = threading.Lock()
        self._object: Remote | ConditionalObject = file
        if not self._take_by_conditions():
            self._object = file
            self._take_and_look()
        self._thread = threading.Thread(target=self._renew_until_released, daemon=True)
        self._thread.start()
        before_leaving(self._part)

    def check(self) -> None:
        """Say whether the lease was lost, as far as is known; asks nobody.

        Raises:
            LeaseLostError: it was.
        """
        if self._lost is not None:
            raise self._lost

    def require(self) -> None:
        """Make sure that the lease is still ours, right before something is written.

        Raises:
            LeaseLostError: another driver took it over, or somebody removed it.
            OSError: the store cannot be asked.
        """
        with self._busy:
            self._confirm()
            # Late, it may have expired, but nobody took it.
            if time.time() > self._expires - DURATION + RENEW / 2:
                self._renew(DURATION)

    def release(self) -> None:
        """Free the lease. Calling it twice is harmless."""
        if self._released.is_set():
            return
        self._released.set()
        forget_before_leaving(self._part)
        self._thread.join()
        try:
            with self._busy:
                self._confirm()
                begun = time.monotonic()
                if isinstance(self._object, ConditionalObject):
                    self._renew(DURATION)
                if time.monotonic() - begun < DURATION / 2:
                    self.file.unlink(missing_ok=True)
        except (LeaseLostError, UserError, OSError):
            pass  # it expires by itself

    def _part(self) -> None:
        """Leave a lease that ends in a moment; whoever would write from now on waits for ever."""
        self._busy.acquire()
        if not self._released.is_set():
            self._confirm()
            self._renew(PARTING)

    def _take_by_conditions(self) -> bool:
        """Take the lease if it is free; False where that cannot be done by conditional writes."""
        try:
            self._object = ConditionalObject(self.file)
            for _ in range(_TRIES):
                self._refuse_if_held()
                try:
                    self._write(DURATION)
                    self._object.prove(self._content(DURATION))
                    return True
                except ChangedError:
                    continue  # by another, or by a write of ours whose answer got lost
            raise UnconditionalError("the store takes no answer to what it gave")
        except ImportError:
            return False
        except OSError as error:
            warnings.warn(
                f"{self.file.parent}: the lease is taken without conditional writes ({error}): do "
                "not start two drivers in the same second",
                LockWarning,
                stacklevel=4,
            )
            return False

    def _take_and_look(self) -> None:
        """Take the lease if it is free, and see after a moment who has it."""
        self._refuse_if_held()
        self._write(DURATION)
        time.sleep(SETTLE)
        holder = read_holder(self.file)
        if holder is None or holder.token != self._token:
            raise _refusal(self.file, holder)

    def _refuse_if_held(self) -> None:
        holder = read_holder(self._object)
        if holder is not None and holder.token != self._token and holder.expires > time.time():
            raise _refusal(self.file, holder)

    def _confirm(self) -> None:
        self.check()
        holder = read_holder(self._object)
        if holder is None or holder.token != self._token:
            by = f"taken over by {holder}" if holder else "removed by somebody"
            self._lost = LeaseLostError(
                f"{self.file.parent}: the lease was {by}; this driver has stopped, "
                "and what it had not stored yet is lost"
            )
            raise self._lost

    def _renew(self, seconds: float) -> None:
        """Write the lease that was just confirmed."""
        try:
            self._write(seconds)
        except ChangedError:
            self._confirm()  # or was it a write of ours whose answer got lost?
            try:
                self._write(seconds)
            except ChangedError:
                raise OSError(f"{self.file}: could not be renewed") from None

    def _write(self, seconds: float) -> None:
        self._object.write_bytes(self._content(seconds))
        self._expires = self._latest

    def _content(self, seconds: float) -> bytes:
        expires = time.time() + seconds
        if expires == self._latest:  # the same content would have the same ETag
            expires = math.nextafter(expires, math.inf)
        self._latest = expires
        holder = Holder(self._token, socket.gethostname(), os.getpid(), self._latest)
        return json.dumps(asdict(holder)).encode()

    def _renew_until_released(self) -> None:
        while not self._released.wait(RENEW):
            try:
                self.require()
            except (LeaseLostError, UserError):
                return  # whoever writes next is told
            except OSError:
                continue  # the store does not answer: try again


def read_holder(file: Remote | ConditionalObject) -> Holder | None:
    """Who has a run, or had it last; None if nobody.

    Raises:
        UserError: the object is no lease.
    """
    try:
        return Holder(**json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise UserError(str(file), None, "is damaged; remove it if no driver is running") from error


def _refusal(file: Remote, holder: Holder | None) -> UserError:
    if holder is None:
        return UserError(str(file), None, "was removed while it was being taken; try again")
    left = max(holder.expires - time.time(), 0.0)
    return UserError(
        str(file.parent),
        None,
        f"is in use by {holder}, whose lease runs for {left:.0f} s more; wait for it to end, or "
        "stop it first",
    )
