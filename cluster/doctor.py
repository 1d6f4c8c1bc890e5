"""Whether a machine is fit for trainings: each check says what was found, and what to do about it.

Every check looks at the thing itself: a file that is written and read back, a product that a GPU
computes. It says `ok`; `note`, where work goes on with less; or `bad`, where it does not.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from cluster.admission import MODE, TOKEN, TOKEN_PATH, token_source
from cluster.resources import cores

Verdict = Literal["ok", "note", "bad"]

_GIB = 2**30
_WORKER_BYTES = 0.7 * _GIB
"""What a worker that has loaded torch takes before its model: 0.5 GiB, and some to spare."""
_FREE_DISK = 2 * _GIB
_OBJECT_STORE = 100_000_000
"""Bytes of Ray's object store in a cluster made for a sweep; it lies in shared memory."""
_OPEN_FILES = 1024
_LONGEST_TEMPORARY = 40
_PROBE_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what was looked at.
        verdict: `ok`, `note` (work goes on with less) or `bad` (it does not).
        found: what was seen.
        remedy: what to do; empty where all is well.

    >>> Check("open files", "bad", "limit 256", "ulimit -n 65536").text()
    'bad   open files: limit 256; ulimit -n 65536'
    """

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""

    def text(self) -> str:
        """One line."""
        return f"{self.verdict:<5} {self.name}: {self.found}" + (
            f"; {self.remedy}" if self.remedy else ""
        )


def machine_checks(package: str, folder: Path) -> Iterator[Check]:
    """Every check of this machine, one by one, as each is done.

    Args:
        package: the installed distribution whose requirements must be met.
        folder: where runs are to lie; it need not be there.

    >>> from pathlib import Path
    >>> checks = list(machine_checks("trm-search", Path("runs")))
    >>> checks[0].name, checks[0].verdict
    ('python', 'ok')
    """
    looks: list[Callable[[], Iterator[Check]]] = [
        lambda: iter([_python()]),
        lambda: _packages(package),
        _torch,
        lambda: iter([_cores(), _memory(), _shared_memory(), _open_files()]),
        lambda: iter([_temporary()]),
        lambda: _disk(folder),
        lambda: iter([_compiler(), _host_name(), _token()]),
    ]
    for look in looks:
        yield from look()


def _python() -> Check:
    # An older one cannot load this module.
    return Check("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _packages(package: str) -> Iterator[Check]:
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in requires(package) or ()]
    except PackageNotFoundError:
        yield Check(
            "packages", "bad", f"{package} is not installed for this Python", "pip install ."
        )
        return
    wrong, shown = [], []
    for need in wanted:
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            there = version(need.name)
        except PackageNotFoundError:
            wrong.append(f"{need.name} is missing")
            continue
        if not need.specifier.contains(there, prereleases=True):
            wrong.append(f"{need.name} {there} is not {need.specifier}")
        if need.name in ("ray", "torch", "optuna", "pyarrow"):
            shown.append(f"{need.name} {there}")
    if wrong:
        remedy = "pip install -r requirements.lock"
        yield Check("packages", "bad", ", ".join(wrong), remedy)
    else:
        yield Check("packages", "ok", f"{package} {version(package)}, {', '.join(shown)}")


def _torch() -> Iterator[Check]:
    try:
        import torch
    except Exception as error:  # what a broken installation raises is anyone's guess
        yield Check("torch", "bad", f"import fails: {_line(error)}", "install it anew")
        return
    cuda = torch.version.cuda
    built = f"CUDA {cuda}" if cuda else "built without CUDA"
    driver = shutil.which("nvidia-smi")
    if torch.backends.mps.is_available():
        yield _apple_gpu()
        return
    if not torch.cuda.is_available():
        if cuda and driver:
            remedy = "the driver is older than this CUDA, or no GPU is let in: see `nvidia-smi`"
            yield Check("gpu", "bad", f"torch {torch.__version__}, {built}, sees no GPU", remedy)
        elif driver:
            remedy = f"install the CUDA build of torch {torch.__version__.split('+')[0]}"
            yield Check("gpu", "note", f"{built}, and nvidia-smi is here", remedy)
        else:
            yield Check("gpu", "ok", f"none: trainings run on CPU cores (torch {built})")
        return
    for index in range(torch.cuda.device_count()):
        yield _gpu(index)


def _gpu(index: int) -> Check:
    import torch

    name = f"gpu {index}"
    try:
        free, whole = torch.cuda.mem_get_info(index)
        one = torch.ones(64, 64, device=f"cuda:{index}")
        right = bool((one @ one == 64).all())
        kind = torch.cuda.get_device_name(index)
    except RuntimeError as error:
        return Check(name, "bad", f"does not compute: {_line(error)}", "restart or leave it out")
    found = f"{kind}, {free / _GIB:.1f} of {whole / _GIB:.1f} GiB free"
    if not right:
        return Check(name, "bad", f"{found}, computes wrong products", "leave it out")
    if free < whole / 2:
        return Check(name, "note", found, "another process holds the rest: see `nvidia-smi`")
    return Check(name, "ok", found)


def _apple_gpu() -> Check:
    import torch

    try:
        kind = torch.backends.mps.get_name()
        most = torch.mps.recommended_max_memory()
        one = torch.ones(64, 64, device="mps")
        right = bool((one @ one == 64).all())
    except (RuntimeError, TypeError) as error:
        remedy = "set train.device: cpu"
        return Check("gpu", "bad", f"Apple's does not compute: {_line(error)}", remedy)
    found = f"{kind} (mps), float32 alone, {most / _GIB:.1f} GiB that all trials at once share"
    if not right:
        return Check("gpu", "bad", f"{found}, computes wrong products", "set train.device: cpu")
    return Check("gpu", "ok", found)


def _cores() -> Check:
    usable, there = cores(), os.cpu_count() or 1
    found = f"{usable} of {there} usable" if usable < there else f"{usable}"
    if hasattr(os, "getloadavg"):
        load = os.getloadavg()[0]
        found += f", load {load:.1f}"
        if load > usable + 0.5:
            return Check("cpu cores", "note", found, "other work shares them: sweeps take longer")
    return Check("cpu cores", "ok", found)


def _memory() -> Check:
    available = _available_memory()
    if available is None:
        return Check("memory", "note", "cannot be told on this system")
    fits = int(available / _WORKER_BYTES)
    found = f"{available / _GIB:.1f} GiB available, room for about {fits} workers"
    if fits < 1:
        return Check("memory", "bad", found, "close other programs, or take a larger machine")
    if fits < cores():
        return Check("memory", "note", found, f"take --parallel {fits}")
    return Check("memory", "ok", found)


def _available_memory() -> int | None:
    """Bytes that new processes can have: what is free, cut by the container's limit."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvail"))
    except (OSError, StopIteration, ValueError):
        return None
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):
        return free
    return min(free, max(limit - used, 0))


