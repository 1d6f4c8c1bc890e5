"""Whose fault an error is, of as many kinds as could be found."""

from __future__ import annotations

import errno
import http.client
import socket
import sqlite3
import ssl
import urllib.error
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors import SafetensorError

from trm.blame import FULL, GONE, MACHINE, StorageError, blame
from trm.errors import UserError
from trm.fault import Fault, working


def raised(call: Callable[[], Any]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        call()
    return caught.value


def from_cause(error: BaseException, outer: BaseException) -> BaseException:
    def call() -> None:
        try:
            raise error
        except BaseException as inner:
            raise outer from inner

    return raised(call)


def while_handling(error: BaseException, outer: BaseException, *, cut: bool) -> BaseException:
    def call() -> None:
        try:
            raise error
        except BaseException:
            if cut:
                raise outer from None
            raise outer  # noqa: B904

    return raised(call)


def http_error(code: int) -> BaseException:
    return urllib.error.HTTPError("http://h", code, "no", Message(), None)


class AcceleratorError(RuntimeError):
    """torch's own cannot be made without a device; it is told by its name."""


AcceleratorError.__module__ = "torch"


class EndpointConnectionError(Exception):
    """As botocore has it."""


EndpointConnectionError.__module__ = "botocore.exceptions"

CUDA_NEIGHBOUR = (
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 15.77 GiB of "
    "which 10.12 MiB is free. Process 1 has 12.10 GiB memory in use. Including non-PyTorch memory, "
    "this process has 3.50 GiB memory in use. Of the allocated memory 3 GiB is allocated"
)
CUDA_OWN = CUDA_NEIGHBOUR.replace("3.50 GiB memory", "15.10 GiB memory")

CASES: list[tuple[str, str, BaseException]] = [
    # The config's own.
    ("config", "shapes", raised(lambda: torch.zeros(2) @ torch.zeros(3))),
    ("config", "a value", ValueError("No space left on device is a fine title")),
    ("config", "a user's", UserError("model.num_heads", 3, "must divide hidden_size")),
    ("config", "a plug-in", KeyError("CUDA error: of its own words")),
    ("config", "zero", raised(lambda: 1 / 0)),  # type: ignore[operator]
    ("config", "no file", FileNotFoundError(errno.ENOENT, "No such file", "data.csv")),
    ("config", "not allowed", PermissionError(errno.EACCES, "Permission denied", "x")),
    ("config", "cut", while_handling(OSError(errno.EIO, "io"), ValueError("bad"), cut=True)),
    ("config", "kernel", RuntimeError("CUDA error: invalid configuration argument")),
    ("config", "assert", AcceleratorError("CUDA error: device-side assert triggered")),
    ("config", "cudnn", RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED")),
    ("config", "cublas", RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling x")),
    ("config", "404", http_error(404)),
    ("config", "stop", NotImplementedError("mine")),
    ("config", "arrow", pa.ArrowInvalid("bad")),
    # Its own memory.
    ("memory", "bare", MemoryError()),
    ("memory", "torch cpu", raised(lambda: torch.empty(10**14))),
    ("memory", "numpy", raised(lambda: np.empty(10**14))),
    ("memory", "cuda own", torch.OutOfMemoryError(CUDA_OWN)),
    ("memory", "fraction", torch.OutOfMemoryError(CUDA_NEIGHBOUR + " 7.00 GiB allowed;")),
    ("memory", "cause", from_cause(MemoryError(), RuntimeError("my plug-in failed"))),
    ("memory", "mps", RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)")),
    # A neighbour's.
    ("machine", "cuda neighbour", torch.OutOfMemoryError(CUDA_NEIGHBOUR)),
    ("machine", "small", RuntimeError("can't allocate memory: you tried to allocate 800 bytes.")),
    # Drivers and devices.
    ("machine", "illegal", AcceleratorError("CUDA error: an illegal memory access")),
    ("machine", "as text", RuntimeError("CUDA error: unspecified launch failure")),
    ("machine", "ecc", RuntimeError("CUDA error: uncorrectable ECC error encountered")),
    ("machine", "hip", RuntimeError("HIP error: invalid device ordinal\nhipErrorInvalidDevice")),
    ("machine", "cudnn", RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED")),
    ("machine", "cublas", RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling")),
    ("machine", "nccl", torch.distributed.DistBackendError("NCCL error in: x.cpp:1")),
    ("machine", "no gpu", RuntimeError("No CUDA GPUs are available")),
    ("machine", "no driver", RuntimeError("Found no NVIDIA driver on your system.")),
    ("machine", "triton", RuntimeError("Triton Error [CUDA]: an illegal memory access")),
    ("machine", "loader", RuntimeError("DataLoader worker (pid 3) is killed by signal: Killed.")),
    ("machine", "threads", RuntimeError("can't start new thread")),
    ("machine", "library", ImportError("libcudnn.so.9: cannot open shared object file")),
    ("machine", "in a component", from_cause(AcceleratorError("CUDA error: x"),
                                             Fault("mixer 'mine'", "fails", "mend it"))),
    # The network and clusters.
    ("machine", "reset", ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")),
    ("machine", "slow", TimeoutError()),
    ("machine", "name", socket.gaierror(-3, "Temporary failure in name resolution")),
    ("machine", "tls", ssl.SSLError("handshake")),
    ("machine", "url", urllib.error.URLError("no route")),
    ("machine", "503", http_error(503)),
    ("machine", "429", http_error(429)),
    ("machine", "http", http.client.IncompleteRead(b"")),
    ("machine", "botocore", EndpointConnectionError("Could not connect to the endpoint URL")),
    ("machine", "pyarrow", OSError("When reading: AWS Error NETWORK_CONNECTION during GetObject")),
    ("storage", "sqlite i/o", sqlite3.OperationalError("disk I/O error")),
    ("storage", "context", while_handling(OSError(errno.ESTALE, "s"), ValueError("b"), cut=False)),
    ("machine", "group", ExceptionGroup("two", [ValueError("a"), OSError(errno.EMFILE, "files")])),
    ("storage", "rust i/o", SafetensorError("I/O error: Input/output error (os error 5)")),
    # Storage.
    ("storage", "safetensors", SafetensorError("I/O error: No space left on device (os error 28)")),
    ("storage", "rust", RuntimeError('Os { code: 28, kind: StorageFull, message: "No space" }')),
    ("storage", "torch.save", RuntimeError("[enforce fail at inline_container.cc:672] . unexpected"
                                           " pos 576 vs 534")),
    ("storage", "sqlite", sqlite3.OperationalError("database or disk is full")),
    ("storage", "ours", StorageError("s3://b/run", "does not answer")),
    ("storage", "cause", from_cause(OSError(errno.EDQUOT, "quota"), UserError("--out"))),
    ("storage", "pyarrow", OSError("Error writing bytes to file. Detail: [errno 28] No")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("culprit", "error"), [pytest.param(c, e, id=f"{c}-{name}") for c, name, e in CASES]
)
def test_errors_are_told_apart(culprit: str, error: BaseException) -> None:
    found = blame(error)
    assert found.culprit == culprit, found
    assert "\n" not in found.words
    assert found.words.startswith(type(error).__name__)


@pytest.mark.parametrize("number", sorted(FULL | GONE | MACHINE))
@pytest.mark.parametrize("wrapped", [False, True])
def test_every_number_of_a_broken_machine(number: int, wrapped: bool) -> None:
    error: BaseException = OSError(number, "words of any language")
    if wrapped:
        error = from_cause(error, RuntimeError("cannot save"))
    assert blame(error).culprit == ("machine" if number in MACHINE else "storage")


def test_a_real_full_device_as_each_writer_says_it() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")

    def python() -> None:
        with full.open("wb", buffering=0) as file:
            file.write(b"x")

    def arrow() -> None:
        with pa.OSFile(str(full), "wb") as file:
            file.write(b"x")

    for write in (python, arrow, lambda: np.ones(9000).tofile(str(full))):
        assert blame(raised(write)).culprit == "storage"


def test_a_process_with_a_broken_device_is_not_used_again() -> None:
    sticky = AcceleratorError("CUDA error: device-side assert triggered")
    assert (blame(sticky).culprit, blame(sticky).broken) == ("config", True)
    assert blame(RuntimeError("CUDA error: launch timed out")).broken
    assert not blame(MemoryError()).broken
    assert not blame(ValueError("x")).broken


def test_a_share_of_a_device_is_what_a_process_may_have() -> None:
    error = torch.OutOfMemoryError(CUDA_NEIGHBOUR)
    assert (blame(error).culprit, blame(error).memory) == ("machine", True)
    assert blame(error, share=0.2).culprit == "memory"


def test_the_words_name_the_cause_too() -> None:
    error = from_cause(OSError(errno.ENOSPC, "No space left"), RuntimeError("cannot save"))
    assert blame(error).words == "RuntimeError: cannot save (OSError: [Errno 28] No space left)"

    def component() -> None:
        with working("mixer 'mine'", "on a batch"):
            raise AcceleratorError("CUDA error: unknown error")

    assert blame(raised(component)).culprit == "machine"
