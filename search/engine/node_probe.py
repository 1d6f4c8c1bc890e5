"""What a node shows before it gets trials: the run folder, the same versions, code and plug-ins."""

from __future__ import annotations

import hashlib
import platform
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.ledger.storage import Place, place
from trm.errors import UserError
from trm.plugins import code_hashes, import_plugins, look_in

_PROBE = ".probe-"
_APPEARS_SECONDS = 10.0
"""Until a file that another machine has just written must be seen."""
_NO_CODE = ("ModuleNotFoundError", "ImportError", "AttributeError")
_ALIKE = ("ray", "torch")
_OURS = ("cluster", "curricula", "search", "trm")
_SAME = "install the same version on every node, or ship it: trm cluster submit"


@dataclass(frozen=True)
class Fitness:
    """Whether a node can run trials, as it said itself.

    Attributes:
        refusal: why it can run no trials; empty if it can.
        note: what a person should know all the same.
    """

    refusal: str = ""
    note: str = ""


@dataclass(frozen=True)
class Probe:
    """What the driver has and every node must have.

    Attributes:
        plugins: the modules that the config names.
        path: folders in which workers look for them, after all others.
        folder: the run's, as a path or URI.
        file: the name of a file in it.
        nonce: what the file says.
        versions: of Python and of what trainings are computed with.
        code: the hash of our packages' code.
        hashes: of the plug-ins' code.
    """

    plugins: Sequence[str]
    path: Sequence[str]
    folder: str
    file: str = ""
    nonce: str = ""
    versions: tuple[tuple[str, str], ...] = ()
    code: str = ""
    hashes: tuple[tuple[str, str], ...] = ()


class RayProber:
    """Asks nodes by a task of Ray each, beside whatever trials hold of them."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    def ask(self, node: str) -> Any:
        """Begin to ask a node, by its id."""
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        return ray.remote(num_cpus=0, scheduling_strategy=there)(look).remote(self._probe)

    def answer(self, asked: Any) -> Fitness | None:
        """What it said; None if nothing yet."""
        if not ray.wait([asked], timeout=0)[0]:
            return None
        try:
            answer = ray.get(asked)
        except RayError as error:
            text = str(error)
            if any(
                word in text for word in ("ModuleNotFoundError", "ImportError", "AttributeError")
            ):
                return Fitness(f"it lacks this package, or has another version: {_SAME}")
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            return Fitness(f"it cannot run a task: {lines[-1][:200] if lines else 'no reason'}")
        assert isinstance(answer, Fitness)
        return answer


@contextmanager
def probing(
    plugins: Sequence[str],
    path: Sequence[str],
    folder: Place,
    until: Callable[[Callable[[], object]], object] = lambda write: write(),
) -> Iterator[RayProber]:
    """A prober for a run; what it lays into the run folder is removed at the end.

    Args:
        until: writes, and waits for storage that refuses.
    """
    for left in folder.glob(f"{_PROBE}*"):
        left.unlink(missing_ok=True)
    # A new name each time: what a file system remembers of an older file proves nothing.
    file, nonce = f"{_PROBE}{secrets.token_hex(8)}", secrets.token_hex(16)
    until(lambda: (folder / file).write_bytes(nonce.encode("ascii")))
    probe = Probe(
        tuple(plugins), tuple(path), str(folder), file, nonce, _versions(), _code(),
        tuple(code_hashes(plugins).items()),
    )  # fmt: skip
    try:
        yield RayProber(probe)
    finally:
        with suppress(OSError):
            (folder / file).unlink(missing_ok=True)


def look(probe: Probe) -> Fitness:
    """What the node on which this runs says of itself."""
    for name, theirs in probe.versions:
        own = dict(_versions()).get(name, "none")
        if own != theirs:
            return Fitness(f"it has {name} {own}, the driver {theirs}: {_SAME}")
    if _code() != probe.code:
        return Fitness(f"its code of this package is not the driver's: {_SAME}")
    look_in(map(Path, probe.path))
    try:
        import_plugins(probe.plugins)
    except UserError as error:
        remedy = "install it on every node, or keep it beside the config on a disk that all share"
        return Fitness(f"{error}: {remedy}")
    if problem := _of_folder(probe):
        remedy = "take a folder on a disk that all nodes share, or a URI (s3://bucket/run)"
        return Fitness(f"the run folder {probe.folder} {problem}: {remedy}")
    hashes = code_hashes(probe.plugins)
    others = [name for name, code in probe.hashes if hashes.get(name, code) != code]
    return Fitness(note=f"has other code of plug-ins: {', '.join(others)}" if others else "")


def _of_folder(probe: Probe) -> str:
    """What is wrong with the run folder as it is seen here; empty if nothing is."""
    file, end = place(probe.folder) / probe.file, time.monotonic() + _APPEARS_SECONDS
    while True:
        try:
            same = file.read_bytes() == probe.nonce.encode("ascii")
            return "" if same else "is another one there"
        except (FileNotFoundError, NotADirectoryError):
            if time.monotonic() > end or not _is_there(probe.folder):
                return "is not there" if not _is_there(probe.folder) else "is another one there"
        except OSError as error:
            return f"cannot be read there ({error.strerror or error})"
        time.sleep(0.2)


def _is_there(folder: str) -> bool:
    try:
        return place(folder).is_dir()
    except OSError:
        return False


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = {"Python": ".".join(platform.python_version_tuple()[:2])}
    for name in _ALIKE:
        with suppress(PackageNotFoundError):
            # Builds for other devices (2.9.0+cpu, 2.9.0+cu128) are the same version.
            found[name] = version(name).partition("+")[0]
    return tuple(found.items())


@cache
def _code() -> str:
    """The hash of the Python files of our packages, as they are installed here."""
    found = hashlib.sha256()
    for name in _OURS:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        root = Path(spec.origin).parent
        for file in sorted(root.rglob("*.py")):
            found.update(f"{name}/{file.relative_to(root).as_posix()}\n".encode())
            found.update(file.read_bytes())
    return found.hexdigest()[:16]