def _shared_memory() -> Check:
    place = "/dev/shm"
    if not os.path.isdir(place):
        return Check("shared memory", "note", f"no {place}", "Ray takes a temporary file")
    free = shutil.disk_usage(place).free
    found = f"{free / 2**20:.0f} MiB free in {place}"
    if free < 1.2 * _OBJECT_STORE:
        remedy = "Ray takes a file instead, which is slower; in a container: --shm-size=256m"
        return Check("shared memory", "note", found, remedy)
    return Check("shared memory", "ok", found)


def _open_files() -> Check:
    try:
        from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
    except ImportError:
        return Check("open files", "ok", "no limit of this kind on this system")
    soft, hard = getrlimit(RLIMIT_NOFILE)
    if soft == RLIM_INFINITY:
        return Check("open files", "ok", "no limit")
    ceiling = "unlimited" if hard == RLIM_INFINITY else f"at most {hard} without root"
    if soft < _OPEN_FILES:
        return Check("open files", "bad", f"limit {soft} ({ceiling})", "ulimit -n 65536")
    return Check("open files", "ok", f"limit {soft} ({ceiling})")


def _temporary() -> Check:
    try:
        place = tempfile.gettempdir()
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "probe").write_bytes(b"x")
    except OSError as error:
        return Check("temporary files", "bad", _line(error), "set TMPDIR to a folder of yours")
    free = shutil.disk_usage(place).free
    found = f"{place}, {free / _GIB:.1f} GiB free"
    if free < _FREE_DISK:
        return Check("temporary files", "note", found, "Ray's logs go there: free some, or TMPDIR")
    if len(place) > _LONGEST_TEMPORARY:
        return Check("temporary files", "note", found, "too long for sockets: Ray's go to /tmp")
    return Check("temporary files", "ok", found)


