"""One writer at a time on an object store: a lease that its holder renews and others may outlast.

`lease.json` names the holder and the time until which it must not be disturbed. pyarrow has no
conditional write, so a lease is taken by writing it and reading it back after a moment: of two
drivers that start together the later writer has it. What this leaves open, and how it ends:

- A driver whose write is delayed by more than `SETTLE` can believe for at most `RENEW` seconds
  that it has the lease. Every driver reads the lease right before it writes anything, and stops
  if the lease is another's; only a write that was under way at that moment can still land.
- Times are compared across machines: a clock that is more than `DURATION - RENEW` seconds ahead
  takes a living holder for an expired one, which then stops with an error.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from dataclasses import asdict, dataclass

from search.ledger.storage import Remote
from trm.errors import UserError

DURATION = 30.0
"""Seconds from a renewal until others may take the lease over."""
RENEW = 5.0
"""Seconds between renewals."""
SETTLE = 1.0
"""Seconds between writing a lease that was free and reading it back."""


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
        self._expires = 0.0
        self._lost: LeaseLostError | None = None
        self._released = threading.Event()
        self._busy = threading.Lock()
        holder = read_holder(file)
        if holder is not None and holder.expires > time.time():
            raise _refusal(file, holder)
        self._write()
        time.sleep(SETTLE)
        holder = read_holder(file)
        if holder is None or holder.token != self._token:
            raise _refusal(file, holder)
        self._thread = threading.Thread(target=self._renew_until_released, daemon=True)
        self._thread.start()

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
                self._write()

    def release(self) -> None:
        """Free the lease. Calling it twice is harmless."""
        if self._released.is_set():
            return
        self._released.set()
        self._thread.join()
        try:
            self._confirm()
            self.file.unlink(missing_ok=True)
        except (LeaseLostError, UserError, OSError):
            pass  # it expires by itself

    def _confirm(self) -> None:
        self.check()
        holder = read_holder(self.file)
        if holder is None or holder.token != self._token:
            by = f"taken over by {holder}" if holder else "removed by somebody"
            self._lost = LeaseLostError(
                f"{self.file.parent}: the lease was {by}; this driver has stopped, "
                "and what it had not stored yet is lost"
            )
            raise self._lost

    def _write(self) -> None:
        expires = time.time() + DURATION
        holder = Holder(self._token, socket.gethostname(), os.getpid(), expires)
        self.file.write_bytes(json.dumps(asdict(holder)).encode())
        self._expires = expires

    def _renew_until_released(self) -> None:
        while not self._released.wait(RENEW):
            try:
                self.require()
            except (LeaseLostError, UserError):
                return  # whoever writes next is told
            except OSError:
                continue  # the store does not answer: try again


def read_holder(file: Remote) -> Holder | None:
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
