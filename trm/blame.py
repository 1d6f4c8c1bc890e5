"""Whose fault an error is: the config's, the machine's, or that of storage.

An error and all that it was raised from are looked at by class, by error number and, where a
library of C or C++ says no more than a text, by the text. Nothing is imported to compare with.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

Culprit = Literal["config", "memory", "machine", "storage"]
"""`config`: the same error would come anywhere. `memory`: it took more than it may have.
`machine`: this process, its device, its node or the network. `storage`: full, read-only or gone."""


class StorageError(OSError):
    """Storage that does not take or give what a run needs: never the fault of what was running.

    Attributes:
        where: what could not be written or read.
        needed: bytes that have to fit; 0 if that is unknown.
    """

    def __init__(self, where: str, problem: str, needed: int = 0) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem
        self.needed = needed


@dataclass(frozen=True)
class Blame:
    """What an error says of whose fault it is.

    Attributes:
        culprit: whose.
        words: the error in one line.
        broken: whether its process must not be used again.
        memory: whether memory was missing, whoever took it.
    """

    culprit: Culprit
    words: str
    broken: bool = False
    memory: bool = False


FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
"""Storage takes nothing more, and may again when somebody has made room."""

GONE = frozenset(
    getattr(errno, name)
    for name in (
        "EIO", "ESTALE", "ENOTCONN", "ENODEV", "ENXIO", "EREMOTEIO", "EUCLEAN", "EBADFD",
        "EMEDIUMTYPE", "ENOMEDIUM", "EKEYEXPIRED",
    )
    if hasattr(errno, name)
)  # fmt: skip
"""A disk or a file system that went away, and may come back."""

MACHINE = frozenset(
    getattr(errno, name)
    for name in (
        # A process or a machine that has no more of something.
        "EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "ENOBUFS", "EUSERS", "ENOLCK",
        # The network.
        "ETIMEDOUT", "ECONNRESET", "ECONNREFUSED", "ECONNABORTED", "EPIPE", "ESHUTDOWN",
        "EHOSTUNREACH", "EHOSTDOWN", "ENETDOWN", "ENETUNREACH", "ENETRESET",
    )
    if hasattr(errno, name)
)  # fmt: skip

_OWN_KINDS = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError)
"""What Python code of a config or a plug-in raises: what such an error says is not searched."""
_LIBRARIES = (
    "aiohttp.", "azure.core.", "botocore.exceptions.", "fsspec.", "gcsfs.", "google.api_core.",
    "http.client.", "httpx.", "ray.", "requests.exceptions.", "s3fs.", "socket.", "ssl.",
    "urllib.error.", "urllib3.exceptions.",
)  # fmt: skip
"""Modules whose errors are those of a network or of a cluster, unless the far side refused."""
_CLASSES = (
    "BrokenProcessPool", "DistBackendError", "DistNetworkError", "DistStoreError", "FSTimeoutError",
)  # fmt: skip

_OWN_DEVICE_ERROR = re.compile(
    "device-side assert|invalid configuration argument|invalid argument"
    "|too many resources requested|(STATUS|Status)_?(NOT_SUPPORTED|NotSupported|BAD_PARAM"
    "|BadParm|INVALID_VALUE)",
    re.IGNORECASE,
)
"""What a device says of a kernel that was asked for wrongly: of the config, wherever it runs."""
_DEVICE = re.compile(
    r"\b(CUDA|HIP|cuDNN|cuBLAS|MIOpen|NCCL|RCCL|NVML|XPU|Triton) (driver |unknown |runtime )?"
    r"error|Triton Error"
    r"|\b(CUDNN|CUBLAS|CUSOLVER|CUSPARSE|CUFFT|HIPBLAS|ROCBLAS|NVML)_(STATUS_|ERROR_)?[A-Z]+"
    r"|\b(cudaError|hipError|miopenStatus|hiprtc)[A-Z]\w*|No CUDA GPUs are available"
    r"|Found no NVIDIA driver|NVIDIA driver on your system is too old|fallen off the bus"
    r"|uncorrectable ECC|Native API failed|UR_RESULT_ERROR|level_zero",
    re.IGNORECASE,
)
_SHARED_MEMORY = re.compile(
    "DataLoader worker .*(killed by signal|exited unexpectedly)|insufficient shared memory"
    "|unable to open shared memory|unable to (m?map|write to file) |bus error"
    "|can't start new thread|cannot open shared object file|failed to map segment",
    re.IGNORECASE,
)
_OUT_OF_MEMORY = re.compile(
    r"\b(CUDA|HIP|XPU|MPS)\b.* out of memory|can't allocate memory|_ALLOC_FAILED"
    "|cudaErrorMemoryAllocation|out of memory trying to allocate",
    re.IGNORECASE,
)
_FULL = re.compile(
    r"no space left on device|disk quota exceeded|read-only file system|database or disk is full"
    r"|disk I/O error|StorageFull|QuotaExceeded"
    r"|inline_container\.cc.*(unexpected pos|file write failed)"
    r"|PytorchStreamWriter failed writing|\d+ requested and \d+ written",
    re.IGNORECASE,
)
_NETWORK = re.compile(
    r"AWS Error (?!ACCESS|NO_SUCH|INVALID|RESOURCE_NOT_FOUND)|\bcurlCode\b|connection (was )?"
    r"(reset|refused|aborted|closed|timed out)|couldn't connect|could not resolve|timed out"
    r"|temporary failure in name resolution|service unavailable|slow_?down",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?:\[errno |os error |\bcode: )(\d+)", re.IGNORECASE)
"""How Python, Rust and pyarrow write an error number into a text."""
_STRERRORS = {os.strerror(number).lower(): number for number in (*FULL, *GONE, *MACHINE)}


def blame(error: BaseException, share: float = 1.0) -> Blame:
    """Whose fault an error is.

    Args:
        share: the part of the device's memory that its process may have.

    >>> blame(OSError(errno.ENOSPC, "No space left on device", "/data/x")).culprit
    'storage'
    >>> blame(RuntimeError("CUDA error: an illegal memory access was encountered"))
    Blame(culprit='machine', words='RuntimeError: CUDA error: an illegal memory access was \
encountered', broken=True, memory=False)
    >>> blame(ValueError("num_heads must divide hidden_size")).culprit
    'config'
    """
    links = list(links_of(error))
    words = _line(error)
    found = [culprit for link in links if (culprit := _culprit(link)) is not None]
    if len(links) > 1 and found and _culprit(error) is None:
        cause = next(link for link in links if _culprit(link) is not None)
        words = f"{words} ({_line(cause)})"
    words = words[:500]
    if "memory" in found:
        text = " ".join(map(str, links))
        if _own_memory(text, share):
            return Blame("memory", words, memory=True)
        return Blame("machine", words, broken=True, memory=True)
    if "storage" in found:
        return Blame("storage", words)
    if "machine" in found:
        return Blame("machine", words, broken=True)
    # What is left of a context in which an assertion failed is of no use to anybody.
    return Blame("config", words, broken=any(_DEVICE.search(str(link)) for link in links))


def links_of(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from or while handling, the outermost first."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        link = waiting.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        if isinstance(link, BaseExceptionGroup):
            waiting += link.exceptions
        cause = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
        # Ray keeps what a task raised here.
        kept = getattr(link, "cause", None)
        waiting += [one for one in (cause, kept) if isinstance(one, BaseException)]


def _culprit(error: BaseException) -> Culprit | None:
    """What one error says by itself; None is nothing."""
    text, name = str(error), type(error).__name__
    if isinstance(error, MemoryError) or name == "OutOfMemoryError" or _OUT_OF_MEMORY.search(text):
        return "memory"
    if isinstance(error, StorageError):
        return "storage"
    if isinstance(error, OSError) and (by_number := _by_number(error.errno)) is not None:
        return by_number
    if _refused(error):
        return None
    if isinstance(error, ConnectionError | TimeoutError | ImportError) or name in _CLASSES:
        return "machine"
    if _of_a_library(error):
        return "machine"
    if isinstance(error, _OWN_KINDS) or (
        isinstance(error, ValueError) and not isinstance(error, OSError)
    ):
        return None
    return _by_text(text, name)


def _by_number(number: int | None) -> Culprit | None:
    if number in FULL or number in GONE:
        return "storage"
    return "machine" if number in MACHINE else None


def _by_text(text: str, name: str) -> Culprit | None:
    if _FULL.search(text):
        return "storage"
    number = _NUMBER.search(text)
    if number and (found := _by_number(int(number[1]))) is not None:
        return found
    if name == "AcceleratorError" or _DEVICE.search(text):
        return None if _OWN_DEVICE_ERROR.search(text) else "machine"
    if _SHARED_MEMORY.search(text) or _NETWORK.search(text):
        return "machine"
    lower = text.lower()
    return next((_by_number(n) for words, n in _STRERRORS.items() if words in lower), None)


def _of_a_library(error: BaseException) -> bool:
    named = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__)
    # A task's error is what the task raised, which is looked at by itself.
    return type(error).__name__ != "RayTaskError" and any(
        one.startswith(_LIBRARIES) for one in named
    )


def _refused(error: BaseException) -> bool:
    """Whether the far side answered, and said no: it would say so to any machine."""
    status = getattr(error, "code", None)
    response = getattr(error, "response", None)
    for known in (getattr(error, "status", None), getattr(response, "status_code", None)):
        status = known if isinstance(known, int) else status
    return isinstance(status, int) and 400 <= status < 500 and status not in (408, 425, 429)


_UNITS = {"bytes": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "pib": 2**50}
_SIZE = r"([\d.]+) ([KMGTP]iB|bytes)"
_TRIED = re.compile(rf"(?:tried|unable) to allocate {_SIZE}", re.IGNORECASE)
_CAPACITY = re.compile(rf"total capacity of {_SIZE}", re.IGNORECASE)
_MINE = re.compile(rf"this process has {_SIZE}", re.IGNORECASE)
_ALLOWED = re.compile(rf"{_SIZE} allowed", re.IGNORECASE)


def _own_memory(text: str, share: float) -> bool:
    """Whether a process wanted more memory than its share; True where that cannot be told.

    torch says of a device what it holds and what this process has of it; of the machine's own
    memory a process is taken to have half.
    """
    tried = _size(_TRIED, text)
    if tried is None or _ALLOWED.search(text):
        return True
    capacity, mine = _size(_CAPACITY, text), _size(_MINE, text)
    if capacity is not None:
        return mine is None or mine + tried > 0.9 * share * capacity
    if "CUDA" in text or "HIP" in text or "MPS" in text:
        return True
    return _resident() + tried > 0.5 * _total()


def _size(pattern: re.Pattern[str], text: str) -> float | None:
    match = pattern.search(text)
    return None if match is None else float(match[1].rstrip(".")) * _UNITS[match[2].lower()]


def _resident() -> int:
    """Bytes of memory that this process has; 0 where that cannot be told."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 0


def _total() -> float:
    """Bytes of memory that this machine has, or its container; 0 where that cannot be told."""
    found = []
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path, encoding="ascii") as file:
                found.append(float(file.read()))
        except (OSError, ValueError):
            continue
    with suppress(OSError, ValueError, AttributeError):
        found.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    return min(found, default=0.0)


def _line(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
