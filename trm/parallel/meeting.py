"""Where the processes of one training find each other."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from trm.errors import UserError

SILENCE = timedelta(minutes=30)
"""The longest that one process waits for another: for a checkpoint on slow storage, or a probe.
One that dies is noticed at once, by its connections."""
START = timedelta(days=7)
"""How long those that are there wait for the data of a task to be made."""
BEREFT = 3
"""The exit code of a process that has ended because another one had."""
_LOOPBACK = {"linux": "lo", "darwin": "lo0"}


@dataclass(frozen=True)
class Meeting:
    """A process's seat among those of one training.

    Attributes:
        store: the table that all of them see.
        rank: this one's number, from 0; 0 leads.
        size: how many there are.
        local: this one's number among those of its machine, which is that of its GPU.
        here: whether all of them are on this machine.
    """

    store: Store
    rank: int
    size: int
    local: int
    here: bool = False


def host(size: int, address: str = "127.0.0.1") -> tuple[Meeting, int]:
    """Open a meeting that this process leads; and the port at which the others join it.

    Args:
        address: of this machine, on which it listens; nothing but trusted machines may reach it.
    """
    here = address == "127.0.0.1"
    listening = socket.create_server((address, 0), backlog=size)
    port: int = listening.getsockname()[1]
    store = TCPStore(
        address, port, size, is_master=True, timeout=START, wait_for_workers=False,
        master_listen_fd=listening.detach(),
    )  # fmt: skip
    return Meeting(store, 0, size, 0, here), port


def join(address: str, port: int, rank: int, size: int, local: int) -> Meeting:
    """Take a seat in a meeting that another process hosts."""
    store = TCPStore(address, port, size, is_master=False, timeout=START)
    return Meeting(store, rank, size, local, address == "127.0.0.1")


def from_environment() -> Meeting | None:
    """The meeting that torchrun, or a launcher that sets the same variables, has called.

    Raises:
        UserError: some of the variables are missing, or are no numbers.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return None
    try:
        local = int(os.environ["LOCAL_RANK"])
        store, rank, size = next(rendezvous("env://", timeout=START))
    except (KeyError, ValueError) as error:
        said = " ".join(str(error).split())
        raise UserError(
            f"WORLD_SIZE: is set, but not what torchrun sets with it ({said}): unset it, or start "
            "with torchrun"
        ) from error
    return Meeting(store, rank, size, local)


@contextmanager
def connected(meeting: Meeting, device: torch.device) -> Iterator[None]:
    """Inside, torch's process group holds the meeting's processes.

    All of them are to be ready: who comes first waits for the others, and cannot be interrupted.
    """
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    with _on_loopback(meeting.here):
        dist.init_process_group(
            backend,
            store=PrefixStore("ranks", meeting.store),
            rank=meeting.rank,
            world_size=meeting.size,
            timeout=SILENCE,
        )
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def _on_loopback(here: bool) -> Iterator[None]:
    """What gloo listens on: on one machine nothing that another can reach."""
    name = "GLOO_SOCKET_IFNAME"
    interface = _LOOPBACK.get(sys.platform)
    if not here or interface is None or name in os.environ:
        yield
        return
    os.environ[name] = interface
    try:
        yield
    finally:
        del os.environ[name]


def own_device(kind: str, local: int) -> torch.device:
    """The device of a process: a GPU of its own, or the CPU.

    Args:
        kind: the leader's device, as `cuda` or `cuda:0`.

    Raises:
        UserError: there is none.
    """
    device = torch.device(kind)
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise UserError(
            "train.device", kind, "cannot be shared by several processes: set it to cpu, or train "
            "with one"
        )  # fmt: skip
    if device.index:
        raise UserError(
            "train.device", kind, "cannot be that of several processes: with `cuda` each takes a "
            "GPU of its own"
        )  # fmt: skip
    if local >= torch.cuda.device_count():
        raise UserError(
            "train.device", kind, f"is not there for each process: this machine has "
            f"{torch.cuda.device_count()} GPUs, and process {local + 1} on it finds none"
        )  # fmt: skip
    return torch.device("cuda", local)