def _disk(folder: Path) -> Iterator[Check]:
    parent = _standing(folder)
    try:
        with _probe(parent) as probe:
            seconds = _write(probe)
            sync = _sync(probe)
    except OSError as error:
        remedy = "name a folder that you may write, with --out"
        yield Check("disk", "bad", f"{parent} cannot be written: {_line(error)}", remedy)
        return
    free = shutil.disk_usage(parent).free
    found = (
        f"{parent}, {free / _GIB:.1f} GiB free, {_PROBE_BYTES / 2**20 / seconds:.0f} MiB/s, "
        f"{sync * 1000:.1f} ms until a line is safe"
    )
    if free < _FREE_DISK:
        yield Check("disk", "bad", found, "checkpoints need more: free some, or another --out")
    elif sync > 0.1:
        yield Check("disk", "note", found, "every report waits for that: a local disk is faster")
    else:
        yield Check("disk", "ok", found)


def _standing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    whole = folder.absolute()
    return next(place for place in (whole, *whole.parents) if place.exists())


@contextmanager
def _probe(folder: Path) -> Iterator[Path]:
    handle, name = tempfile.mkstemp(prefix=".trm-doctor-", dir=folder)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _write(probe: Path) -> float:
    """Seconds until a file of some size is on the disk."""
    data = os.urandom(2**20)
    begun = time.perf_counter()
    with probe.open("wb") as file:
        for _ in range(_PROBE_BYTES // len(data)):
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - begun


def _sync(probe: Path) -> float:
    """Seconds until an appended line is on the disk, the median of a few."""
    taken = []
    with probe.open("ab") as file:
        for _ in range(9):
            begun = time.perf_counter()
            file.write(b"x" * 200 + b"\n")
            file.flush()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return sorted(taken)[len(taken) // 2]


def _compiler() -> Check:
    found = next(filter(None, map(shutil.which, ("g++", "c++", "clang++"))), None)
    if found is None:
        remedy = (
            "install g++: without one a training step on a CPU takes two to three times as long"
        )
        return Check("compiler", "note", "no C++ compiler", remedy)
    return Check("compiler", "ok", found)


def _host_name() -> Check:
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError as error:
        remedy = f"other machines cannot join by name: add {name} to /etc/hosts, or use addresses"
        return Check("host name", "note", f"{name} has no address ({_line(error)})", remedy)
    return Check("host name", "ok", f"{name} is {address}")


def _token() -> Check:
    """Ray's token for clusters that are up: where it is and who may read it, never what it is."""
    name, source = "ray token", token_source()
    copy = "`ray get-auth-token` where the head was started prints it"
    if source is None:
        if os.environ.get(MODE, "").lower() == "token":
            return Check(
                name, "bad", f"{MODE}=token, and there is none", f"{copy}, or unset {MODE}"
            )
        return Check(name, "ok", "none; only a cluster that is up may ask for one (--address)")
    if os.environ.get(MODE, "").lower() == "disabled":
        remedy = f"unset {MODE} if a cluster asks for it"
        return Check(name, "note", f"in {source}, and {MODE}=disabled keeps it back", remedy)
    if source == TOKEN:
        return Check(name, "ok", f"in the environment ({TOKEN})")
    file = Path(os.environ.get(TOKEN_PATH) or source)
    try:
        empty, mode = not file.read_text().strip(), file.stat().st_mode
    except (OSError, ValueError) as error:
        return Check(name, "bad", f"{source} cannot be read: {_line(error)}", copy)
    if empty:
        return Check(name, "bad", f"{source} is empty", copy)
    if mode & 0o077:
        return Check(name, "note", f"others may read {file}", f"chmod 600 {file}")
    return Check(name, "ok", f"in {file}")


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
