"""What is known of the devices of a run: how many trials share one, how many threads one has."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from cluster.packing import FILL, Packing, Probed
from cluster.threads import Paced, ThreadPace
from search.ledger.files import fields_of, read_json, write_json
from search.ledger.storage import Place
from trm.errors import UserError

PACKING_FILE = "packing.json"


@dataclass(frozen=True)
class DeviceClass:
    """Devices that are alike, and what was found of one of them.

    Attributes:
        name: what the hardware calls itself.
        memory: bytes of one.
        most: copies that were looked at, at most.
        packing: what was found.
    """

    name: str
    memory: float
    most: int
    packing: Packing

    def text(self) -> str:
        """In one line, with the figures."""
        return f"{self.name} ({self.memory / 1e9:.0f} GB): {self.packing.text()}"

    def serves(self, name: str, memory: float, most: int) -> bool:
        """Whether it says how many trials share such a device, where no more than `most` may."""
        ended_by_itself = self.packing.copies < self.most
        return (self.name, self.memory) == (name, memory) and (ended_by_itself or most <= self.most)


@dataclass(frozen=True)
class CpuClass:
    """CPUs that are alike, and what was found on one node of theirs.

    Attributes:
        name: what the hardware calls itself.
        cores: of the node, as Ray counts them.
        most: threads that were looked at, at most.
        pace: what was found.
    """

    name: str
    cores: int
    most: int
    pace: ThreadPace

    def text(self) -> str:
        """In one line, with the figures."""
        return f"{self.name}, {self.cores} cores: {self.pace.text()}"


class Packings:
    """Those of a run folder, kept there as they are found.

    Args:
        folder: the run's.

    Raises:
        UserError: the folder's file is damaged.
    """

    def __init__(self, folder: Place) -> None:
        self._folder = folder
        self._known = list(read_packings(folder))
        self._paces = list(read_paces(folder))
        self._lock = threading.Lock()
        self._probing: dict[tuple[str, float], threading.Lock] = {}

    def copies(self, name: str, memory: float, most: int) -> int | None:
        """Trials that share such a device; None if that is not known."""
        with self._lock:
            for known in self._known:
                if known.serves(name, memory, most):
                    return min(known.packing.copies, most)
        return None

    def holds(self) -> int | None:
        """Trainings whose memory every kind of device holds at once; None if none is known."""
        with self._lock:
            known = [(one.memory, one.packing.probes[:1]) for one in self._known]
        room = [
            int(FILL * memory // alone.memory)
            for memory, probes in known
            for alone in probes
            if alone.memory
        ]
        return max(min(room), 1) if room else None

    def keep(self, found: DeviceClass) -> None:
        """Remember what was found, in place of what was known of the class."""
        with self._lock:
            same = (found.name, found.memory)
            others = [one for one in self._known if (one.name, one.memory) != same]
            self._known = [*others, found]
            self._write()

    def pace(self, name: str, cores: int, most: int) -> CpuClass | None:
        """What is known of such CPUs; None if they are to be measured."""
        for known in self._paces:
            ended_by_itself = known.pace.paced[-1].threads < known.most
            if (known.name, known.cores) == (name, cores) and (
                ended_by_itself or most <= known.most
            ):
                return known
        return None

    def keep_pace(self, found: CpuClass) -> None:
        """Remember what was found, in place of what was known of the class."""
        with self._lock:
            same = (found.name, found.cores)
            others = [one for one in self._paces if (one.name, one.cores) != same]
            self._paces = [*others, found]
            self._write()

    def _write(self) -> None:
        tree = {"schema_version": 1, "devices": [asdict(one) for one in self._known]}
        if self._paces:
            tree["cpus"] = [asdict(one) for one in self._paces]
        # It can be measured again: no second copy.
        write_json(self._folder / PACKING_FILE, tree, own=True, spare=False)

    @contextmanager
    def one_probe(self, name: str, memory: float) -> Iterator[None]:
        """Held by who measures a class: others of its nodes wait for what comes of it."""
        with self._lock:
            lock = self._probing.setdefault((name, memory), threading.Lock())
        with lock:
            yield


def read_packings(folder: Place) -> Sequence[DeviceClass]:
    """What a run folder says of its devices.

    Raises:
        DamagedFileError: the file is damaged.
    """
    with _kept(folder) as tree:
        return [_device(one) for one in tree["devices"]]


def read_paces(folder: Place) -> Sequence[CpuClass]:
    """What a run folder says of its CPUs.

    Raises:
        DamagedFileError: the file is damaged.
    """
    with _kept(folder) as tree:
        return [_cpu(one) for one in tree.get("cpus", ())]


@contextmanager
def _kept(folder: Place) -> Iterator[dict[str, Any]]:
    path = folder / PACKING_FILE
    if not path.is_file():
        yield {"devices": ()}
        return
    tree = read_json(path, f"remove it: {_AGAIN}", own=True)
    with fields_of(path, f"remove it: {_AGAIN}"):
        version = int(tree["schema_version"])
        if version > 1:
            raise UserError(f"{path}: schema_version", version, "is newer than this program")
        yield tree


_AGAIN = "`trm sweep --resume` measures again"


def _device(tree: dict[str, object]) -> DeviceClass:
    own = dict(tree)
    packing = own.pop("packing")
    assert isinstance(packing, dict), packing
    probes = tuple(Probed(**one) for one in packing.pop("probes"))
    return DeviceClass(packing=Packing(probes=probes, **packing), **own)  # type: ignore[arg-type]


def _cpu(tree: dict[str, Any]) -> CpuClass:
    pace = dict(tree["pace"])
    paced = tuple(Paced(**one) for one in pace.pop("paced"))
    return CpuClass(**{**tree, "pace": ThreadPace(paced, **pace)})
